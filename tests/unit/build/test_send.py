"""Several layers at a time: which error is told, and who is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from modelcar.build.plan import PlannedLayer
from modelcar.build.send import Sender
from modelcar.errors import Denied, Interrupted
from modelcar.events import Cancel, ignore
from modelcar.oci import Descriptor
from modelcar.retry import Patience
from modelcar.stores import Blob
from tests.doubles.in_memory import MemorySource, MemoryStore

SOURCE = MemorySource({"a": b"a", "b": b"b"})


class ActingStore(MemoryStore):
    """A store that does this before it takes a layer."""

    act: Callable[[str], None]

    def write_blob(self, blob: Blob) -> Descriptor:
        self.act(blob.title)
        return super().write_blob(blob)


def send(act: Callable[[str], None], cancel: Cancel) -> None:
    """Two layers at once."""
    store = ActingStore()
    store.act = act
    layers = [(number, PlannedLayer((file,))) for number, file in enumerate(SOURCE.files)]
    Sender(SOURCE, store, Patience(cancel, tries=1), ignore).send_all(layers, 2, lambda *_: None)


class Noticed(Cancel):
    """A switch that is noticed at once: whoever throws it goes on when the other worker has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.other: threading.Thread | None = None

    def set(self) -> None:
        super().set()
        if self.other and self.other is not threading.current_thread():
            self.other.join(30)


def test_the_cause_is_told_and_not_that_the_others_were_stopped() -> None:
    cancel, waits = Noticed(), threading.Event()

    def act(title: str) -> None:
        if title == "b":
            cancel.other = threading.current_thread()
            waits.set()
            cancel.wait(30)
            raise Interrupted("stopped")
        waits.wait(30)
        raise Denied("no right to write")

    with pytest.raises(Denied, match="no right to write"):
        send(act, cancel)


def test_nobody_waits_for_a_layer_whose_server_is_silent() -> None:
    silent, over, answered = threading.Event(), threading.Event(), list[bool]()

    def act(title: str) -> None:
        if title == "b":
            silent.set()
            answered.append(over.wait(30))
        silent.wait(30)
        raise Denied("no right to write")

    with pytest.raises(Denied):
        send(act, Cancel())
    assert not answered
    over.set()
