"""What all tests share: nothing of the user's own is read or written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# huggingface_hub reads these once, when it is first imported: in the tests' own process all tests share them.
for _name in [*os.environ]:
    if _name.startswith(("HF_", "HUGGING_FACE_")):
        del os.environ[_name]
os.environ["HF_HOME"] = str(Path(tempfile.gettempdir(), f"modelcar-tests-huggingface-{os.getpid()}"))
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

# No test is about time, and nothing of the last run decides this one.
settings.register_profile(
    "tests", deadline=None, database=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

_ALSO_FROM_OUTSIDE = ("SOURCE_DATE_EPOCH", "REGISTRY_AUTH_FILE", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches, credentials and settings in temporary places; no settings and no proxies from outside."""
    home = tmp_path_factory.mktemp("home")
    for name in [*os.environ]:
        if name.startswith("MODELCAR_") or name.lower().endswith("_proxy") or name in _ALSO_FROM_OUTSIDE:
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODELCAR_CACHE_DIR", str(home / "modelcar"))
    # What these tests count are the model's layers; those of the base have tests of their own.
    monkeypatch.setenv("MODELCAR_BUILD_BASE", "none")
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    (home / "docker").mkdir()
    (home / "docker" / "config.json").write_text("{}")  # podman and buildah want the file that is named to exist
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))


@pytest.fixture
def cache(_own_home: None) -> Path:
    """Where this test's modelcar remembers things."""
    return Path(os.environ["MODELCAR_CACHE_DIR"])
