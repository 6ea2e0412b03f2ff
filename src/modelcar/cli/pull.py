"""`modelcar pull`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, make_access


@click.command(short_help="Write an image's model files into a folder.")
@click.argument("reference")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--platform", metavar="OS/ARCH", help="Of a multi-platform image, take this one.  [default: the first]")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@access_options
def pull(
    reference: str,
    folder: Path,
    platform: str | None,
    quiet: bool,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> None:
    """Write the model's files of an image, those in /models, into FOLDER.

    Each layer is checked against its digest; a file is there whole or not at all.

    \b
    Example:
      modelcar pull oci:./images:granite ./out
    """
    from modelcar.events import Event, FilePulled
    from modelcar.image import pull_image

    started = time.monotonic()
    pulled = 0

    def listen(event: Event) -> None:
        nonlocal pulled
        if isinstance(event, FilePulled):
            pulled += event.size
            if not quiet:
                click.echo(f"{show.size(event.size):>8}  {show.name(event.path)}")

    paths = pull_image(
        reference, folder, platform=platform, access=make_access(ca_file, plain_http, authfile), listener=listen
    )
    if not quiet:
        took = show.duration(time.monotonic() - started)
        click.echo(f"{show.count(len(paths), 'file')}, {show.size(pulled)}, into {folder} in {took}", err=True)
