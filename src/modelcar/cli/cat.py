"""`modelcar cat`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from modelcar.cli.options import access_options, make_access
from modelcar.cli.progress import notes


@click.command(short_help="Print a file of an image.")
@click.argument("reference")
@click.argument("file")
@click.option(
    "--platform", metavar="OS/ARCH", help="Of a multi-platform image, look at this one.  [default: the first]"
)
@access_options
def cat(
    reference: str, file: str, platform: str | None, ca_file: Path | None, plain_http: bool, authfile: Path | None
) -> None:
    """Write the bytes of FILE, a path below /models or one of the image's that begins with /, to standard output.

    Of uncompressed layers only the headers are read to find the file. A compressed layer has to
    be read from its start; a note on standard error says what that costs. The bytes are not checked against a
    digest, which is of a whole layer: that is what pull does.

    \b
    Examples:
      modelcar cat quay.io/acme/granite:3.1-2b config.json
      modelcar cat oci:./images:granite /etc/passwd
    """
    from modelcar.image import open_image

    files = open_image(reference, platform=platform, access=make_access(ca_file, plain_http, authfile), listener=notes)
    for piece in files.stream(files.find(file)):
        sys.stdout.buffer.write(piece)
