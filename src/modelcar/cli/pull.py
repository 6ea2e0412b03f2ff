"""`modelcar pull`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, make_access, of_platform
from modelcar.cli.progress import notes


@click.command(short_help="Write an image's model files into a folder.")
@click.argument("reference")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--include", multiple=True, metavar="GLOB", help="Take only files that match; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out files that match; repeatable.")
@of_platform
@click.option(
    "--workers", type=click.IntRange(1, 64), metavar="N", default=4, show_default=True, help="Layers in flight."
)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", help="json: one event a line.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@access_options
def pull(
    reference: str,
    folder: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    platform: str | None,
    workers: int,
    format: str,
    quiet: bool,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> None:
    """Write the model's files of an image, those in /models, into FOLDER.

    Each layer is checked against its digest, and nothing of a wrong one is kept; a file is there whole or not at all.
    Run again after it was stopped or killed, it goes on where it was, and files that are there and make up their
    layer are not fetched again. With --include or --exclude only the ranges needed of an uncompressed layer are read:
    a file read without the rest of its layer is marked as unchecked.

    \b
    Examples:
      modelcar pull quay.io/acme/granite:3.1-2b ./out
      modelcar pull oci:./images:granite ./out --include '*.json'
    """
    from modelcar.events import Event, FilePulled
    from modelcar.image import PullOptions, pull_image

    started = time.monotonic()
    sizes: dict[str, int] = dict.fromkeys(("fetched", "unchanged", "unchecked"), 0)

    def listen(event: Event) -> None:
        if format == "json":
            click.echo(json.dumps(event.as_dict()))
        elif not isinstance(event, FilePulled):
            notes(event)
        elif not quiet:
            how = "" if event.how == "fetched" else f"  ({event.how})"
            click.echo(f"{show.size(event.size):>8}  {show.name(event.path)}{how}")
        if isinstance(event, FilePulled):
            sizes[event.how] += event.size

    paths = pull_image(
        reference,
        folder,
        PullOptions(include, exclude, workers),
        platform=platform,
        access=make_access(ca_file, plain_http, authfile),
        listener=listen,
    )
    if not quiet and format == "text":
        took = show.duration(time.monotonic() - started)
        total = show.size(sum(sizes.values()))
        unchanged = f", {show.size(sizes['unchanged'])} of it unchanged" if sizes["unchanged"] else ""
        click.echo(f"{show.count(len(paths), 'file')}, {total}{unchanged}, into {folder} in {took}", err=True)
        if sizes["unchecked"]:
            notes_ = "were read by range: the digest that could check them is of their whole layer"
            click.echo(f"note: {show.size(sizes['unchecked'])} {notes_}", err=True)
