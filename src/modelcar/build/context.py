"""The folder from which a container engine builds a plan: Containerfile, download.py and model.json."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from modelcar.build.assemble import standard_keys
from modelcar.build.baseimage import full_name
from modelcar.build.builder import Builder
from modelcar.build.containerfile import Stages, containerfile
from modelcar.build.options import EMBEDDED_BASE, NO_BASE, BuildOptions, created
from modelcar.build.plan import Plan
from modelcar.errors import Denied, NetworkError, Refused, UsageError
from modelcar.events import Cancel, Listener, Warned, ignore
from modelcar.http import Http
from modelcar.oci import is_digest
from modelcar.retry import Patience
from modelcar.stores import locate

UBI_MICRO = "registry.access.redhat.com/ubi9/ubi-micro"
PYTHON = "registry.access.redhat.com/ubi9/python-312-minimal"

_MAKER = "modelcar containerfile"
_NAMES = frozenset({"Containerfile", "download.py", "model.json"})
_STAGED = ".{}.modelcar"
"""Name of a file while it is written; one may be left of a call that was killed."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What an engine needs to build a plan.

    Attributes:
        plan: What goes where.
        files: Content by name: Containerfile, download.py and model.json.
    """

    plan: Plan
    files: Mapping[str, bytes]

    def write(self, folder: Path) -> None:
        """Write the files, each whole or not at all, the Containerfile last.

        Raises:
            Refused: The folder holds something that isn't a context of ours; a full disk.
            Denied: It can't be written to.
        """
        try:
            check_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(self.files, reverse=True):
                _replace(folder / name, self.files[name])
        except (FileExistsError, NotADirectoryError):
            raise Refused(f"{folder} is no folder", "name another one") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Refused(
                    f"{folder} can't be written: the disk is full", "make room, or name another one"
                ) from None
            raise Denied(f"{folder} can't be written: {error.strerror}", "name a folder of yours") from None


def make_context(
    source: str | Path,
    options: BuildOptions | None = None,
    *,
    downloader: str = PYTHON,
    listener: Listener = ignore,
) -> BuildContext:
    """A Containerfile and its companions for the plan that `build_image` has of the same source and wishes.

    Args:
        source: `hf://OWNER/NAME[@REVISION]` or a folder.
        options: All wishes; `base` is a reference in a registry or `none`, ubi-micro for `embedded`.
        downloader: An image with python3 3.9 or later, for the first stage.
        listener: Is told of warnings.

    Raises:
        UsageError: An image that no Containerfile can name.
        ModelcarError: As `plan_image` does.
    """
    options = options or BuildOptions()
    base = UBI_MICRO if options.base == EMBEDDED_BASE else options.base
    images = (downloader,) if base == NO_BASE else (downloader, base)
    for image in images:
        if "://" in image or image.startswith(("oci:", "oci-archive:")):
            raise UsageError(f"{image!r} can't stand in a Containerfile", "name an image of a registry")
    # The plan is that of an image on our own base, so that both have the same layers.
    planned = Builder(str(source), None, replace(options, base=EMBEDDED_BASE, platforms=()), listener).plan()
    pinned = {image: _pin(image, options, listener) for image in images}
    stages = Stages(pinned[downloader], "scratch" if base == NO_BASE else pinned[base])
    base_digest = stages.base.partition("@")[2] or None
    base_name = None if base == NO_BASE else full_name(base).partition("@")[0]
    keys = standard_keys(planned.plan.snapshot, created(), base_name, base_digest)
    text = containerfile(planned.plan, stages, {**keys, **options.labels})
    script = files("modelcar.build").joinpath("download.py").read_bytes()
    return BuildContext(
        planned.plan,
        {"Containerfile": text.encode(), "download.py": script, "model.json": _description(planned.plan)},
    )


def check_folder(folder: Path) -> None:
    """Make sure that a folder is new, empty, or a context of ours.

    Raises:
        Refused: It holds something else, or is no folder.
        OSError: It can't be looked into.
    """
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is no folder", "name another one")
    if not folder.exists() or not (names := {path.name for path in folder.iterdir()}):
        return
    foreign = sorted(names - _NAMES - {_STAGED.format(name) for name in _NAMES})
    try:
        ours = json.loads((folder / "model.json").read_bytes()).get("maker") == _MAKER
    except (FileNotFoundError, ValueError, AttributeError):
        ours = False
    if foreign or not ours:
        what = f"{foreign[0]!r}" if foreign else "files"
        raise Refused(f"{folder} holds {what} that modelcar containerfile didn't write", "name a new or empty folder")


def _pin(image: str, options: BuildOptions, listener: Listener) -> str:
    """An image by digest, or as it was named where its registry can't be asked."""
    image = full_name(image)
    name, at, digest = image.partition("@")
    if at and is_digest(digest):
        return image
    # A registry that can't be reached costs a warning, not the command: it isn't waited for long.
    patience = Patience(Cancel(), tries=min(2, 1 + options.retry), first_wait=options.retry_delay)
    location = locate(image, Http(ca_file=options.access.ca_file), options.access, patience)
    try:
        found = location.store.resolve(location.version).digest
    except (NetworkError, Denied) as error:
        listener(Warned(f"{image} is not pinned to a digest: {error.what}"))
        return name
    finally:
        location.store.close()
    return f"{location.store.name}@{found}"


def _description(plan: Plan) -> bytes:
    """model.json: all that download.py has to know."""
    snapshot = plan.snapshot
    described = plan.as_dict()
    hub = {}
    if snapshot.revision is not None and snapshot.url is not None and snapshot.title is not None:
        endpoint = snapshot.url.removesuffix(f"/{snapshot.title}")
        hub = {"endpoint": endpoint, "repository": snapshot.title, "commit": snapshot.revision}
    value = {"maker": _MAKER, "plan": plan.id, **hub, "layers": described["layers"]}
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def _replace(path: Path, content: bytes) -> None:
    """One whole file under its name, or the old one."""
    staged = path.with_name(_STAGED.format(path.name))
    try:
        staged.write_bytes(content)
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise
