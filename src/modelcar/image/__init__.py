"""An image as files: what is in which layer, single files by range, and back into a folder."""

from __future__ import annotations

from pathlib import Path

from modelcar.events import Cancel, Listener, ignore
from modelcar.http import Http
from modelcar.image.head import ImageHead, read_head
from modelcar.image.lookup import ImageFiles
from modelcar.image.pull import PullOptions, pull
from modelcar.image.tree import ImageFile, ImageTree, LayerFiles, read_tree
from modelcar.oci import parse_platform
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores import locate

__all__ = [
    "ImageFile",
    "ImageFiles",
    "ImageHead",
    "ImageTree",
    "LayerFiles",
    "PullOptions",
    "open_image",
    "pull_image",
    "read_head",
    "read_image",
    "read_tree",
]


def read_image(
    reference: str, *, platform: str | None = None, access: Access | None = None, listener: Listener = ignore
) -> ImageTree:
    """The layers and files of an image in a registry, an OCI layout or an OCI archive, without their content.

    Args:
        reference: `HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]`, or `oci-archive:FILE[:TAG]`.
        platform: `os/architecture[/variant]`; by default the first of the image.
        access: How registries are reached.
        listener: Is told where more than headers is read, and why.

    Raises:
        ModelcarError: As `read_tree`.
    """
    access, patience = access or Access(), Patience(listener=listener)
    wanted = parse_platform(platform) if platform else None
    location = locate(reference, Http(ca_file=access.ca_file), access, patience)
    return read_tree(location, wanted, patience=patience, listener=listener)


def open_image(
    reference: str, *, platform: str | None = None, access: Access | None = None, listener: Listener = ignore
) -> ImageFiles:
    """An image to read single files of, by range.

        files = modelcar.open_image("quay.io/acme/granite:3.1-2b")
        config = json.loads(files.read_range(files.find("config.json")))

    Args:
        reference: `HOST/REPOSITORY:TAG`, or `oci:PATH[:TAG]`.
        platform: `os/architecture[/variant]`; by default the first of the image.
        access: How registries are reached.
        listener: Is told where more than headers and the file is read, and why.

    Raises:
        ModelcarError: As `read_head`.
    """
    access, patience = access or Access(), Patience(listener=listener)
    wanted = parse_platform(platform) if platform else None
    location = locate(reference, Http(ca_file=access.ca_file), access, patience)
    return ImageFiles(read_head(location, wanted), patience, listener)


def pull_image(
    reference: str,
    folder: str | Path,
    options: PullOptions | None = None,
    *,
    platform: str | None = None,
    access: Access | None = None,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> list[str]:
    """Write the files of an image's `/models` into a folder. Returns their paths.

    Args:
        reference: `HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]`, or `oci-archive:FILE[:TAG]`.
        folder: Where to; made if need be.
        options: Which files, and how many layers at a time.
        platform: `os/architecture[/variant]`; by default the first of the image.
        access: How registries are reached.
        listener: Is told of each file.
        cancel: Thrown from another thread, it ends the pull early.

    Raises:
        ModelcarError: As `pull`.
    """
    access, patience = access or Access(), Patience(cancel, listener)
    location = locate(reference, Http(ca_file=access.ca_file), access, patience)
    wanted = parse_platform(platform) if platform else None
    return pull(location, Path(folder), options, platform=wanted, patience=patience, listener=listener)
