"""What an image or a source is, as far as it can be told without loading the model: what `modelcar inspect` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from modelcar.base import PLATFORMS, layer
from modelcar.base.needs import STAND_IN_LAYERS, missing_commands
from modelcar.errors import ContentMismatch, Denied, ModelcarError, NetworkError, NotFound
from modelcar.image import ImageTree
from modelcar.image.blobfile import TooDeep
from modelcar.image.head import PlatformImage, read_platforms
from modelcar.image.lookup import MODELS
from modelcar.image.tree import LayerFiles
from modelcar.kserve.modes import (
    Finding,
    LayerTraits,
    Traits,
    findings,
    is_plainly_named,
)
from modelcar.look import ImagePlace, SourcePlace, open_place
from modelcar.model import Facts, ModelFiles, read_facts
from modelcar.model.files import SomeFiles
from modelcar.model.fit import Wish, fit
from modelcar.model.safetensors import INDEX
from modelcar.oci import Digest, digest_of, media
from modelcar.retry import Patience
from modelcar.settings import Access

DEPTH = 32 * 1024**2
"""Stored bytes that are read of a layer without ranges (a compressed one, or all of a registry that knows none)."""

_WEIGHTS = (".safetensors", ".safetensors.index.json", ".gguf", ".bin", ".pt", ".pth")
_SINGLE = "model.safetensors"
_PREFIX = "org.opencontainers.image."


@dataclass(frozen=True, slots=True)
class InspectedLayer:
    """One layer of an image.

    Attributes:
        digest: Of the blob.
        size: Bytes of the blob.
        media_type: As the manifest says it.
        compression: `gzip`, `zstd`, empty for none; None where it is no tar.
        files: Paths that it holds, of the model from below `/models`, others with a leading `/`.
        is_whole: False where only its beginning was looked at.
        is_base: Whether it is below all layers that hold a part of the model.
    """

    digest: Digest
    size: int
    media_type: str
    compression: str | None
    files: tuple[str, ...] = field(repr=False)
    is_whole: bool
    is_base: bool


@dataclass(frozen=True, slots=True)
class Base:
    """What an image stands on.

    Attributes:
        name: Its reference, `modelcar's own`, or `modelcar-base-image`.
        digest: Of its manifest or index; None where that isn't stated.
    """

    name: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of an image or a source.

    Attributes:
        location: The place, pinned: with commit or digest.
        facts: Of the model; None where none was found, or it can't be read.
        no_facts: Why there are none; empty where there are.
        size: Bytes: of a source's files, of an image's layers for the platform looked at.
        files: How many files the model has.
        kv_bytes_per_token: Of all attention layers, 16-bit cache; None where that isn't known.
        state_bytes: Of one sequence, in state-space layers; None where that isn't known.
        license: As image, source or model card state it.
        title: As the image or source states it.
        source: Where the model comes from: a URL.
        revision: The commit.
        created: RFC 3339, as an image states it.
        platforms: Of an image.
        platform: The one that was looked at.
        layers: Of an image for that platform, lowest first.
        base: What an image stands on; None where that isn't known, or there is none.
        modes: Whether each of KServe's modes can take an image.
        notes: What a reader should know besides.
    """

    location: str
    facts: Facts | None
    no_facts: str
    size: int
    files: int
    kv_bytes_per_token: int | None = None
    state_bytes: int | None = None
    license: str | None = None
    title: str | None = None
    source: str | None = None
    revision: str | None = None
    created: str | None = None
    platforms: tuple[PlatformImage, ...] = ()
    platform: str | None = None
    layers: tuple[InspectedLayer, ...] = ()
    base: Base | None = None
    modes: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def inspect(
    text: str,
    *,
    file: str | None = None,
    platform: str | None = None,
    access: Access | None = None,
    patience: Patience | None = None,
) -> Inspection:
    """What an image or a source is, from headers and configuration.

    Args:
        text: An image or a source, as for `look`.
        file: Which GGUF model, where there are several.
        platform: Of a multi-platform image; by default its first.
        access: How registries are reached.
        patience: How requests are tried again.

    Raises:
        NotFound: It isn't there, or not for that platform.
        ModelcarError: As sources and stores do.
    """
    place = open_place(text, platform=platform, access=access, patience=patience, depth=DEPTH)
    return _of_source(place, file) if isinstance(place, SourcePlace) else inspect_image(place, file)


