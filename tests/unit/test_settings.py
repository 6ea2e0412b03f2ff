"""Where settings come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelcar.errors import UsageError
from modelcar.settings import cache_folder, read_settings


def test_cache_folder_is_the_named_one_or_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELCAR_CACHE_DIR", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    monkeypatch.delenv("MODELCAR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder() == tmp_path / "user" / "modelcar"


def test_a_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "modelcar.toml"
    assert read_settings(path) == {}
    path.write_text('[build]\nworkers = 2\nlabel = ["a=b"]\n')
    assert read_settings(path) == {"build": {"workers": 2, "label": ["a=b"]}}


@pytest.mark.parametrize("content", [b"[build", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_settings_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "modelcar.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is no TOML"):
        read_settings(path)
    with pytest.raises(UsageError, match="can't be read"):
        read_settings(tmp_path)
