"""An image as files: what is in which layer, and back into a folder."""

from __future__ import annotations

from pathlib import Path

from modelcar.events import Listener, ignore
from modelcar.http import Http
from modelcar.image.pull import pull
from modelcar.image.tree import ImageFile, ImageTree, LayerFiles, read_tree
from modelcar.oci import parse_platform
from modelcar.settings import Access
from modelcar.stores import locate

__all__ = ["ImageFile", "ImageTree", "LayerFiles", "pull_image", "read_image", "read_tree"]


def read_image(reference: str, *, platform: str | None = None, access: Access | None = None) -> ImageTree:
    """The layers and files of an image in a registry, an OCI layout or an OCI archive, without their content.

    Args:
        reference: `HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]`, or `oci-archive:FILE[:TAG]`.
        platform: `os/architecture[/variant]`; by default the first of the image.
        access: How registries are reached.

    Raises:
        ModelcarError: As `read_tree`.
    """
    access = access or Access()
    wanted = parse_platform(platform) if platform else None
    return read_tree(locate(reference, Http(ca_file=access.ca_file), access), wanted)


def pull_image(
    reference: str,
    folder: str | Path,
    *,
    platform: str | None = None,
    access: Access | None = None,
    listener: Listener = ignore,
) -> list[str]:
    """Write the files of an image's `/models` into a folder. Returns their paths.

    Args:
        reference: `HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]`, or `oci-archive:FILE[:TAG]`.
        folder: Where to; made if need be.
        platform: `os/architecture[/variant]`; by default the first of the image.
        access: How registries are reached.
        listener: Is told of each file.

    Raises:
        ModelcarError: As `pull`.
    """
    access = access or Access()
    location = locate(reference, Http(ca_file=access.ca_file), access)
    wanted = parse_platform(platform) if platform else None
    return pull(location, Path(folder), platform=wanted, listener=listener)
