"""From a snapshot, a base and a store to an image: select, plan, stream, assemble, remember."""

from __future__ import annotations

from pathlib import Path

from modelcar.build.builder import Builder, BuildResult, LayerFate
from modelcar.build.options import BuildOptions
from modelcar.build.plan import Plan, PlannedLayer
from modelcar.build.select import Wish
from modelcar.events import Cancel, Listener, ignore
from modelcar.sources import LeftOut

__all__ = [
    "BuildOptions",
    "BuildResult",
    "LayerFate",
    "LeftOut",
    "Plan",
    "PlannedLayer",
    "Wish",
    "build_image",
    "plan_image",
]


def build_image(
    source: str | Path,
    target: str,
    options: BuildOptions | None = None,
    *,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> BuildResult:
    """Build a ModelCar image of a model and put it into a registry, an OCI layout or an OCI archive.

    Args:
        source: `hf://OWNER/NAME[@REVISION]` or a folder.
        target: `HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]` for a layout, or `oci-archive:FILE[:TAG]`.
        options: All wishes.
        listener: Is told of what happens, from several threads, one call at a time.
        cancel: Thrown from another thread, it ends the build early.

    Raises:
        UsageError: A source, target or option that makes no sense.
        NotFound: Source, revision, files or a base that aren't there.
        Denied: Credentials are missing, wrong, or not enough.
        ContentMismatch: Bytes that aren't what the source states.
        Refused: A limit or rule forbids it.
        NetworkError: A server or the network gave up.
        Interrupted: `cancel` was thrown.
    """
    builder = Builder(str(source), target, options or BuildOptions(), listener, cancel)
    return builder.plan() if options is not None and options.dry_run else builder.run()


def plan_image(
    source: str | Path,
    target: str | None = None,
    options: BuildOptions | None = None,
    *,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> BuildResult:
    """What a build would do: which files, in which layers, and with a target what of it is new. Nothing is sent.

    Args and errors as for `build`.
    """
    return Builder(str(source), target, options or BuildOptions(), listener, cancel).plan()
