"""Builds in the tests' own process, into a layout whose tag has an image already, and the Hub that `hf://` leads to."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar import BuildOptions, BuildResult, ModelcarError, build_image, pull_image
from modelcar.events import Event, LayerStarted, Listener, Waiting, Warned, ignore
from tests.doubles.content import PIECE, Content, Generated
from tests.doubles.hub import TOKEN, Hub
from tests.models import read_files, write_files

NAME = "acme/x"
SOURCE = f"hf://{NAME}"
CARD = b"---\nlicense: apache-2.0\n---\n# X\n"
CONFIG = b'{"model_type": "tests"}'
WEIGHTS = Generated(3 * PIECE + 17, seed=1)
FILES: dict[str, bytes | Path | Content] = {"README.md": CARD, "config.json": CONFIG, "model.safetensors": WEIGHTS}
_ONE = ("linux/amd64",)


@contextlib.contextmanager
def served(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, **options: Any) -> Iterator[Hub]:
    """A Hub for `hf://`, with a token that it knows. At its end no secret may have got into another hand or a log."""
    with Hub(**options) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
    assert hub.leaks == []
    check_no_secret("\n".join(record.getMessage() for record in caplog.get_records("call")), hub)


def check_no_secret(said: str, hub: Hub) -> None:
    """Neither the token nor the signature of a link that the Hub gave."""
    signatures = {found[1] for record in hub.requests if (found := re.search(r"Signature=(\w+)", record.path))}
    for secret in {TOKEN, *signatures}:
        assert secret not in said


class Builds:
    """Builds of one test, and what they leave in the layout and said meanwhile.

    Args:
        folder: Where the layout is made.
        caplog: Takes what `-vv` would show.
    """

    def __init__(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "modelcar")
        self.layout = folder / "layout"
        self.target = f"oci:{self.layout}:tag"
        self.events: list[Event] = []
        before = write_files(folder / "before", {"model.safetensors": b"the image that is there before"})
        build_image(str(before), self.target, BuildOptions(base="none", platforms=_ONE, cache_dir=None))

    def run(
        self, source: str | Path = SOURCE, target: str = "", *, listener: Listener = ignore, **options: Any
    ) -> BuildResult:
        """Build for one platform; tries come fast, and `listener` is told of everything first."""

        def listen(event: Event) -> None:
            listener(event)
            self.events.append(event)

        wishes = BuildOptions(**{"base": "none", "platforms": _ONE, "retry": 2, "retry_delay": 0.01, **options})
        return build_image(str(source), target or self.target, wishes, listener=listen)

    def fails(self, kind: type[ModelcarError], source: str | Path = SOURCE, **options: Any) -> str:
        """The one line of the error that a build ends with. It has left the tag as it was and nothing half-written."""
        before = (self.layout / "index.json").read_bytes()
        with pytest.raises(ModelcarError) as raised:
            self.run(source, **options)
        assert isinstance(raised.value, kind), raised.value
        assert (self.layout / "index.json").read_bytes() == before
        assert {path.name for path in self.layout.iterdir()} == {"blobs", "index.json", "oci-layout"}
        for blob in (self.layout / "blobs" / "sha256").iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
        line = str(raised.value)
        assert "\n" not in line
        assert TOKEN not in line
        assert "Signature" not in line
        return line

    def files(self, reference: str = "") -> dict[str, bytes]:
        """The model's files in the image."""
        with tempfile.TemporaryDirectory() as folder:
            pull_image(reference or self.target, Path(folder))
            return read_files(Path(folder))

    @property
    def waits(self) -> list[float]:
        """The seconds of each wait before something was tried again."""
        return [event.seconds for event in self.events if isinstance(event, Waiting)]

    @property
    def warnings(self) -> list[str]:
        """What users were warned of."""
        return [event.message for event in self.events if isinstance(event, Warned)]

    def attempts(self, title: str) -> int:
        """How often a layer was begun."""
        return sum(isinstance(event, LayerStarted) and event.title == title for event in self.events)
