"""`modelcar copy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelcar.cli import show
from modelcar.cli.options import Size, access_options, effort_options, make_access, text_or_events
from modelcar.errors import Interrupted


@click.command(short_help="Copy an image, byte for byte.")
@click.argument("source")
@click.argument("target")
@click.option("--platform", metavar="OS/ARCH", help="Copy the image of this platform alone.  [default: all]")
@click.option(
    "--no-referrers", is_flag=True, help="Leave out what refers to the image: signatures, SBOMs and the like."
)
@click.option("--no-clobber", is_flag=True, help="Refuse to move a tag that names another image.")
@click.option(
    "--mount-from",
    multiple=True,
    metavar="REPO",
    help="Let the target's registry take blobs over from this repository of its own; repeatable.",
)
@click.option(
    "--since",
    metavar="OLD",
    help="Leave out the blobs of this image, for a site that has it; TARGET is a layout or an archive.",
)
@click.option(
    "--split",
    type=Size(),
    help="Leave an archive in pieces of this size, for media with a limit: FILE.part001 and so on.",
)
@text_or_events
@click.option("-q", "--quiet", is_flag=True, help="Print the reference with its digest, and nothing else.")
@effort_options
@access_options
def copy(
    source: str,
    target: str,
    platform: str | None,
    format: str,
    quiet: bool,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
    **values: Any,
) -> None:
    """Copy the image SOURCE to TARGET: all its platforms, and what refers to it. Its digest stays the same.

    Both are HOST/REPOSITORY:TAG (a registry), oci:PATH[:TAG] (an OCI layout) or
    oci-archive:FILE[:TAG] (the same in one file). Blobs that are there are not sent
    again, so that a copy that was stopped goes on where it was; the tag moves last. Prints the copy's reference with
    its digest.

    \b
    Examples:
      modelcar copy dev.example/models/granite:3.1-2b prod.example/models/granite:3.1-2b
      modelcar copy quay.io/acme/granite:3.1-2b oci-archive:/media/disk/granite.tar
      modelcar copy oci-archive:/media/disk/granite.tar registry.site.example/models/granite:3.1-2b
      modelcar copy --since quay.io/acme/granite:3.0-2b quay.io/acme/granite:3.1-2b oci-archive:/media/disk/new.tar
    """
    from modelcar.cli.progress import listener
    from modelcar.image import CopyOptions, copy_image
    from modelcar.oci import parse_platform

    options = CopyOptions(
        platform=parse_platform(platform) if platform else None,
        referrers=not values["no_referrers"],
        no_clobber=values["no_clobber"],
        mount_from=values["mount_from"],
        since=values["since"],
        split=values["split"],
        workers=values["workers"],
        retry=values["retry"],
        retry_delay=values["retry_delay"],
        access=make_access(ca_file, plain_http, authfile),
    )
    try:
        with listener(format, quiet=quiet) as listen:
            result = copy_image(source, target, options, listener=listen)
    except KeyboardInterrupt:
        raise Interrupted("stopped", "run it again to go on: what is finished is kept") from None
    if format == "text":
        if not quiet:
            parts = [
                f"sent {show.size(result.sent)}",
                f"mounted {show.size(result.mounted)}",
                f"there already {show.size(result.there)}",
                *([show.count(result.referrers, "referrer")] if result.referrers else []),
                f"took {show.duration(result.seconds)}",
            ]
            click.echo(", ".join(parts), err=True)
            if len(result.pieces) > 1:
                click.echo(f"in {len(result.pieces)} pieces: {result.pieces[0]} to {result.pieces[-1]}", err=True)
        click.echo(result.reference)
