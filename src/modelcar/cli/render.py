"""`modelcar render`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelcar.cli import show
from modelcar.cli.options import Pair, access_options, make_access
from modelcar.errors import Refused, UsageError
from modelcar.kserve.form import BY_NAME, FIELDS, Field, Kind

if TYPE_CHECKING:
    from modelcar.kserve.choices import Choice
    from modelcar.kserve.deployment import Deployment
    from modelcar.kserve.secrets import SecretValues
    from modelcar.kserve.settle import Settled
    from modelcar.serving import Prepared

_SHORT = {"namespace": "-n"}
_OTHERS = "Files and output"
_SAVED = "For modelcar render -f; --schema prints its schema."
_FLAGS = tuple(field for field in FIELDS if field.name != "model")


class _Grouped(click.Command):
    """A command whose help shows its options under the form's headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Command`."""
        groups: dict[str, list[tuple[str, str]]] = {}
        headings = {field.attribute: field.group for field in _FLAGS}
        for option in self.get_params(ctx):
            if isinstance(option, click.Option) and (record := option.get_help_record(ctx)):
                groups.setdefault(headings.get(option.name or "", _OTHERS), []).append(record)
        groups[_OTHERS] = groups.pop(_OTHERS)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class _Pairs(click.ParamType[list[tuple[str, str]]]):
    """`KEY=VALUE`, or several with commas between them."""

    name = "key=value,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[tuple[str, str]]:
        """See `click.ParamType`."""
        if isinstance(value, list):
            return value
        return [Pair().convert(part.strip(), param, ctx) for part in str(value).split(",") if part.strip()]


def _option(field: Field) -> Callable[[Any], Any]:
    """The flag of a field."""
    names = [*filter(None, [_SHORT.get(field.name)]), f"--{field.name}", field.attribute]
    more: dict[str, Any] = {"metavar": field.metavar or None, "multiple": field.kind in (Kind.LIST, Kind.PAIRS)}
    if field.kind is Kind.SWITCH:
        names[-2] = f"--{field.name}/--no-{field.name}"
        more = {}
    elif field.kind is Kind.NUMBER:
        more["type"] = click.IntRange(field.low, field.high)
    elif field.kind is Kind.PAIRS:
        more["type"] = _Pairs() if field.name in ("requests", "limits") else Pair()
    elif field.choices:
        more["type"] = click.Choice(field.choices)
    default = f"  [default: {field.default}]" if field.default else ""
    return click.option(*names, default=None, help=f"{field.help}{default}", **more)


def _with_fields(command: Callable[..., Any]) -> Callable[..., Any]:
    for field in reversed(_FLAGS):
        command = _option(field)(command)
    return command


def _print_schema(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from modelcar.kserve.deployment import schema

        show.as_json(schema())
        context.exit()


@click.command(cls=_Grouped, short_help="Write the objects that serve an image on KServe or OpenShift AI.")
@click.argument("model", required=False)
@_with_fields
@click.option(
    "-f",
    "--file",
    "files",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    help="A deployment as YAML: a key for each flag, and `model`; - is stdin. Flags win over it; repeatable.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was said, less all that is secret, to a file for -f. Replaces one that --save wrote, others with "
    "--force only.",
)
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="How to print the objects.")
@click.option(
    "--image-check",
    type=click.Choice(["require", "warn", "off"]),
    default="warn",
    show_default=True,
    help="How the image is looked at before: with warn, a registry that can't be asked from here is no refusal.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print no table and no notes, and of stderr only what may be wrong.")
@click.option("--force", is_flag=True, help="Go on with a model that can't fit on the GPUs, or is nothing for vLLM.")
@click.option("--with-secrets", is_flag=True, help="Write pull secrets and S3 keys too, and not only their names.")
@click.option(
    "--pull-secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What the pull secret holds, as docker's config.json.  [default: the credentials that docker or podman has "
    "for the registry]",
)
@click.option(
    "--s3-credentials-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…  [default: the environment]",
)
@access_options
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON schema of the file for -f, and exit.",
)
def render(
    model: str | None,
    files: tuple[Path, ...],
    save: Path | None,
    output: str,
    image_check: str,
    quiet: bool,
    force: bool,
    with_secrets: bool,
    pull_secret_file: Path | None,
    s3_credentials_file: Path | None,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
    **values: Any,
) -> None:
    """Write the objects that serve the image MODEL on KServe or OpenShift AI, as its "Deploy model" form would.

    MODEL is REF, oci://REF, or another URI that KServe loads from. An image is looked at first, as modelcar check does:
    the objects name its digest, and what the model needs is chosen by it. The objects go to stdout, in the order in
    which they must be applied, and are the same from run to run; what was chosen, why, and what to know goes to stderr.

    \b
    Examples:
      modelcar render quay.io/acme/granite:3.1-2b --name granite -n demo --runtime-file runtime.yaml --gpu H100
      modelcar render oci://quay.io/acme/granite:3.1-2b --flavor kserve --name granite -n demo --gpu-count 1
      modelcar render -f deployment.yaml -o json
    """
    from modelcar.kserve.check import ImageCheck
    from modelcar.kserve.render import without_twins
    from modelcar.kserve.write import as_json, as_yaml
    from modelcar.serving import prepare

    access = make_access(ca_file, plain_http, authfile)

    def values_of(settled: Settled) -> SecretValues:
        return _secrets(settled, pull_secret_file, s3_credentials_file, authfile)

    wanted = _deployments(files, _said(model, values))
    if save is not None and not force:
        _check_own(save, len(wanted))
    gone: dict[str, str] = {}  # registries that don't answer are waited for once
    done = [
        prepare(
            one,
            image_check=ImageCheck(image_check),
            force=force,
            access=access,
            secrets=values_of if with_secrets else None,
            gone=gone,
        )
        for one in wanted
    ]
    manifests = without_twins(manifest for one in done for manifest in one.rendered.manifests)
    text = as_json(manifests) if output == "json" else as_yaml(manifests)
    if save is not None:
        _save(save, wanted)
    for one in done:
        _tell(one, f"{one.rendered.settled.name}: " if len(done) > 1 else "", quiet)
    click.echo(text, nl=False)


