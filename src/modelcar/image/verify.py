"""An image against what is said of it: by its manifests, by its configs, and by the source that its files came from."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from modelcar.errors import UsageError
from modelcar.events import LayerFinished, LayerProgress, LayerStarted, Listener, Planned, one_at_a_time
from modelcar.http import Http
from modelcar.image.check import ROOT, LayerCheck, check_layer
from modelcar.image.graph import Graph, read_graph
from modelcar.image.head import ImageHead, read_config
from modelcar.image.stated import StatedFiles, read_if_named, read_stated
from modelcar.image.transfer import Meter, title_of
from modelcar.image.tree import LayerFiles, with_layers
from modelcar.oci import Config, Descriptor, Digest, Manifest, media
from modelcar.parallel import side_by_side
from modelcar.retry import Patience
from modelcar.stores import Location
from modelcar.stores.named import named_manifest

_WRONG_LAYER = "its layer is wrong"
_IMAGES = (media.OCI_CONFIG, media.DOCKER_CONFIG)


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What is compared with what.

    Attributes:
        source: A folder or `hf://…` to compare the files with; None for what the image itself names.
        offline: Ask no source.
        require_source: Fail where the files can't be compared with one.
        workers: Layers at a time; None for one for each processor.
    """

    source: str | None = None
    offline: bool = False
    require_source: bool = False
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class FileCheck:
    """A file below `/models`, and how it was compared with the source.

    Attributes:
        path: Below `/models`.
        layer: The digest of the layer that holds its bytes.
        size: Bytes.
        check: `sha256`, `git-sha1`, or empty where it was not compared: its layer's digest covers it then.
        problem: What is wrong with it, or with its layer where it was not compared; empty where nothing is known.
    """

    path: str
    layer: Digest
    size: int
    check: str
    problem: str

    @property
    def is_wrong(self) -> bool:
        """Whether it is known to be this very file."""
        return bool(self.problem) and self.problem != _WRONG_LAYER


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What an image proved to be.

    Attributes:
        reference: The image, with its digest.
        digest: Of its index or manifest.
        manifests: How many were verified.
        layers: The digests of those that were verified.
        size: Bytes of the layers.
        files: Those below `/models`.
        source: What they were compared with; None where they were not.
        reason: Why they were not; empty where they were.
        problems: All that is wrong, in words.
        seconds: Wall time.
    """

    reference: str
    digest: Digest
    manifests: int
    layers: tuple[Digest, ...]
    size: int
    files: tuple[FileCheck, ...]
    source: str | None
    reason: str
    problems: tuple[str, ...]
    seconds: float


class Verifier:
    """Verifies one image.

    Args:
        location: The image.
        options: What is compared with what.
        http: Connections.
        patience: How requests are tried again, and what ends it early.
        listener: Is told of each layer, from several threads, one call at a time.
    """

    def __init__(
        self, location: Location, options: VerifyOptions, http: Http, patience: Patience, listener: Listener
    ) -> None:
        if options.offline and (options.source or options.require_source):
            raise UsageError("--offline asks no source", "leave it out, or leave out --source and --require-source")
        self._location = location
        self._options = options
        self._http = http
        self._patience = patience
        self._listener = one_at_a_time(listener)
        self._workers = options.workers or os.cpu_count() or 1
        self._started = time.monotonic()

    def run(self) -> VerifyResult:
        """Verify manifests, configs, layers, diffIDs and files, on all platforms.

        Raises:
            NotFound: The image or a part of it is not there.
            ContentMismatch: A manifest or config has other bytes than its digest says.
            ModelcarError: As store and source do.
        """
        store = self._location.store
        graph = read_graph(store, named_manifest(self._location))
        images = list(self._images(graph))
        stated = self._stated(graph, images)
        checks = self._check_layers(_layers_of(graph), stated.kinds)
        problems = [problem for check in checks.values() for problem in _problems_of(check)]
        problems += _wrong_diff_ids(images, checks)
        files = self._files(graph, images, checks, stated)
        problems += [f"/models/{each.path} in layer {each.layer}: {each.problem}" for each in files if each.is_wrong]
        digest = graph.root.digest
        return VerifyResult(
            reference=str(self._location) if self._location.digest else f"{self._location}@{digest}",
            digest=digest,
            manifests=len(graph.nodes),
            layers=tuple(checks),
            size=sum(check.descriptor.size for check in checks.values()),
            files=files,
            source=stated.source,
            reason=stated.reason,
            problems=tuple(problems),
            seconds=round(time.monotonic() - self._started, 3),
        )

    def _images(self, graph: Graph) -> Iterator[tuple[Manifest, Config]]:
        """The manifests of images of files, each with its config: an index may list attestations, too."""
        for node in graph.nodes:
            if isinstance(node.value, Manifest) and node.value.config.media_type in _IMAGES:
                yield node.value, read_config(self._location.store, node.value.config)

    def _stated(self, graph: Graph, images: Sequence[tuple[Manifest, Config]]) -> StatedFiles:
        options = self._options
        if options.offline:
            return StatedFiles(reason="--offline")
        if options.source is not None:
            return read_stated(options.source, self._http, self._patience)
        said: dict[str, str] = {}
        for manifest, config in reversed(images):
            labels = (config.config.labels if config.config else None) or {}
            said |= {**labels, **(manifest.annotations or {})}
        said |= graph.root.value.annotations or {}
        return read_if_named(said, self._http, self._patience, required=options.require_source)

    def _check_layers(self, layers: Mapping[Digest, Descriptor], kinds: Mapping[str, str]) -> dict[Digest, LayerCheck]:
        """Each layer read once, the largest first so that no long one is left for the end."""
        self._listener(Planned(len(layers), sum(layer.size for layer in layers.values()), 0, 0, "image"))

        def check(item: tuple[int, Descriptor]) -> LayerCheck:
            number, layer = item
            title = title_of(layer)
            self._listener(LayerStarted(number, title, layer.size, 1))
            meter = Meter(self._patience, lambda sent: self._listener(LayerProgress(number, sent)))
            found = check_layer(self._location.store, layer, number, kinds, meter)
            self._listener(LayerFinished(number, title, layer.digest, layer.size, "verified"))
            return found

        order = sorted(layers.values(), key=lambda layer: -layer.size)
        checks = side_by_side(check, list(enumerate(order)), self._workers, self._patience)
        found = {layer.digest: each for layer, each in zip(order, checks, strict=True)}
        return {digest: found[digest] for digest in layers}

    def _files(
        self,
        graph: Graph,
        images: Sequence[tuple[Manifest, Config]],
        checks: Mapping[Digest, LayerCheck],
        stated: StatedFiles,
    ) -> tuple[FileCheck, ...]:
        """The files that a container sees below `/models`, on any platform."""
        found: dict[tuple[str, Digest], tuple[int, str]] = {}
        for manifest, config in images:
            head = ImageHead(self._location, graph.root.digest, (config.platform,), manifest, config)
            layers = [LayerFiles(layer, checks[layer.digest].numbered(n)) for n, layer in enumerate(manifest.layers)]
            tree = with_layers(head, tuple(layers))
            for path, file in tree.files().items():
                content = tree.content_of(file)
                if path.startswith(ROOT) and content is not None and content.kind == "file":
                    layer = manifest.layers[content.layer].digest
                    found[path, layer] = content.size, checks[layer].hashes.get(content.offset, "")
        stated = stated.with_digests([path for path, _ in found], self._workers, self._patience)
        return tuple(
            _compared(path, checks[layer], size, digest, stated)
            for (path, layer), (size, digest) in sorted(found.items())
        )


def _compared(path: str, check: LayerCheck, size: int, digest: str, stated: StatedFiles) -> FileCheck:
    name, layer = path.removeprefix(ROOT), check.descriptor.digest
    file = stated.files.get(path)
    unknown = FileCheck(name, layer, size, "", "" if check.digest == layer else _WRONG_LAYER)
    if stated.source is None:
        return unknown
    if file is None:
        return FileCheck(name, layer, size, "", f"{stated.source} has no such file")
    kind = (file.digest or "").partition(":")[0]
    if size != file.size:
        problem = f"it has {size:,} bytes, and {stated.source} states {file.size:,}"
        return FileCheck(name, layer, size, kind, problem)
    if digest.partition(":")[0] != kind:
        return unknown  # a hard link to a file that was hashed another way
    problem = "" if digest == file.digest else f"its content is {digest}, and {stated.source} states {file.digest}"
    return FileCheck(name, layer, size, kind, problem)


def _layers_of(graph: Graph) -> dict[Digest, Descriptor]:
    """The layers of all platforms, lowest first, each once."""
    manifests = [node.value for node in graph.nodes if isinstance(node.value, Manifest)]
    return {layer.digest: layer for manifest in manifests for layer in manifest.layers}


def _problems_of(check: LayerCheck) -> Iterable[str]:
    layer = check.descriptor
    if check.size != layer.size:
        yield f"layer {layer.digest} has {check.size:,} bytes, and its manifest states {layer.size:,}{_holding(check)}"
    elif check.digest != layer.digest:
        yield f"layer {layer.digest} has other bytes than its digest says ({check.digest}){_holding(check)}"
    elif check.damage:
        yield check.damage


def _holding(check: LayerCheck) -> str:
    """The files of a layer that is wrong: without a source nobody knows which of them it is."""
    names = [f"/{file.path}" for file in check.files if file.kind == "file"]
    return f": it holds {', '.join(names[:10])}{', …' if len(names) > 10 else ''}" if names else ""


def _wrong_diff_ids(images: Sequence[tuple[Manifest, Config]], checks: Mapping[Digest, LayerCheck]) -> list[str]:
    found: dict[str, None] = {}
    for manifest, config in images:
        stated = config.rootfs.diff_ids
        if len(stated) != len(manifest.layers):
            counts = f"{len(stated)} diffIDs for {len(manifest.layers)} layers"
            found[f"the config {manifest.config.digest} states {counts}"] = None
            continue
        for layer, diff_id in zip(manifest.layers, stated, strict=True):
            check = checks[layer.digest]
            if check.digest == layer.digest and check.diff_id and check.diff_id != diff_id:
                found[
                    f"layer {layer.digest} unpacks to {check.diff_id}, "
                    f"and the config {manifest.config.digest} states the diffID {diff_id}"
                ] = None
    return list(found)
