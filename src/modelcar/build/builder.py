"""The whole of a build: from a source to an image in a store, each step by the module that knows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from modelcar.build.assemble import Description, Image, assemble, model_layer, standard_keys
from modelcar.build.baseimage import Base, embedded_base, for_docker, full_name, no_base, read_base
from modelcar.build.estimate import Estimate, estimate
from modelcar.build.hashing import with_digests
from modelcar.build.known import Candidate, KnownLayers, Mount, layers_if_any, layers_of, may_hold
from modelcar.build.memory import Memory
from modelcar.build.options import EMBEDDED_BASE, NO_BASE, BuildOptions, created
from modelcar.build.plan import LayerLimits, Plan, PlannedLayer, make_plan
from modelcar.build.publish import Publisher
from modelcar.build.record import Record
from modelcar.build.select import Selection, select
from modelcar.build.send import Sender
from modelcar.errors import Interrupted, ModelcarError, NetworkError, NotFound, UsageError
from modelcar.events import Built, Cancel, LayerFinished, Listener, Planned, SourceResolved, Warned, one_at_a_time
from modelcar.http import Http
from modelcar.oci import Digest, Format, Platform, StoredLayer
from modelcar.parallel import QUESTIONS, side_by_side
from modelcar.retry import Patience
from modelcar.sources import Snapshot, Source, open_source
from modelcar.stores import Limits, Location, Store, locate
from modelcar.stores.tags import forbidden, replaces

_LAST_WORDS = 5.0
"""Seconds that a stopped build waits at the most for its record to be written."""


@dataclass(frozen=True, slots=True)
class LayerFate:
    """What a build would do with a layer: `how` is `send`, `reused` or `mounted`; `stored` where it exists."""

    layer: PlannedLayer
    how: str
    stored: StoredLayer | None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did.

    Attributes:
        plan: What went where.
        fates: Each layer of the plan, in its order.
        reference: The image, with its digest; without one after a dry run.
        digest: Of the index; None after a dry run.
        platforms: What the image is for.
        read: Bytes of model files that were read from the source for layers.
        sent: Bytes of layers' blobs that were sent.
        reused: Bytes of layers' blobs that were there already or mounted.
        seconds: Wall time.
        estimate: What compressing would cost and save, where it was asked for and nothing was built.
    """

    plan: Plan
    fates: tuple[LayerFate, ...]
    reference: str
    digest: Digest | None
    platforms: tuple[Platform, ...]
    read: int
    sent: int
    reused: int
    seconds: float
    estimate: Estimate | None = None


class _Choice(NamedTuple):
    """What is to be built, the limits that bind it, and the plan as far as names and sizes tell."""

    snapshot: Snapshot
    selection: Selection
    limits: LayerLimits
    draft: Plan


