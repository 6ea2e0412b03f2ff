"""What a user may wish of a build."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from modelcar.build.compression import GZIP, PLAIN, Compression, parse_compression
from modelcar.build.record import INTERVAL
from modelcar.build.select import Wish
from modelcar.errors import UsageError
from modelcar.oci import Format
from modelcar.settings import Access, cache_folder

EMBEDDED_BASE = "embedded"
NO_BASE = "none"
DEFAULT_WORKERS = 4


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The wishes of a build, with their defaults.

    Attributes:
        wish: Which files.
        base: Reference of the image under the model, `embedded` for our own, or `none`.
        base_without_shell: Take a base in which KServe's shell lines can't run.
        image_format: `oci`, or `docker` for old consumers: manifests of its schema 2, with gzip layers.
        compression: Of layers: `none`, `gzip[:LEVEL]` or `zstd[:LEVEL]`. Unless said, `none` in OCI's format and `gzip`
            in Docker's.
        platforms: `os/architecture[/variant]` each; none means all of the base.
        labels: Added to the config's labels.
        annotations: Added to the annotations of manifests and index.
        max_layer_size: Bytes of one layer; by default what the target is known to take.
        workers: Layers in flight at a time. Where fewer are left and a connection is slow, the idle ones read ahead in
            a large file, with 128 MiB of memory at the most.
        cache_from: References of images whose layers may be taken over, besides the target tag.
        use_cache: Whether layers that exist already are taken over at all.
        record: Whether an unfinished build writes down what it has.
        record_interval: Seconds between two such records at the least.
        no_clobber: Refuse to move a tag that exists.
        dry_run: Find out everything, and send nothing.
        retry: How often a request, or a layer, that fails by the network is tried again.
        retry_delay: Seconds before the first of these; each further one waits twice as long.
        cache_dir: What this machine remembers; None remembers nothing.
        access: How registries are reached.
    """

    wish: Wish = field(default_factory=Wish)
    base: str = EMBEDDED_BASE
    base_without_shell: bool = False
    image_format: str = "oci"
    compression: str | None = None
    platforms: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    max_layer_size: int | None = None
    workers: int = DEFAULT_WORKERS
    cache_from: tuple[str, ...] = ()
    use_cache: bool = True
    record: bool = True
    record_interval: float = INTERVAL
    no_clobber: bool = False
    dry_run: bool = False
    retry: int = 5
    retry_delay: float = 0.5
    cache_dir: Path | None = field(default_factory=cache_folder)
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        """Raises `UsageError` for what can't be meant."""
        if self.image_format not in [str(known) for known in Format]:
            raise UsageError(f"there is no image format {self.image_format!r}", "it is oci or docker")
        if self.image_format == str(Format.DOCKER) and self.layer_compression.kind != "gzip":
            raise UsageError(
                f"--image-format docker takes no --compression {self.compression}",
                "its layers are gzip: KServe's fetch mode skips plain ones silently, and old readers know no zstd",
            )
        if self.image_format == str(Format.DOCKER) and self.annotations:
            raise UsageError("Docker's manifests hold no annotations", "say it with --label, in the image's config")
        if self.workers < 1 or self.retry < 0 or self.retry_delay < 0:
            raise UsageError("workers is at least 1, retry and retry_delay at least 0")
        for name in ("platforms", "cache_from"):
            if isinstance(getattr(self, name), str):
                raise UsageError(f"{name} is a list of texts, not one text")

    @property
    def layer_compression(self) -> Compression:
        """How layers are compressed, by all that was wished. Raises `UsageError` where there is no such way."""
        if self.compression is not None:
            return parse_compression(self.compression)
        return GZIP if self.image_format == str(Format.DOCKER) else PLAIN


def created() -> str:
    """The time that goes into config and annotations: `SOURCE_DATE_EPOCH`, else 1970 (reproducible-builds.org).

    Raises:
        UsageError: It is no number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    if not re.fullmatch(r"\d{1,11}", text):
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds since 1970")
    return datetime.fromtimestamp(int(text), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
