"""`modelcar ls`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, make_access


@click.command()
@click.argument("reference")
@click.option(
    "--platform", metavar="OS/ARCH", help="Of a multi-platform image, look at this one.  [default: the first]"
)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@access_options
def ls(
    reference: str, platform: str | None, format: str, ca_file: Path | None, plain_http: bool, authfile: Path | None
) -> None:
    """List the layers of an image and the files in each.

    REFERENCE is HOST/REPOSITORY:TAG, oci:PATH[:TAG] or oci-archive:FILE[:TAG]. Of uncompressed layers only the headers
    are read.

    \b
    Example:
      modelcar ls oci:./images:granite
    """
    from modelcar.image import read_image

    tree = read_image(reference, platform=platform, access=make_access(ca_file, plain_http, authfile))
    if format == "json":
        show.as_json(_as_dict(tree))
        return
    total = sum(layer.descriptor.size for layer in tree.layers)
    click.echo(f"{tree.location}@{tree.digest}" if not tree.location.digest else str(tree.location))
    click.echo(f"{', '.join(map(str, tree.platforms))}: {show.count(len(tree.layers), 'layer')}, {show.size(total)}\n")
    rows = []
    for number, layer in enumerate(tree.layers):
        files = [file for file in layer.files if file.kind != "folder"]
        for position, file in enumerate(files or [None]):
            first = position == 0
            rows.append(
                (
                    str(number) if first else "",
                    layer.descriptor.digest[7:19] if first else "",
                    show.size(file.size) if file else "",
                    show.name(f"/{file.path}{_arrow(file)}") if file else "(nothing but folders)",
                )
            )
    click.echo(show.table(("LAYER", "DIGEST", "SIZE", "FILE"), rows, right=(0, 2)))


def _arrow(file: Any) -> str:
    return f" -> {file.target}" if file.target else ""


def _as_dict(tree: Any) -> dict[str, Any]:
    return {
        "reference": str(tree.location),
        "digest": tree.digest,
        "platforms": [str(platform) for platform in tree.platforms],
        "layers": [
            {
                "digest": layer.descriptor.digest,
                "size": layer.descriptor.size,
                "media_type": layer.descriptor.media_type,
                "files": [
                    {"path": f.path, "kind": f.kind, "size": f.size, "mode": f"{f.mode:04o}", "target": f.target}
                    for f in layer.files
                ],
            }
            for layer in tree.layers
        ],
    }
