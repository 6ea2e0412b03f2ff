"""The record of an unfinished build: when it is written, what it holds, and how it goes."""

from __future__ import annotations

import json

import pytest

from modelcar.build.assemble import model_layer
from modelcar.build.plan import PlannedLayer
from modelcar.build.record import Record
from modelcar.errors import Denied, Interrupted, ModelcarError, NetworkError, NotFound, Refused
from modelcar.events import Event, RecordWritten, Warned
from modelcar.oci import Digest, StoredLayer
from modelcar.sources import SourceFile
from tests.doubles.in_memory import MemoryStore, put_blob

PLAN = "0123456789abcdef" * 4
TAG = "modelcar-partial-0123456789ab"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FailingStore(MemoryStore):
    """A store whose manifests can't be written."""

    error: ModelcarError = Refused("405")
    writes = 0

    def write_manifest(self, content: bytes, media_type: str, version: str) -> Digest:
        self.writes += 1
        raise self.error


class Recording:
    """A record in a store, and what it told."""

    def __init__(self, store: MemoryStore, interval: float = 300) -> None:
        self.store, self.clock, self.events = store, Clock(), list[Event]()
        self.record = Record(store, PLAN, self.events.append, interval, self.clock)

    def finish(self, name: str, after: float = 0) -> None:
        """A layer is finished after so many seconds."""
        self.clock.now += after
        layer = PlannedLayer((SourceFile(name, 1, f"sha256:{name}"),))
        blob = put_blob(self.store, layer.title.encode(), "")
        self.record.add(model_layer(layer, StoredLayer(blob.digest, blob.size, blob.digest)))

    @property
    def written(self) -> list[int]:
        return [event.layers for event in self.events if isinstance(event, RecordWritten)]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


def test_it_is_written_at_most_once_an_interval_and_only_with_a_new_layer() -> None:
    recording = Recording(MemoryStore())
    for name, after in [("a", 10.0), ("b", 289.0), ("c", 1.0), ("d", 299.0), ("e", 1.0), ("f", 1000.0)]:
        recording.finish(name, after)
    assert recording.written == [3, 5, 6]


def test_it_is_an_image_that_quay_removes_by_itself() -> None:
    recording = Recording(MemoryStore(), interval=0)
    recording.finish("model.safetensors")
    manifest = json.loads(recording.store.manifests[TAG].content)
    config = json.loads(recording.store.blobs[manifest["config"]["digest"]])
    assert config["config"] == {"Labels": {"quay.expires-after": "2d"}}
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    (layer,) = manifest["layers"]
    assert layer["annotations"].keys() == {"modelcar.key", "modelcar.path"}


def test_the_next_build_reads_it() -> None:
    store = MemoryStore()
    Recording(store, interval=0).finish("a")
    (layer,) = Recording(store).record.read()
    assert store.blobs[layer.descriptor.digest] == b"a"
    assert Recording(MemoryStore()).record.read() == ()


def test_it_joins_what_another_builder_wrote() -> None:
    store = MemoryStore()
    one, two = Recording(store, interval=0), Recording(store, interval=0)
    one.finish("a")
    two.finish("b")
    one.finish("c")
    assert (one.written, two.written) == ([1, 3], [2])


def test_it_goes_at_the_end_and_once_is_enough() -> None:
    store = MemoryStore()
    one, two = Recording(store, interval=0), Recording(store, interval=0)
    one.finish("a")
    two.finish("b")
    one.record.remove()
    two.record.remove()
    assert store.tags() == []


def test_one_that_was_only_read_goes_too() -> None:
    store = MemoryStore()
    Recording(store, interval=0).finish("a")
    other = Recording(store)
    other.record.read()
    other.record.remove()
    assert store.tags() == []


@pytest.mark.parametrize("error", [Refused("405"), Denied("403")])
def test_a_refusal_is_the_last_time_it_is_tried(error: ModelcarError) -> None:
    store = FailingStore()
    store.error = error
    recording = Recording(store, interval=0)
    recording.finish("a")
    recording.finish("b")
    assert store.writes == 1
    assert recording.warnings == [f"no record of the unfinished build is kept: {error}"]


@pytest.mark.parametrize("error", [NetworkError("gone"), NotFound("a blob of it is gone")])
def test_what_may_be_over_the_next_time_is_tried_again(error: ModelcarError) -> None:
    store = FailingStore()
    store.error = error
    recording = Recording(store, interval=0)
    recording.finish("a")
    recording.finish("b")
    assert store.writes == 2


def test_a_build_that_is_stopped_while_it_is_written_can_still_leave_it() -> None:
    store = FailingStore()
    store.error = Interrupted("stopped")
    recording = Recording(store, interval=0)
    with pytest.raises(Interrupted):
        recording.finish("a")
    assert recording.warnings == []
    recording.record.leave(MemoryStore(blobs=store.blobs))
    assert recording.written == [1]
