"""What download.py of a Containerfile's folder meets on the way, on the oldest Python that there is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelcar import BuildOptions
from modelcar.build.context import make_context
from tests.builds import FILES, NAME, SOURCE, served
from tests.doubles import faults
from tests.doubles.content import PIECE, read
from tests.doubles.hub import TOKEN, Hub
from tests.models import read_files

OLDEST = next(iter(sorted(Path("~/.pyenv/versions").expanduser().glob("3.9.*/bin/python"))), Path(sys.executable))
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Download:
    """A context of the Hub's model, and where its script downloads to."""

    context: Path
    out: Path

    def run(self, *wrap: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
        command = [*wrap, str(OLDEST), "download.py", "model.json", str(self.out)]
        env = {**os.environ, "HF_TOKEN": token}
        return subprocess.run(
            command, cwd=self.context, env=env, capture_output=True, text=True, timeout=60, check=False
        )

    def fails(self, code: int, *wrap: str, token: str = TOKEN) -> str:
        """The one line that it ends with; no wrong file is there, and no secret is said."""
        done = self.run(*wrap, token=token)
        last = done.stderr.splitlines()[-1]
        assert (done.returncode, last[:7]) == (code, "error: "), done.stderr
        assert "Traceback" not in done.stderr
        assert TOKEN not in done.stderr
        assert "Signature" not in done.stderr
        assert not list(self.out.glob("*/models/model.safetensors"))
        return last

    def files(self) -> dict[str, bytes]:
        return {path.split("/models/")[1]: content for path, content in read_files(self.out).items()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    with served(monkeypatch, caplog, resolve_cache=True) as hub:
        yield hub


def prepared(tmp_path: Path) -> Download:
    options = BuildOptions(base="none", cache_dir=None)
    make_context(SOURCE, options, downloader="localhost:1/py@sha256:" + "0a" * 32).write(tmp_path / "context")
    return Download(tmp_path / "context", tmp_path / "out")


def wanted() -> dict[str, bytes]:
    return {
        path: content if isinstance(content, bytes) else read(content)
        for path, content in FILES.items()
        if not isinstance(content, Path)
    }


def test_a_private_model_by_a_token_that_stays_at_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES, private=True)
    done = (download := prepared(tmp_path)).run()
    assert done.returncode == 0, done.stderr
    assert download.files() == wanted()
    assert hub.leaks == []


def test_a_cut_connection_goes_on_at_its_offset(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES)
    download = prepared(tmp_path)
    hub.fault(faults.cut(PIECE), WEIGHTS, where="cdn")
    assert download.run().returncode == 0
    assert download.files() == wanted()
    assert hub.pending_faults == 0
    assert hub.bytes_sent(WEIGHTS) < 1.5 * len(wanted()[WEIGHTS])


@pytest.mark.parametrize("fault", [faults.rate_limited(), faults.status(503), faults.drop()])
def test_what_passes_is_waited_for(hub: Hub, tmp_path: Path, fault: faults.Fault) -> None:
    hub.repo(NAME, FILES)
    download = prepared(tmp_path)
    hub.fault(fault, "/resolve/", where="hub")
    assert download.run().returncode == 0
    assert download.files() == wanted()
    assert hub.pending_faults == 0


def test_an_expired_link_is_asked_for_anew(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES)
    download = prepared(tmp_path)
    hub.fault(faults.expired(), WEIGHTS, where="cdn")
    assert download.run().returncode == 0
    assert download.files() == wanted()


def test_other_bytes_than_planned(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES)
    download = prepared(tmp_path)
    hub.fault(faults.flip(5), WEIGHTS, where="cdn")
    assert f"{WEIGHTS} is not what was planned" in download.fails(5)
    assert download.run().returncode == 0


def test_no_token_and_a_wrong_one(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES, private=True)
    download = prepared(tmp_path)
    assert "there is no token" in download.fails(4, token="")
    assert "check the token" in download.fails(4, token="hf_wrong")


def test_a_gated_model(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES, gated="manual", readers=())
    assert "is gated; accept its terms" in prepared(tmp_path).fails(4)


def test_a_redirect_to_another_scheme(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES)
    download = prepared(tmp_path)
    hub.fault(faults.redirect("ftp://localhost/x"), WEIGHTS, where="hub")
    assert "redirects to ftp://" in download.fails(7)


def test_a_full_disk(hub: Hub, tmp_path: Path) -> None:
    hub.repo(NAME, FILES)
    download = prepared(tmp_path)
    # A limit of the file's size is met as a full disk is: by a write that fails.
    line = download.fails(1, "prlimit", f"--fsize={PIECE}")
    assert f"{WEIGHTS} can't be written" in line
