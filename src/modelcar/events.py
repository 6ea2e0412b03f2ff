"""What the engine tells while it works. Nothing in the engine prints: the CLI, a log or the console shows these."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a build, a pull or a plan."""

    def as_dict(self) -> dict[str, Any]:
        """The event as JSON-ready values, its kind under `event`."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class SourceResolved(Event):
    """A source was pinned: `revision` is a commit, or None for a folder."""

    source: str
    revision: str | None
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class HashingStarted(Event):
    """Files of a source that states no digests are read once to learn them; `size` in bytes."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """The layers are known; sizes in bytes. `reused` are those that need neither reading nor sending.

    `of` says which layers are counted: `model`, those of a build's model without its base's; or `image`, those of all
    platforms, each once.
    """

    layers: int
    size: int
    reused: int
    reused_size: int
    of: str = "model"


@dataclass(frozen=True, slots=True)
class LayerStarted(Event):
    """A layer's bytes begin to move, for the `attempt`-th time (from 1). `size` is that of its tar."""

    layer: int
    title: str
    size: int
    attempt: int


@dataclass(frozen=True, slots=True)
class LayerProgress(Event):
    """`sent` bytes of a layer's tar have moved so far, in this attempt."""

    layer: int
    sent: int


@dataclass(frozen=True, slots=True)
class LayerFinished(Event):
    """A layer is in the store, `size` bytes as its blob. `how` is `sent`, `reused`, `mounted` or `verified`."""

    layer: int
    title: str
    digest: str
    size: int
    how: str


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """Something is tried again after `seconds`, because of `why`."""

    what: str
    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something the user should know, though the work goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class RecordWritten(Event):
    """An unfinished build wrote which layers it has, under `tag`."""

    tag: str
    layers: int


@dataclass(frozen=True, slots=True)
class Built(Event):
    """The image is there. Sizes in bytes of model files and layers, time in seconds."""

    reference: str
    digest: str
    read: int
    sent: int
    reused: int
    seconds: float
    pushed: bool


@dataclass(frozen=True, slots=True)
class Copied(Event):
    """A copy is there. Bytes of blobs by what became of them, the number of artifacts that went along, seconds."""

    reference: str
    digest: str
    sent: int
    mounted: int
    there: int
    referrers: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FilePulled(Event):
    """A file of an image is in the folder.

    Attributes:
        path: Relative to the folder.
        size: In bytes.
        how: `fetched`; `unchanged`, as its layer's digest shows; or `unchecked`, as it was read without the rest of its
            layer, by whose digest alone it could be checked.
        replaced: Whether something else was in its place.
    """

    path: str
    size: int
    how: str = "fetched"
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The work ended with an error. The engine raises it; the command line ends its stream of events with this.

    Attributes:
        error: The kind, as the class of errors is called: `NotFound`.
        message: What happened, and to which thing.
        hint: What to do next; may be empty.
        exit_code: That of the command.
    """

    error: str
    message: str
    hint: str
    exit_code: int


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who don't listen."""


def one_at_a_time(listener: Listener) -> Listener:
    """The same listener for several threads: each call waits for the end of the one before."""
    lock = threading.Lock()

    def listen(event: Event) -> None:
        with lock:
            listener(event)

    return listen


class Cancel:
    """A switch that ends work early: every wait and every piece of a stream looks at it.

    Args:
        parent: Thrown, it throws this one too.
    """

    def __init__(self, parent: Cancel | None = None) -> None:
        self._event = threading.Event()
        # A parent may outlive many children, and a child keeps the switches between it and the first one.
        self._parent = parent
        self._children: weakref.WeakSet[Cancel] = weakref.WeakSet()
        self._lock = threading.RLock()
        if parent is not None:
            with parent._lock:
                parent._children.add(self)
            if parent.is_set():
                self.set()

    def set(self) -> None:
        """Ask all work to end."""
        self._event.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            child.set()

    def is_set(self) -> bool:
        """Whether work was asked to end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but not past the switch; True when it was thrown."""
        return self._event.wait(seconds)
