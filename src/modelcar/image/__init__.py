"""An image as files: what is in which layer, single files by range, and back into a folder."""

from __future__ import annotations

from pathlib import Path

from modelcar.events import Cancel, Listener, ignore
from modelcar.http import Http
from modelcar.image.copy import Copier, CopyOptions, CopyResult
from modelcar.image.head import ImageHead, read_head
from modelcar.image.lookup import ImageFiles
from modelcar.image.pull import PullOptions, pull
from modelcar.image.tree import ImageFile, ImageTree, LayerFiles, read_tree
from modelcar.image.verify import FileCheck, Verifier, VerifyOptions, VerifyResult
from modelcar.oci import parse_platform
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores import locate

__all__ = [
    "CopyOptions",
    "CopyResult",
    "FileCheck",
    "ImageFile",
    "ImageFiles",
    "ImageHead",
    "ImageTree",
    "LayerFiles",
    "PullOptions",
    "VerifyOptions",
    "VerifyResult",
    "copy_image",
    "open_image",
    "pull_image",
    "read_head",
    "read_image",
    "read_tree",
    "verify_image",
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


def copy_image(
    source: str,
    target: str,
    options: CopyOptions | None = None,
    *,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> CopyResult:
    """Copy an image between registries, layouts and archives, byte for byte, on all its platforms.

    Args:
        source: `HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]`, or `oci-archive:FILE[:TAG]`.
        target: The same; a registry's without a tag means `:latest`.
        options: All wishes.
        listener: Is told of what happens, from several threads, one call at a time.
        cancel: Thrown from another thread, it ends the copy early.

    Raises:
        UsageError: References or options that make no sense.
        NotFound: The image, a manifest or a blob of it is not there.
        Denied: Credentials are missing, wrong, or not enough, on either side.
        ContentMismatch: A blob or manifest isn't what its digest says: nothing of it is kept.
        Refused: A limit or rule forbids it; a full disk.
        NetworkError: A server or the network gave up.
        Interrupted: `cancel` was thrown.
    """
    return Copier(source, target, options or CopyOptions(), listener, cancel).run()


def verify_image(
    reference: str,
    options: VerifyOptions | None = None,
    *,
    access: Access | None = None,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> VerifyResult:
    """Verify an image: manifests, layers, diffIDs, and each file against what its source states.

    What is wrong stands in the result's `problems`.

    Args:
        reference: `HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]`, or `oci-archive:FILE[:TAG]`.
        options: What is compared with what.
        access: How registries are reached.
        listener: Is told of each layer, from several threads, one call at a time.
        cancel: Thrown from another thread, it ends the work early.

    Raises:
        NotFound: The image or a part of it is not there; or no source where one is required.
        ContentMismatch: A manifest or config has other bytes than its digest says.
        ModelcarError: As store and source do.
    """
    access, patience = access or Access(), Patience(Cancel(cancel), listener)
    http = Http(ca_file=access.ca_file)
    location = locate(reference, http, access, patience)
    return Verifier(location, options or VerifyOptions(), http, patience, listener).run()
