"""`modelcar verify`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, folders, make_access, text_or_json
from modelcar.errors import ContentMismatch

if TYPE_CHECKING:
    from modelcar.image import VerifyResult

_CHECKS = {"sha256": "sha256", "git-sha1": "git blob SHA-1", "": "layer only"}
_SHOWN = 3


@click.command(short_help="Verify an image's layers, and its files against their source.")
@click.argument("reference")
@click.option("--offline", is_flag=True, help="Verify manifests, layers and diffIDs alone; ask no source.")
@click.option("--require-source", is_flag=True, help="Fail where the files can't be compared with their source.")
@click.option(
    "--source",
    metavar="SOURCE",
    shell_complete=folders,
    help="Compare the files with this folder or hf://OWNER/NAME[@REVISION].  [default: what the image names]",
)
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Layers at a time.  [default: processors]")
@text_or_json
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what is wrong.")
@access_options
def verify(
    reference: str,
    offline: bool,
    require_source: bool,
    source: str | None,
    workers: int | None,
    format: str,
    quiet: bool,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> None:
    """Verify the image REFERENCE, on all its platforms, reading each layer once.

    Each manifest and layer must be what its digest says, each layer unpack to what its config says (diffID), and each
    file below /models be what its source states for its commit: the Hub a sha256, or of small files a git blob SHA-1.
    Where there is no source to ask, as at an air-gapped site, it says that files were not compared. Ends with 5 when
    something is wrong.

    \b
    Examples:
      modelcar verify quay.io/acme/granite:3.1-2b
      modelcar verify --offline oci-archive:/media/disk/granite.tar
      modelcar verify --source ./my-model oci:./images:granite
    """
    from modelcar.cli.progress import listener
    from modelcar.image import VerifyOptions, verify_image

    options = VerifyOptions(source, offline, require_source, workers)
    access = make_access(ca_file, plain_http, authfile)
    with listener("text", quiet=quiet or format == "json") as listen:
        result = verify_image(reference, options, access=access, listener=listen)
    if format == "json":
        click.echo(json.dumps({**asdict(result), "ok": not result.problems}, indent=2, ensure_ascii=False))
    elif not quiet:
        click.echo(_text(result))
    if result.problems:
        more = f"; and {len(result.problems) - _SHOWN} more" if len(result.problems) > _SHOWN else ""
        raise ContentMismatch(f"{result.reference}: {'; '.join(result.problems[:_SHOWN])}{more}")


def _text(result: VerifyResult) -> str:
    lines = [result.reference]
    if result.files:
        rows = [
            (each.layer[7:19], show.size(each.size), show.name(each.path), _CHECKS[each.check], _word(each.problem))
            for each in result.files
        ]
        lines += ["", show.table(("LAYER", "SIZE", "FILE", "CHECK", "RESULT"), rows, right=(1,)), ""]
    lines += [f"wrong: {show.name(problem)}" for problem in result.problems]
    verified = f"{show.count(result.manifests, 'manifest')}, {show.all_layers(len(result.layers))}"
    if not result.problems:
        lines.append(f"{verified}, {show.size(result.size)}: every digest and diffID is right")
    if result.source is None:
        lines.append(f"files were not compared with their source: {result.reason}")
    else:
        compared = sum(bool(each.check) for each in result.files)
        lines.append(f"{show.count(compared, 'file')} compared with {result.source}")
    return "\n".join(lines)


def _word(problem: str) -> str:
    return "WRONG" if problem else "ok"
