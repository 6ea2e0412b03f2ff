"""Errors end in one line and an exit code; events are data."""

from __future__ import annotations

import dataclasses
import gc
import json
import weakref
from typing import Any, get_type_hints

import pytest

from modelcar import errors, events
from modelcar.cli.progress import _Live
from modelcar.errors import ModelcarError, NetworkError, RateLimited
from modelcar.events import Cancel, LayerStarted


def kinds(base: type[Any]) -> list[type[Any]]:
    return [kind for direct in base.__subclasses__() for kind in (direct, *kinds(direct))]


def test_exit_codes_are_those_that_the_manual_gives() -> None:
    ours = {kind.__name__: kind.exit_code for kind in kinds(ModelcarError) if kind.__module__ == errors.__name__}
    assert ours == {
        "UsageError": 2, "NotFound": 3, "Denied": 4, "ContentMismatch": 5, "Refused": 6, "NetworkError": 7,
        "RateLimited": 7, "Unreached": 7, "Interrupted": 130,
    }  # fmt: skip
    assert ModelcarError("x").exit_code == 1


def test_an_error_is_one_line_with_what_to_do_next() -> None:
    assert str(ModelcarError("it broke", "mend it")) == "it broke; mend it"
    assert str(ModelcarError("it broke")) == "it broke"
    error = RateLimited("slow", retry_after=5)
    assert isinstance(error, NetworkError)
    assert (error.retry_after, error.final) == (5, False)


EXAMPLES: dict[Any, Any] = {str: "x", int: 1, float: 0.5, bool: True, str | None: None}


@pytest.mark.parametrize("kind", kinds(events.Event), ids=lambda kind: kind.__name__)
def test_every_event_is_json(kind: type[events.Event]) -> None:
    hints = get_type_hints(kind)
    values = {field.name: EXAMPLES[hints[field.name]] for field in dataclasses.fields(kind)}
    assert json.loads(json.dumps(kind(**values).as_dict())) == {"event": kind.__name__, **values}


def test_a_switch_that_lives_long_keeps_none_that_nobody_needs() -> None:
    parent = Cancel()
    child = weakref.ref(Cancel(parent))
    gc.collect()
    assert child() is None
    parent.set()


def test_a_name_with_brackets_is_shown_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with _Live() as live:
        live(LayerStarted(0, "model[fp16].safetensors", 5, 1))
    assert "model[fp16].safetensors" in capsys.readouterr().err