def _of_source(place: SourcePlace, file: str | None) -> Inspection:
    snapshot = place.source.snapshot()
    facts, why = facts_of(place.files, file or place.file, ())
    per_token, state = _cache(facts)
    return Inspection(
        location=snapshot.location,
        facts=facts,
        no_facts=why,
        size=sum(entry.size for entry in snapshot.files),
        files=len(snapshot.files),
        kv_bytes_per_token=per_token,
        state_bytes=state,
        license=snapshot.licenses,
        title=snapshot.title,
        source=snapshot.url,
        revision=snapshot.revision,
        notes=facts.notes if facts else (),
    )


def inspect_image(place: ImagePlace, file: str | None = None) -> Inspection:
    """The same of an image that is open. `file` is which GGUF model, where there are several."""
    tree = place.files.tree
    notes = [beginning_only(number, known) for number, known in enumerate(tree.layers) if not known.is_whole]
    facts, why = facts_of(place.files, file, notes)
    per_token, state = _cache(facts)
    platforms = read_platforms(tree)
    notes += [
        f"the index names {image.digest} for {image.platform}, and it is not there"
        for image in platforms
        if image.manifest is None
    ]
    return Inspection(
        location=place.location,
        facts=facts,
        no_facts=why,
        size=sum({known.descriptor.digest: known.descriptor.size for known in tree.layers}.values()),
        files=len(place.files.sizes) if _has_models(tree) else 0,
        kv_bytes_per_token=per_token,
        state_bytes=state,
        license=_stated(place),
        title=tree.stated(f"{_PREFIX}title"),
        source=tree.stated(f"{_PREFIX}source") or tree.stated(f"{_PREFIX}url"),
        revision=tree.stated(f"{_PREFIX}revision"),
        created=tree.stated(f"{_PREFIX}created") or tree.config.created or None,
        platforms=platforms,
        platform=str(tree.config.platform),
        layers=_layers(tree),
        base=_base(tree),
        modes=findings(traits_of(tree)),
        notes=(*notes, *(facts.notes if facts else ())),
    )


def beginning_only(number: int, known: LayerFiles) -> str:
    """What to say of a layer of which not all was looked at."""
    kind = media.compression(known.descriptor.media_type)
    why = f"is {kind}" if kind else "can't be read by range"
    return f"layer {number} {why}: only the first {DEPTH:,} of its {known.descriptor.size:,} bytes were looked at"


def _stated(place: ImagePlace) -> str | None:
    try:
        return place.license()
    except TooDeep:
        return None


def facts_of(
    files: ModelFiles,
    gguf: str | None,
    notes: Iterable[str],
    read: Callable[[ModelFiles, str | None], Facts] = read_facts,
) -> tuple[Facts | None, str]:
    """The facts, or why there are none. Where not all layers were seen, at least what the configuration says.

    Args:
        files: Of the model.
        gguf: Which GGUF model, where there are several.
        notes: What was not seen; none where all was.
        read: How they are read.

    Raises:
        Denied, NetworkError: As the store says. Whatever else goes wrong is told.
    """
    partly = any(notes)
    try:
        found = read(files, gguf)
        return (replace(found, notes=(*found.notes, _MORE)) if partly and not is_indexed(files, found) else found), ""
    except (Denied, NetworkError):
        raise
    except ModelcarError as error:
        if not (partly or isinstance(error, TooDeep)):
            # A model that is damaged, or one of several, is no reason to say nothing of the image.
            return None, str(error)
    try:
        found = facts_without_weights(files)
    except (NotFound, ContentMismatch, TooDeep) as error:
        return None, f"{error.what}, in what was looked at"
    kept = tuple(note for note in found.notes if note != "no weights are there")
    missing = "the weights were not checked: their headers are not in what was looked at"
    return replace(found, notes=(*kept, missing)), ""


