"""`modelcar build`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from modelcar.cli import show
from modelcar.cli.options import (
    Pair,
    access_options,
    folders,
    image_options,
    make_access,
    selection_options,
    split_platforms,
    text_or_events,
)
from modelcar.errors import Interrupted, UsageError


@click.command(short_help="Build a ModelCar of a model.")
@click.argument("source", shell_complete=folders)
@click.argument("target")
@selection_options
@image_options
@click.option("--label", multiple=True, type=Pair(), help="Add a label to the image; repeatable.")
@click.option("--annotation", multiple=True, type=Pair(), help="Add an annotation; repeatable.")
@click.option("--no-record", is_flag=True, help="Write no record of finished layers while the build lasts.")
@click.option("--no-clobber", is_flag=True, help="Refuse to move a tag that names another image.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--digest-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the image's digest there.")
@text_or_events
@click.option("-q", "--quiet", is_flag=True, help="Print the reference with its digest, and nothing else.")
@access_options
def build(source: str, target: str, digest_file: Path | None, format: str, quiet: bool, **values: Any) -> None:
    """Build a ModelCar of the model SOURCE and put it at TARGET.

    SOURCE is hf://OWNER/NAME[@REVISION] (Hugging Face Hub) or a folder. TARGET is HOST/REPOSITORY:TAG (a registry),
    oci:PATH[:TAG] (an OCI layout) or oci-archive:FILE[:TAG] (the same as one file, which an image replaces as a whole).
    Prints the image's reference with its digest.

    \b
    Examples:
      modelcar build hf://ibm-granite/granite-3.1-2b-instruct quay.io/acme/granite:3.1-2b
      modelcar build ./my-model oci:./images:granite
      modelcar build ./my-model oci-archive:granite.tar:quay.io/acme/granite:3.1-2b
      modelcar build hf://bartowski/granite-GGUF oci:./images:q4 --include '*Q4_K_M*'
    """
    from modelcar.build import build_image
    from modelcar.cli.progress import listener

    options = build_options(values)
    _check_writable(digest_file)
    try:
        with listener(format, quiet=quiet) as listen:
            result = build_image(source, target, options, listener=listen)
    except KeyboardInterrupt:
        is_archive = target.startswith("oci-archive:")
        hint = "an archive starts again" if is_archive else "run it again to go on: what is finished is kept"
        raise Interrupted("stopped", hint) from None
    if options.dry_run:
        if format == "text":
            click.echo(plan_text(result))
        return
    if digest_file is not None:
        digest_file.write_text(f"{result.digest}\n", encoding="utf-8")
    if format == "text":
        if not quiet:
            parts = f"read {show.size(result.read)}, sent {show.size(result.sent)}, reused {show.size(result.reused)}"
            click.echo(f"{parts}, took {show.duration(result.seconds)}", err=True)
        click.echo(result.reference)


def build_options(values: dict[str, Any]) -> Any:
    """The options of `build` and `plan` as the library takes them."""
    from modelcar.build import BuildOptions, Wish

    return BuildOptions(
        wish=Wish(values["include"], values["exclude"], values["all_files"]),
        base=values["base"],
        base_without_shell=values["base_without_shell"],
        image_format=values["image_format"],
        compression=values["compression"],
        platforms=split_platforms(values["platform"]),
        labels=dict(values.get("label", ())),
        annotations=dict(values.get("annotation", ())),
        max_layer_size=values["max_layer_size"],
        workers=values["workers"],
        cache_from=values["cache_from"],
        use_cache=not values["no_cache"],
        record=not values.get("no_record", False),
        no_clobber=values.get("no_clobber", False),
        dry_run=values.get("dry_run", False),
        retry=values["retry"],
        retry_delay=values["retry_delay"],
        access=make_access(values["ca_file"], values["plain_http"], values["authfile"]),
    )


def plan_text(result: Any) -> str:
    """A plan as one table, and what it comes to."""
    words = {"send": "new", "reused": "there already", "mounted": "mounted"}
    rows = []
    for number, fate in enumerate(result.fates):
        rows += [(str(number), show.size(f.size), show.name(f.path), words[fate.how]) for f in fate.layer.files]
    rows += [
        (
            "-",
            "" if left.is_folder else show.size(left.file.size),
            show.name(left.file.path),
            f"left out: {left.reason}",
        )
        for left in result.plan.left_out
    ]
    kept = sum(file.size for file in result.plan.files)
    new = sum(fate.layer.size for fate in result.fates if fate.stored is None)
    compressed = " before compression" if result.estimate else ""
    lines = [
        show.table(("LAYER", "SIZE", "FILE", "STATE"), rows, right=(0, 1)),
        "",
        f"{show.count(len(result.plan.files), 'file')}, {show.size(kept)}, in {show.model_layers(len(result.fates))}",
        *([_left_out_text(result.plan.left_out)] if result.plan.left_out else []),
        f"to send: {show.size(new)}{compressed}; platforms: {', '.join(map(str, result.platforms))}",
        *([_estimate_text(result.estimate)] if result.estimate else []),
    ]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in result.plan.warnings)])


def _left_out_text(left_out: Any) -> str:
    sizes = [left.file.size for left in left_out if not left.is_folder]
    folders = len(left_out) - len(sizes)
    files = f"{show.count(len(sizes), 'file')}, {show.size(sum(sizes))}"
    return "left out: " + "; ".join([files] * bool(sizes) + [show.count(folders, "folder")] * bool(folders))


def _estimate_text(estimate: Any) -> str:
    """What a compression would do, in a line."""
    share = f"{abs(estimate.saved) / estimate.size:.0%}, {show.size(abs(estimate.saved))}"
    effect = f"save about {share}" if estimate.saved > 0 else f"save nothing, but add {share}"
    return (
        f"{estimate.compression} would take about {show.duration(estimate.cpu_seconds)} of CPU time and {effect} "
        f"(measured on {show.size(estimate.sampled)} of the files)"
    )


def _check_writable(path: Path | None) -> None:
    """Find out now, not after an hour, that the digest can't be written."""
    if path is None:
        return
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"--digest-file {path} can't be written", "name a file in a folder that is there and yours")