def _tell(done: Prepared, prefix: str, quiet: bool) -> None:
    """What was chosen, and what to know, on stderr."""
    made = done.choices.made if done.choices.args or done.was_seen else ()
    if made and not quiet:
        rows = [(choice.field, show.name(choice.value) or "-", show.name(choice.reason)) for choice in made]
        click.echo(show.table((f"{prefix}CHOSEN".upper(), "VALUE", "WHY"), rows), err=True)
    for warning in done.warnings:
        click.echo(f"warning: {prefix}{show.name(warning)}", err=True)
    for note in (*done.notes, *_overriding(made)) if not quiet else ():
        click.echo(f"note: {prefix}{show.name(note)}", err=True)


def _overriding(made: Sequence[Choice]) -> list[str]:
    """How to choose otherwise, with an example of what is there."""
    ours = [choice for choice in made if not choice.overridden]
    flags = [
        f"--{one.field} {one.value}" for one in ours if one.value and one.field in BY_NAME and one.field != "model"
    ]
    args = [f"--args={one.field}{one.value and '='}{one.value}" for one in ours if one.field.startswith("--")]
    ways = [f"by its flag ({flags[:2][-1]})" if flags else "", f"an argument by --args ({args[-1]})" if args else ""]
    return [f"each choice can be overridden: {', '.join(filter(None, ways))}"] if any(ways) else []


def _said(model: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """What the command line says, by field."""
    said: dict[str, Any] = {"model": model}
    for field in _FLAGS:
        value = values[field.attribute]
        if field.kind is Kind.PAIRS and value:
            said[field.name] = dict(pair for one in value for pair in (one if isinstance(one, list) else [one]))
        elif value is not None and value != ():
            said[field.name] = value
    return said


def _deployments(files: Sequence[Path], said: dict[str, Any]) -> list[Deployment]:
    from modelcar.kserve.deployment import deployment_from, merged

    flags = deployment_from(said)
    if not files:
        return [flags]
    wanted = []
    for path in files:
        documents = _documents(path)
        for number, document in enumerate(documents, 1):
            where = f"{path}, document {number}" if len(documents) > 1 else str(path)
            if not isinstance(document, dict):
                raise UsageError(
                    f"-f {where} holds no fields of a deployment", "a key for each flag, as `name: granite`"
                )
            if "apiVersion" in document:
                raise UsageError(
                    f"-f {where} holds objects of Kubernetes, and no deployment", "it takes what --save writes"
                )
            wanted.append(merged(flags, deployment_from(document, where)))
    if not wanted:
        raise UsageError(f"-f {files[0]} is empty")
    return wanted


def _documents(path: Path) -> list[Any]:
    from modelcar.kserve.read import LARGEST, parse_documents, read_documents

    if str(path) != "-":
        return read_documents(path, "-f", texts=True)
    return parse_documents(sys.stdin.buffer.read(LARGEST + 1), "-f -", texts=True)


def _secrets(settled: Settled, pull_file: Path | None, s3_file: Path | None, authfile: Path | None) -> SecretValues:
    """The values of a deployment's Secrets, from where they are kept."""
    from modelcar.kserve.secrets import SecretValues, docker_config_in, s3_keys

    connection = settled.connection
    new = connection.kind if connection and connection.new else ""
    config = access = secret = ""
    if new == "oci" or settled.wish.pull_secret:
        config = docker_config_in(pull_file) if pull_file else _docker_config(settled, authfile)
    if new == "s3":
        access, secret = s3_keys(s3_file, os.environ)
    return SecretValues(config, access, secret)


def _docker_config(settled: Settled, authfile: Path | None) -> str:
    """What docker or podman knows of the model's registry."""
    from modelcar.kserve.secrets import docker_config_for
    from modelcar.stores.registry.credentials import find_credentials

    reference = settled.source.reference if settled.source else None
    if reference is None:
        raise UsageError("--with-secrets: the model is in no registry whose credentials we could look up",
                         "add --pull-secret-file FILE")  # fmt: skip
    found = find_credentials(reference.registry, reference.repository, authfile)
    if found is None or not found.user:
        raise Refused(
            f"--with-secrets: docker and podman have no password for {reference.registry}",
            f"run modelcar login {reference.registry}, or add --pull-secret-file FILE",
        )
    return docker_config_for(reference.registry, found.user, found.secret)


def _check_own(path: Path, count: int) -> None:
    """Check that a file to save in is one that `_save` wrote, and that nobody put more deployments into.

    Raises:
        Refused: It holds what would be lost.
    """
    from modelcar.kserve.read import LARGEST, parse_documents

    if not path.is_file():
        return
    with path.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    hint = "name another file, or add --force to replace it"
    if content.strip() and not content.startswith(f"# {_SAVED}".encode()):
        raise Refused(f"--save: {path} is there, and --save didn't write it", hint)
    found = len(parse_documents(content, f"--save: {path}"))
    if found > count:
        raise Refused(f"--save: {path} holds {found} deployments, and {count} would take their place", hint)


def _save(path: Path, wanted: Sequence[Deployment]) -> None:
    from modelcar.cli.files import replace_file
    from modelcar.kserve.deployment import as_values
    from modelcar.kserve.write import as_yaml

    text = as_yaml([as_values(one) for one in wanted], comment=_SAVED)
    replace_file(path, text.encode(), 0o644)
