"""`modelcar ls`."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, make_access, text_or_json
from modelcar.cli.progress import notes

if TYPE_CHECKING:
    from modelcar.image import ImageFile, ImageTree

_TYPES = {"folder": stat.S_IFDIR, "symlink": stat.S_IFLNK, "other": 0}


@click.command(short_help="List the files of an image.")
@click.argument("reference")
@click.argument("globs", metavar="[GLOB]...", nargs=-1)
@click.option("-l", "--long", "is_long", is_flag=True, help="With mode, size and layer.")
@click.option("-R", "--recursive", is_flag=True, help="With all that is in folders.")
@click.option("--layers", is_flag=True, help="What each layer holds, with what later ones replace or remove.")
@click.option(
    "--platform", metavar="OS/ARCH", help="Of a multi-platform image, look at this one.  [default: the first]"
)
@text_or_json
@access_options
def ls(
    reference: str,
    globs: tuple[str, ...],
    is_long: bool,
    recursive: bool,
    layers: bool,
    platform: str | None,
    format: str,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> None:
    """List the files below /models of an image as a container sees them.

    REFERENCE is HOST/REPOSITORY:TAG, oci:PATH[:TAG] or oci-archive:FILE[:TAG]. A GLOB is of paths below /models, or of
    the whole image where it begins with /; its * matches / too. Of uncompressed layers only the headers are read; a
    note on standard error says where more was, and why.

    \b
    Examples:
      modelcar ls quay.io/acme/granite:3.1-2b
      modelcar ls -l oci:./images:granite '*.safetensors'
      modelcar ls --layers oci:./images:granite
    """
    from modelcar.errors import NotFound
    from modelcar.image import read_image

    tree = read_image(reference, platform=platform, access=make_access(ca_file, plain_http, authfile), listener=notes)
    chosen = _chosen(tree, globs, recursive or format == "json")
    if globs and not chosen:
        raise NotFound(f"{tree.location} has no file that matches {' '.join(globs)}", "modelcar ls -R shows all")
    if format == "json":
        show.as_json(_as_dict(tree, chosen))
    elif layers:
        _print_layers(tree)
    elif is_long:
        _print_long(tree, chosen)
    else:
        for name, _ in chosen:
            click.echo(show.name(name))


def _chosen(tree: ImageTree, globs: Sequence[str], recursive: bool) -> list[tuple[str, ImageFile]]:
    """The entries to show, each with the name to show it by: below `/models`, else from the image's root."""
    from modelcar.image.globs import is_chosen
    from modelcar.image.lookup import MODELS

    files = tree.files()
    root = "" if any(glob.startswith("/") for glob in globs) or not _has_models(files) else MODELS
    chosen = []
    for path, file in files.items():
        if not path.startswith(root):
            continue
        name = path.removeprefix(root) if root else f"/{path}"
        if globs:
            wanted = is_chosen(name, globs, ()) and file.kind != "folder"
        else:
            wanted = file.kind != "folder" if recursive else "/" not in name.removeprefix("/")
        if wanted:
            chosen.append((f"{name}/" if file.kind == "folder" else name, file))
    return chosen


def _has_models(files: dict[str, ImageFile]) -> bool:
    return any(path.startswith("models/") for path in files)


def _print_long(tree: ImageTree, chosen: Sequence[tuple[str, ImageFile]]) -> None:
    rows = []
    for name, file in chosen:
        content = tree.content_of(file) or file
        mode = stat.filemode(_TYPES.get(file.kind, stat.S_IFREG) | file.mode)
        rows.append((mode, show.size(content.size), str(file.layer), show.name(f"{name}{_arrow(file)}")))
    click.echo(show.table(("MODE", "SIZE", "LAYER", "FILE"), rows, right=(1, 2)))


def _print_layers(tree: ImageTree) -> None:
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


def _arrow(file: ImageFile) -> str:
    return f" -> {file.target}" if file.target else ""


def _as_dict(tree: ImageTree, chosen: Sequence[tuple[str, ImageFile]]) -> dict[str, Any]:
    return {
        "reference": str(tree.location),
        "digest": tree.digest,
        "platforms": [str(platform) for platform in tree.platforms],
        "files": [
            {**_file(file), "size": (tree.content_of(file) or file).size, "layer": file.layer} for _, file in chosen
        ],
        "layers": [
            {
                "digest": layer.descriptor.digest,
                "size": layer.descriptor.size,
                "media_type": layer.descriptor.media_type,
                "files": [_file(file) for file in layer.files],
            }
            for layer in tree.layers
        ],
    }


def _file(file: ImageFile) -> dict[str, Any]:
    return {
        "path": file.path, "kind": file.kind, "size": file.size, "mode": f"{file.mode:04o}", "target": file.target
    }  # fmt: skip
