"""The command line as its users meet it: what it writes where, how it ends, and where its settings come from."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import peers
from tests.cli import MODELCAR, image, modelcar
from tests.doubles.hub import Hub
from tests.doubles.registry import Refuse, Registry
from tests.models import model_files, read_files, write_files

FILES = model_files()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


# Output


def test_only_the_reference_is_on_stdout(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1")
    assert done.code == 0
    assert re.fullmatch(rf"oci:{tmp_path}/out:1@sha256:[0-9a-f]{{64}}\n", done.out)
    assert re.search(r"^read \d.*, sent \d.*, reused 0 B, took \d", done.err, re.MULTILINE)


def test_quiet_says_nothing_else(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "-q")
    assert done.out.startswith(f"oci:{tmp_path}/out:1@sha256:")
    assert (done.out.count("\n"), done.err) == (1, "")


def test_the_reference_can_be_used(model: Path, tmp_path: Path) -> None:
    reference = modelcar("build", model, f"oci:{tmp_path}/out:1", "-q").out.strip()
    assert modelcar("pull", reference, tmp_path / "pulled", "-q").out == ""
    assert read_files(tmp_path / "pulled") == FILES


def test_json_is_one_event_a_line_and_ends_with_built(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "--format", "json")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert {"SourceResolved", "Planned", "LayerStarted", "LayerFinished"} <= {event["event"] for event in events}
    assert events[-1]["event"] == "Built"
    assert events[-1]["reference"] == f"oci:{tmp_path}/out:1@{events[-1]['digest']}"
    assert done.err == ""


@pytest.mark.parametrize(
    ("command", "error", "code", "message", "hint"),
    [
        ("build none oci:out:1", "NotFound", 3, "the folder none doesn't exist", ""),
        ("build model oci:out:1 --compression lz4", "UsageError", 2, "there is no compression 'lz4'", None),
        ("copy oci:none:1 oci:out:1", "NotFound", 3, "there is no OCI layout at none", ""),
        ("pull oci:none:1 out", "NotFound", 3, "there is no OCI layout at none", ""),
    ],
)
def test_the_last_event_of_a_failure_is_the_line_that_people_read(
    model: Path, command: str, error: str, code: int, message: str, hint: str | None
) -> None:
    done = modelcar(*command.split(), "--format", "json", cwd=model.parent)
    last = json.loads(done.out.splitlines()[-1])
    assert (last["event"], last["error"], last["exit_code"], done.code) == ("Failed", error, code, code)
    assert last["message"].startswith(message)
    assert hint is None or last["hint"] == hint
    assert done.error == "; ".join(filter(None, (last["message"], last["hint"])))
    assert modelcar(*command.split(), cwd=model.parent).out == ""


def test_the_digest_goes_into_a_file(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "--digest-file", tmp_path / "digest")
    assert (tmp_path / "digest").read_text() == done.out.partition("@")[2]


def test_a_failed_build_leaves_no_digest(tmp_path: Path) -> None:
    assert modelcar("build", tmp_path / "none", f"oci:{tmp_path}/out", "--digest-file", tmp_path / "digest").code == 3
    assert not (tmp_path / "digest").exists()


def test_a_digest_that_can_not_be_written_is_told_at_once(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "--digest-file", tmp_path / "no" / "digest")
    assert done.code == 2
    assert done.error.startswith(f"--digest-file {tmp_path}/no/digest can't be written")
    assert not (tmp_path / "out").exists()


def test_a_plan_shows_files_reasons_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hub() as hub:
        hub.repo("acme/tiny", {**FILES, "pytorch_model.bin": b"the same again"})
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        text = modelcar("plan", "hf://acme/tiny").out
        plan = json.loads(modelcar("plan", "hf://acme/tiny", "--format", "json").out)
    left = "- +14 B +pytorch_model.bin +left out: .+ that are there as safetensors"
    assert re.search(rf"^ *{left}$", text, re.MULTILINE)
    assert "left out: 1 file, 14 B\n" in text
    assert [each["path"] for each in plan["left_out"]] == ["pytorch_model.bin"]
    assert {file["path"] for layer in plan["layers"] for file in layer["files"]} == {*FILES}
    assert {layer["how"] for layer in plan["layers"]} == {"send"}


def test_ls_shows_layers_and_files(model: Path, tmp_path: Path) -> None:
    digest = image(model, f"oci:{tmp_path}/out:1")
    text = modelcar("ls", "--layers", f"oci:{tmp_path}/out:1").out
    assert text.startswith(
        f"oci:{tmp_path}/out:1@{digest}\nlinux/amd64, linux/arm64, linux/ppc64le, linux/s390x; linux/amd64: 3 layers, "
    )
    assert all(f"/models/{path}\n" in text for path in FILES)
    listed = json.loads(modelcar("ls", f"oci:{tmp_path}/out:1", "--format", "json").out)
    files = [file for layer in listed["layers"] for file in layer["files"] if file["kind"] == "file"]
    assert {file["path"]: file["size"] for file in files} == {f"models/{path}": len(FILES[path]) for path in FILES}


def test_which_layers_are_counted_is_said(model: Path, tmp_path: Path) -> None:
    """Those of the model in a build, those of all platforms in a copy: each on its base has another one below."""
    layout = f"oci:{tmp_path}/out:1"
    assert "in 3 model layers\n" in modelcar("plan", model).out
    assert "\n3 model layers, " in modelcar("build", model, layout, "--base", "embedded").err
    assert modelcar("copy", layout, f"oci:{tmp_path}/copy:1").err.startswith("7 layers of all platforms, ")
    assert "5 manifests, 7 layers of all platforms, " in modelcar("verify", layout).out
    assert re.search(r"platform +linux/amd64: \d+ kB in 4 layers\n", modelcar("inspect", layout).out)


def test_requests_are_shown_without_secrets(model: Path, tmp_path: Path) -> None:
    with Registry() as registry:
        done = modelcar("build", model, f"{registry.host}/acme/tiny:1", "-vv")
    assert f"PUT http://{registry.host}/v2/acme/tiny/manifests/1 -> 201" in done.err
    assert "uthorization" not in done.err


def test_a_reader_that_goes_away_is_no_failure_to_talk_of(model: Path, tmp_path: Path) -> None:
    image(write_files(model, {f"{n:0200}.json": b"{}" for n in range(500)}), f"oci:{tmp_path}/out:1")
    piped = f"'{sys.executable}' -m modelcar ls --layers oci:{tmp_path}/out:1 | head -1"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"oci:{tmp_path}/out:1@sha256:")
    assert done.stderr == ""


def test_a_terminal_shows_a_live_area_and_leaves_the_reference_alone(tmp_path: Path, model: Path) -> None:
    with Hub(rate=200_000) as hub:
        hub.repo("acme/tiny", FILES)
        said, out = on_a_terminal(
            "build", "hf://acme/tiny", f"oci:{tmp_path}/out:1", env={"HF_ENDPOINT": hub.endpoint, "TERM": "xterm"}
        )
    assert "all layers" in said
    assert "model-00001-of-00002.safetensors" in said
    assert "\x1b[" in said
    assert re.fullmatch(rf"oci:{tmp_path}/out:1@sha256:[0-9a-f]{{64}}\n", out)


def on_a_terminal(*args: str, env: dict[str, str]) -> tuple[str, str]:
    """What a command writes to a terminal that is its stderr, and to its stdout."""
    terminal, end = pty.openpty()
    said = bytearray()
    with subprocess.Popen([*MODELCAR, *args], stdout=subprocess.PIPE, stderr=end, env={**os.environ, **env}) as process:
        os.close(end)
        with contextlib.suppress(OSError):  # EIO: the other end has been closed
            while piece := os.read(terminal, 65536):
                said += piece
        assert process.stdout
        out = process.stdout.read().decode()
    os.close(terminal)
    assert process.returncode == 0, said
    return said.decode(), out


# How it ends


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (["build"], 2, "Missing argument 'SOURCE'; see modelcar build --help"),
        (["build", "model"], 2, "Missing argument 'TARGET'; see"),
        (["build", "model", "oci:out", "more"], 2, "Got unexpected extra argument (more); see"),
        (["biuld"], 2, "No such command 'biuld'"),
        (["build", "model", "oci:out", "--wrong"], 2, "No such option '--wrong'"),
        (["build", "model", "oci:out", "--workers", "0"], 2, "Invalid value for '--workers'"),
        (
            ["build", "model", "oci:out", "--max-layer-size", "5x"],
            2,
            "'5x' is no size: write it like 10GB or 5GiB; see",
        ),
        (["build", "model", "oci:out", "--label", "x"], 2, "'x' is no KEY=VALUE; see"),
        (["build", "model", "oci:out", "--format", "xml"], 2, "'xml' is not one of 'text', 'json'; see"),
        (["build", "model", "oci:out", "--ca-file", "none"], 2, "--ca-file none doesn't exist"),
        (["build", "model", "oci:out", "--platform", "amd64"], 2, "'amd64' is no platform"),
        (["build", "s3://x", "oci:out"], 2, "s3:// is no source; sources are hf://OWNER/NAME[@REVISION] and folders"),
        (["build", "hf://x/y/z", "oci:out"], 2, "names no model; write hf://OWNER/NAME"),
        (["build", "model", "x"], 2, "'x' names no registry"),
        (["--config", "none.toml", "plan", "model"], 2, "none.toml doesn't exist"),
        (["completion", "tcsh"], 2, "Invalid value for 'SHELL': 'tcsh' is not one of 'bash', 'zsh', 'fish'; see"),
        (["build", "none", "oci:out"], 3, "the folder none doesn't exist"),
        (["build", "model", "oci:out", "--include", "*.gguf"], 3, "no file is left by --include *.gguf"),
        (["ls", "oci:none"], 3, "there is no OCI layout at none"),
        (["pull", "oci:none", "out"], 3, "there is no OCI layout at none"),
        (["build", "model", "oci:model"], 6, "the folder model holds something else than an OCI layout"),
        (["build", "model", "oci:out", "--max-layer-size", "1kB"], 6, "over the 1,000 of --max-layer-size"),
        (["ls", "127.0.0.1:1/x:1", "-q"], 2, "No such option '-q'"),
        (["build", "model", "127.0.0.1:1/x:1", "--retry", "0"], 7, "no connection to 127.0.0.1:1"),
    ],
)
def test_each_failure_is_one_line_and_a_code(
    model: Path, tmp_path: Path, call: list[str], code: int, says: str
) -> None:
    done = modelcar(*call, cwd=tmp_path)
    assert (done.code, done.out) == (code, "")
    assert says in done.error
    assert done.err.count("error: ") == 1


def test_denied_is_4(model: Path) -> None:
    with Registry() as registry:
        registry.fault(Refuse(403), times=None)
        done = modelcar("build", model, f"{registry.host}/acme/tiny:1")
    assert done.code == 4
    assert "wants credentials; modelcar login" in done.error


def test_without_a_command_it_shows_its_help() -> None:
    done = modelcar()
    assert done.code == 2
    assert "Usage: " in done.err
    assert "error" not in done.err


def test_help_and_version() -> None:
    assert modelcar("--version").out.startswith("modelcar ")
    for command in ("build", "plan", "ls", "cat", "pull", "login", "logout", "completion"):
        done = modelcar(command, "-h")
        assert (done.code, done.err) == (0, "")
        assert f"{command} [OPTIONS]" in done.out


# Settings


def planned_with(tmp_path: Path, *args: str, env: dict[str, str] | None = None) -> list[str]:
    """The platforms of a plan."""
    text = modelcar("plan", "model", *args, cwd=tmp_path, env=env).out
    return text.rpartition("platforms: ")[2].strip().split(", ")


def test_a_flag_wins_over_the_environment_and_that_over_the_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "modelcar.toml").write_text('[plan]\nplatform = ["linux/amd64", "linux/arm64"]\n')
    environment = {"MODELCAR_PLAN_PLATFORM": "linux/s390x"}
    assert planned_with(tmp_path) == ["linux/amd64", "linux/arm64"]
    assert planned_with(tmp_path, env=environment) == ["linux/s390x"]
    assert planned_with(tmp_path, "--platform", "linux/ppc64le", env=environment) == ["linux/ppc64le"]


@pytest.mark.parametrize(
    ("workers", "args", "env"),
    [("0", [], {}), ("1", [], {"MODELCAR_BUILD_WORKERS": "0"}), ("1", ["--workers", "0"], {})],
)
def test_settings_are_checked_wherever_they_come_from(
    model: Path, tmp_path: Path, workers: str, args: list[str], env: dict[str, str]
) -> None:
    (tmp_path / "modelcar.toml").write_text(f"[build]\nworkers = {workers}\n")
    done = modelcar("build", "model", "oci:out", *args, cwd=tmp_path, env=env)
    assert done.code == 2
    assert "0 is not in the range" in done.error


def test_every_long_option_may_stand_in_the_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "modelcar.toml").write_text(
        '[build]\nlabel = ["a=1", "b=2"]\nannotation = "c=3"\nformat = "json"\nno-record = true\n'
        'max-layer-size = "1GB"\nretry = 0\nexclude = "*.txt"\nplatform = "linux/amd64"\n'
    )
    done = modelcar("build", "model", "oci:out:1", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["event"] == "Built"
    listed = modelcar("ls", "--layers", "oci:out:1", cwd=tmp_path).out
    assert "linux/amd64: 3 layers" in listed
    assert "vocab.txt" not in listed


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[build]\nworker = 3\n", "modelcar.toml: 'build' has no option 'worker'; see modelcar build --help"),
        ("[make]\nworkers = 3\n", "modelcar.toml: there is no command 'make'; its tables are build, "),
        ("workers = 3\n", "modelcar.toml: there is no command 'workers'"),
        ("[build\n", "modelcar.toml is no TOML: "),
    ],
)
def test_a_settings_file_with_a_mistake(model: Path, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "modelcar.toml").write_text(content)
    done = modelcar("plan", "model", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert says in done.error


def test_another_settings_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('[plan]\nplatform = "linux/amd64"\n')
    done = modelcar("--config", "other.toml", "plan", "model", cwd=tmp_path)
    assert done.out.endswith("platforms: linux/amd64\n")
    assert planned_with(tmp_path, env={"MODELCAR_CONFIG": "other.toml"}) == ["linux/amd64"]


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, tmp_path: Path) -> None:
    script = modelcar("completion", shell).out
    assert "_MODELCAR_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "completed"), [("modelcar bu", "plain,build"), ("modelcar build --pl", "plain,--platform")]
)
def test_completion_completes(words: str, completed: str) -> None:
    env = {"_MODELCAR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    program = Path(sys.executable).with_name("modelcar")
    done = subprocess.run([program], env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert completed in done.stdout


# Images of others


@pytest.mark.parametrize("tool", ["buildah", "podman"])
def test_images_of_others_are_read(model: Path, tmp_path: Path, tool: str) -> None:
    """Their layers are gzip, their members are named otherwise."""
    peers.require(tool)
    (model / "Containerfile").write_text("FROM scratch\nCOPY . /models\n")
    (model / ".containerignore").write_text("Containerfile\n.containerignore\n")
    with (
        peers.docker_registry(tmp_path) as registry,
        tempfile.TemporaryDirectory(prefix="pm-", dir="/tmp", ignore_cleanup_errors=True) as storage,
    ):
        place = f"{registry.host}/acme/tiny:1"
        # A short path: podman refuses a runroot of more than 50 characters.
        program = (tool, "--root", f"{storage}/r", "--runroot", f"{storage}/run", "--storage-driver", "vfs")
        peers.run(*program, "build", "--isolation", "chroot", "--quiet", "--tag", "tiny", model)
        peers.run(*program, "push", "--quiet", "--tls-verify=false", "tiny", f"docker://{place}")
        listed = json.loads(modelcar("ls", place, "--format", "json").out)
        assert {layer["media_type"].rpartition("gzip")[1] for layer in listed["layers"]} == {"gzip"}
        assert modelcar("pull", place, tmp_path / "pulled").code == 0
    assert read_files(tmp_path / "pulled") == FILES