def facts_without_weights(files: ModelFiles) -> Facts:
    """What is known of a model but for its weights. Raises as `read_facts`."""
    return read_facts(SomeFiles(files, lambda path: not path.endswith(_WEIGHTS)))


_MORE = "there may be more weights in what was not looked at: what is told of them are those that were seen"


def is_indexed(files: ModelFiles, facts: Facts) -> bool:
    """Whether no file of weights can have been overlooked: an index names them all, or there can be but one."""
    prefix = f"{facts.folder}/" if facts.folder else ""
    return facts.format == "safetensors" and any(f"{prefix}{name}" in files.sizes for name in (INDEX, _SINGLE))


def _cache(facts: Facts | None) -> tuple[int | None, int | None]:
    if facts is None:
        return None, None
    reckoned = fit(facts, Wish())
    return reckoned.per_token, reckoned.state


def _has_models(tree: ImageTree) -> bool:
    return any(path.startswith(MODELS) for path, file in tree.files().items() if file.kind != "folder")


def _layers(tree: ImageTree) -> tuple[InspectedLayer, ...]:
    first = next((n for n, known in enumerate(tree.layers) if _of_model(known)), len(tree.layers))
    model = any(_of_model(known) for known in tree.layers)
    return tuple(
        InspectedLayer(
            digest=known.descriptor.digest,
            size=known.descriptor.size,
            media_type=known.descriptor.media_type,
            compression=media.compression(known.descriptor.media_type),
            files=tuple(_shown(file.path) for file in known.contents()),
            is_whole=known.is_whole,
            is_base=model and number < first and known.is_whole,
        )
        for number, known in enumerate(tree.layers)
    )


def _of_model(known: LayerFiles) -> bool:
    return any(file.path.startswith(MODELS) for file in known.files)


def _shown(path: str) -> str:
    return path.removeprefix(MODELS) if path.startswith(MODELS) else f"/{path}"


def _base(tree: ImageTree) -> Base | None:
    """As the image states it, or as its lowest layer shows."""
    if name := tree.stated(f"{_PREFIX}base.name"):
        return Base(name, tree.stated(f"{_PREFIX}base.digest"))
    if tree.config.rootfs.diff_ids and tree.config.rootfs.diff_ids[0] in _own_layers():
        return Base("modelcar's own")
    if any(known.descriptor.digest in STAND_IN_LAYERS for known in tree.layers):
        return Base("modelcar-base-image")
    digest = tree.stated(f"{_PREFIX}base.digest")
    return Base("", digest) if digest else None


def _own_layers() -> set[Digest]:
    return {digest_of(layer(platform)) for platform in PLATFORMS}


def traits_of(tree: ImageTree) -> Traits:
    """An image's traits, for what KServe makes of it.

    Args:
        tree: The image. Of layers that weren't read to their end nothing is taken for granted.
    """
    is_whole = all(known.is_whole for known in tree.layers)
    seen = _has_models(tree)
    execution = tree.config.config
    missing = missing_commands(tree.has_file)
    return Traits(
        layers=tuple(_traits(known) for known in tree.layers),
        has_models=seen if seen or is_whole else None,
        entrypoint=(execution.entrypoint if execution else None) or (),
        missing=missing if is_whole or not missing else None,
    )


def _traits(known: LayerFiles) -> LayerTraits:
    own = [file for file in known.contents() if file.path.startswith(MODELS)]
    has_models = bool(own) if own or known.is_whole else None
    named = all(is_plainly_named(file.spelled or file.path) for file in own)
    return LayerTraits(known.descriptor.media_type, has_models, named)
