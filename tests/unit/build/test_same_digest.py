"""The same model is the same image: whoever builds it, when, and how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelcar import BuildOptions, build_image
from modelcar.http import Http
from modelcar.settings import Access
from modelcar.stores import locate
from tests.models import model_files, write_files

FILES = {**model_files(shards=3), "empty": b"", "a/b/c.json": b"{}", "a-b.json": b"[]", "a.json": b"1"}


def built(folder: Path, layout: Path, **options: object) -> str:
    wishes = BuildOptions(**{"cache_dir": None, **options})  # type: ignore[arg-type]
    digest = build_image(str(folder), f"oci:{layout}:x", wishes).digest
    assert digest is not None
    return digest


@pytest.fixture
def first(tmp_path: Path) -> str:
    """The digest of a build to compare with."""
    return built(write_files(tmp_path / "model", FILES), tmp_path / "first")


def test_other_times_modes_and_owners(first: str, tmp_path: Path) -> None:
    for number, path in enumerate(sorted((tmp_path / "model").rglob("*"))):
        path.chmod(0o700 if path.is_dir() else 0o640)
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
        if os.geteuid() == 0:
            os.chown(path, 1000 + number, 2000 + number)
    assert built(tmp_path / "model", tmp_path / "second") == first


def test_other_order_of_files_on_the_disk(first: str, tmp_path: Path) -> None:
    again = write_files(tmp_path / "other" / "model", dict(reversed(FILES.items())))
    assert built(again, tmp_path / "second") == first


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_other_number_of_workers(first: str, tmp_path: Path, workers: int) -> None:
    assert built(tmp_path / "model", tmp_path / "second", workers=workers) == first


def test_whether_it_is_built_again_or_anew(first: str, tmp_path: Path, cache: Path) -> None:
    """With all that is remembered, with nothing, and with everything read again."""
    layout = tmp_path / "first"
    assert built(tmp_path / "model", layout, cache_dir=cache) == first
    assert built(tmp_path / "model", layout, cache_dir=cache) == first
    assert built(tmp_path / "model", layout, use_cache=False) == first


def test_another_process_locale_time_zone_and_hash_seed(first: str, tmp_path: Path) -> None:
    script = (
        "import sys, modelcar; print(modelcar.build_image(*sys.argv[1:], modelcar.BuildOptions(cache_dir=None)).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOSTNAME": "x", "USER": "y"}
    command = [sys.executable, "-c", script, str(tmp_path / "model"), f"oci:{tmp_path / 'second'}:y"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == first


def layers_and_times(layout: Path) -> tuple[list[str], set[str]]:
    """Digests of the layers, and all times that are written anywhere."""
    location = locate(f"oci:{layout}:x", Http(), Access())
    index = json.loads(location.store.manifest("x").content)
    manifest = json.loads(location.store.manifest(index["manifests"][0]["digest"]).content)
    config = json.loads((layout / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_bytes())
    times = {entry["created"] for entry in (config, *config["history"])}
    times |= {value["annotations"]["org.opencontainers.image.created"] for value in (index, manifest)}
    return [layer["digest"] for layer in manifest["layers"]], times


def test_source_date_epoch_reaches_no_layer(first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert built(tmp_path / "model", tmp_path / "second") != first
    layers, times = layers_and_times(tmp_path / "second")
    assert times == {"2023-11-14T22:13:20Z"}
    assert layers_and_times(tmp_path / "first") == (layers, {"1970-01-01T00:00:00Z"})


def test_other_content_is_another_image(first: str, tmp_path: Path) -> None:
    write_files(tmp_path / "model", {"a.json": b"2"})
    assert built(tmp_path / "model", tmp_path / "second") != first