class Builder:
    """One build. `plan` finds out everything; `run` does it.

    Args:
        source: `hf://OWNER/NAME[@REVISION]` or a folder.
        target: Where the image goes; None to plan without comparing.
        options: All wishes.
        listener: Is told of what happens, from several threads, one call at a time.
        cancel: Ends it early.
    """

    def __init__(
        self, source: str, target: str | None, options: BuildOptions, listener: Listener, cancel: Cancel | None = None
    ) -> None:
        self._options = options
        self._format = Format(options.image_format)
        self._compression = options.layer_compression
        self._listener = one_at_a_time(listener)
        self._started = time.monotonic()
        # The user's switch ends a build, and so does its own first failure.
        self._patience = Patience(
            Cancel(cancel), self._listener, tries=1 + options.retry, first_wait=options.retry_delay
        )
        self._http = Http(ca_file=options.access.ca_file, connections=4 * options.workers)
        self._source: Source = open_source(source, self._http)
        self._target = locate(target, self._http, options.access, self._patience) if target is not None else None
        if self._target is not None and self._target.digest:
            raise UsageError(f"{target} names a digest, and a build makes its own", "name a tag")
        if self._target is not None and self._format is Format.DOCKER and not self._target.store.holds_docker:
            raise UsageError(
                f"{target} can't hold Docker's manifests", "name a registry, or leave --image-format docker out"
            )
        self._caches = [locate(text, self._http, options.access, self._patience) for text in options.cache_from]
        self._memory = Memory(options.cache_dir)

    def plan(self) -> BuildResult:
        """What a build would do, having sent nothing.

        Raises:
            ModelcarError: As `build` says.
        """
        try:
            base = self._base()
            plan = self._plan(self._choose(base))
            fates = self._fates(self._target, plan, _mount_nothing) if self._target else _all_to_send(plan)
            result = self._result(plan, fates, base, None)
            if self._compression.kind:
                guess = estimate(self._source, plan.files, self._compression, self._patience)
                result = replace(result, estimate=guess)
            return result
        finally:
            self._close()

    def run(self) -> BuildResult:
        """Build.

        Raises:
            ModelcarError: As `build` says.
        """
        assert self._target is not None
        target = self._target
        record = None
        try:
            base = self._base()
            # An image that must stay can at most prove to be the same: nothing is sent, mounted or recorded then.
            taken = replaces(target) if self._options.no_clobber else None
            chosen = self._choose(base)
            if taken is None:
                target.store.prepare()
            elif not (self._options.use_cache and may_hold(layers_if_any(target), chosen.draft.layers)):
                raise forbidden(target, taken)  # before a folder is hashed
            plan = self._plan(chosen)
            if taken is None:
                record = self._record(target.store, plan)
            fates = self._fates(target, plan, target.store.mount_blob if taken is None else _mount_nothing, record)
            if taken is not None and any(fate.stored is None for fate in fates):
                raise forbidden(target, taken)
            sender = Sender(self._source, target.store, self._patience, self._listener)
            publisher = Publisher(target, plan, base, sender, self._patience, self._listener)
            if taken is None:
                publisher.place_base()
            stored = self._send(target.store, plan, fates, sender, record)
            image = self._assemble(plan, base, stored)
            pushed = publisher.publish(image, stored, clobber=not self._options.no_clobber)
            if record is not None:
                record.remove()
            result = self._result(plan, fates, base, image.index[0].digest, sender, publisher.base_sent)
            self._listener(
                Built(
                    result.reference,
                    image.index[0].digest,
                    result.read,
                    result.sent,
                    result.reused,
                    result.seconds,
                    pushed,
                )
            )
            return result
        except (KeyboardInterrupt, Interrupted, NetworkError):
            if record is not None:
                self._leave(target, record)
            raise
        finally:
            self._close()

    def _leave(self, target: Location, record: Record) -> None:
        """Let a build that was stopped write its record, in a moment: another machine may go on with it."""
        patience = Patience(Cancel(), tries=1)

        def leave() -> None:
            # What stopped the build is what the user has to hear of.
            with suppress(ModelcarError):
                http = Http(ca_file=self._options.access.ca_file, silence=_LAST_WORDS)
                record.leave(locate(str(target), http, self._options.access, patience).store)

        thread = threading.Thread(target=leave, daemon=True)
        thread.start()
        thread.join(_LAST_WORDS)
        patience.cancel.set()

    def _close(self) -> None:
        self._patience.cancel.set()
        if self._target is not None:
            self._target.store.close()
        self._memory.close()

    def _base(self) -> Base:
        base = self._wished_base()
        return for_docker(base, self._patience) if self._format is Format.DOCKER else base

    def _wished_base(self) -> Base:
        options = self._options
        if options.base == NO_BASE:
            return no_base(options.platforms)
        if options.base == EMBEDDED_BASE:
            return embedded_base(options.platforms)
        location = locate(full_name(options.base), self._http, options.access, self._patience)
        return read_base(location, options.platforms, self._memory, need_shell=not options.base_without_shell)

    def _choose(self, base: Base) -> _Choice:
        """What can be found out before a folder is hashed."""
        snapshot = self._patience.persist(self._source.snapshot, "listing the source")
        selection = select(snapshot, self._options.wish)
        limits = self._limits(base)
        return _Choice(snapshot, selection, limits, make_plan(snapshot, selection, limits, self._compression))

    def _plan(self, choice: _Choice) -> Plan:
        snapshot, selection, limits, _ = choice
        options = self._options
        memory = self._memory if options.use_cache else Memory(None)
        files = with_digests(self._source, selection.kept, memory, self._patience, self._listener, options.workers)
        plan = make_plan(snapshot, replace(selection, kept=files), limits, self._compression)
        self._listener(
            SourceResolved(snapshot.location, snapshot.revision, len(files), sum(file.size for file in files))
        )
        for warning in plan.warnings:
            self._listener(Warned(warning))
        return plan

    def _limits(self, base: Base) -> LayerLimits:
        known = self._target.store.limits if self._target is not None else Limits()
        limit, reason = known.blob, known.reason
        if self._options.max_layer_size is not None:
            limit, reason = self._options.max_layer_size, "--max-layer-size"
        room = self._compression.room(limit) if limit is not None else None
        return LayerLimits(room, reason, base.depth)

    def _record(self, store: Store, plan: Plan) -> Record | None:
        if not self._options.record or not store.keeps_records:
            return None
        return Record(store, plan.id, self._listener, self._options.record_interval)

    def _fates(self, target: Location, plan: Plan, mount: Mount, record: Record | None = None) -> tuple[LayerFate, ...]:
        """What exists already, by all that is known."""
        known = self._known(target, plan, record) if self._options.use_cache else KnownLayers()
        store = target.store

        def fate(layer: PlannedLayer) -> LayerFate:
            stored, how = known.find(layer, store, mount) or (None, "send")
            return LayerFate(layer, how, stored)

        fates = tuple(side_by_side(fate, plan.layers, QUESTIONS, self._patience))
        there = [fate for fate in fates if fate.stored]
        self._listener(Planned(len(fates), plan.size, len(there), sum(fate.layer.size for fate in there)))
        return fates

    def _known(self, target: Location, plan: Plan, record: Record | None) -> KnownLayers:
        known = KnownLayers()
        known.add_image(target.store, layers_if_any(target))
        for cache in self._caches:
            try:
                known.add_image(cache.store, layers_of(cache))
            except NotFound as error:
                self._listener(Warned(f"--cache-from {cache} gives no layers: {error.what}"))
        if record is not None:
            known.add_image(target.store, record.read())
        for key, name, stored in self._memory.layers([layer.key for layer in plan.layers]):
            known.add(key, Candidate(stored, name))
        return known

    def _send(
        self, store: Store, plan: Plan, fates: tuple[LayerFate, ...], sender: Sender, record: Record | None
    ) -> dict[int, StoredLayer]:
        """All layers' blobs by number, those sent that have to be."""
        stored: dict[int, StoredLayer] = {}

        def finished(number: int, layer: PlannedLayer, blob: StoredLayer) -> None:
            stored[number] = blob
            self._memory.remember_layer(layer.key, store.name, blob)
            if record is not None:
                record.add(model_layer(layer, blob))

        for number, fate in enumerate(fates):
            if fate.stored is not None:
                finished(number, fate.layer, fate.stored)
                self._listener(LayerFinished(number, fate.layer.title, fate.stored.digest, fate.stored.size, fate.how))
        missing = [(number, fate.layer) for number, fate in enumerate(fates) if fate.stored is None]
        sender.send_all(missing, self._options.workers, finished)
        return stored

    def _assemble(self, plan: Plan, base: Base, stored: Mapping[int, StoredLayer]) -> Image:
        layers = [model_layer(layer, stored[number]) for number, layer in enumerate(plan.layers)]
        return assemble(base.platforms, layers, self._describe(plan.snapshot, base), self._format)

    def _describe(self, snapshot: Snapshot, base: Base) -> Description:
        """Standard keys (image-spec, annotations.md), then the user's own over them."""
        time_created = created()
        keys = standard_keys(snapshot, time_created, base.name, base.digest)
        options = self._options
        return Description(time_created, {**keys, **options.labels}, {**keys, **options.annotations})

    def _result(
        self,
        plan: Plan,
        fates: tuple[LayerFate, ...],
        base: Base,
        digest: Digest | None,
        sender: Sender | None = None,
        base_sent: int = 0,
    ) -> BuildResult:
        reference = ""
        if self._target is not None:
            reference = str(self._target) + (f"@{digest}" if digest else "")
        return BuildResult(
            plan=plan,
            fates=fates,
            reference=reference,
            digest=digest,
            platforms=tuple(platform.platform for platform in base.platforms),
            read=sender.read if sender else 0,
            sent=(sender.sent if sender else 0) + base_sent,
            reused=sum(fate.stored.size for fate in fates if fate.stored),
            seconds=round(time.monotonic() - self._started, 3),
        )


def _mount_nothing(_digest: Digest, _origin: str) -> bool:
    """A plan changes nothing in the target."""
    return False


def _all_to_send(plan: Plan) -> tuple[LayerFate, ...]:
    return tuple(LayerFate(layer, "send", None) for layer in plan.layers)
