"""Random lines of the grammar of the embedded base, under it and under dash: the same in all that shows."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelcar import base
from tests import peers
from tests.shells import HERE, describe

# Names of files, some of them there at first; and anything, for what is only printed or compared.
NAMES = st.sampled_from(
    ["d", "e", "f", "l", "x", "d/a", "d/n", "l/a", "n", "n/m", "n m", "it's", 'q"', "a;b&c|d", "#h", "å", ".", "gone"]
)
TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "a", "do", "done", "[", "]", "!", "=", "$HOME", "`x`", "$(x)", "*", "a  b", "'", '"', "~"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\\\0", exclude_categories=["Cs"]), max_size=8),
).filter(lambda text: not text.startswith("-"))
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_,:+%@^]{}=!")
UNQUOTED = ("$(echo)", "$(echo a)", "$(echo 'a  b')", "a$(echo ' b ')c", "$(ls d)", "$(ls n; echo 1 2)")
REDIRECTIONS = ("", "", "", " >/dev/null", " 2>/dev/null", " 1> /dev/null 2>'/dev/null'")


T = TypeVar("T")


class Lines:
    """Draws lines, of commands up to some depth inside each other."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._left = 12  # commands

    def list(self, depth: int) -> str:
        line = self.command(depth)
        while self._left > 0 and self.one(False, True):
            line += self.one(" && ", " || ", "; ", "\n", "&&", "||\n", ";") + self.command(depth)
        return line

    def command(self, depth: int) -> str:
        self._left -= 1
        kind = self.one("simple", "simple", "subshell", "loop") if depth > 0 and self._left > 0 else "simple"
        command = getattr(self, kind)(depth - 1)
        return f"{command}{self.one(*REDIRECTIONS)}"

    def subshell(self, depth: int) -> str:
        return f"({self.list(depth)})"

    def loop(self, depth: int) -> str:
        """One that ends: by a folder that it makes."""
        stop = self.one("s1", "s2", "s3")
        head, condition = self.one(("until", f"[ -e {stop} ]"), ("while", f"[ ! -d {stop} ]"), ("while", "false"))
        before = self.one("", f"{self.list(depth)}; ")
        return f"{head} {before}{condition}; do mkdir -p {stop}; {self.list(depth)}; done"

    def simple(self, depth: int) -> str:
        match self.one("plain", "echo", "test", "ls", "mkdir", "ln"):
            case "echo":
                option = self.one("", "", "-n ")
                return f"echo {option}{' '.join(self.text(depth, *UNQUOTED) for _ in range(self.one(0, 1, 2, 3)))}"
            case "test":
                expression = self.one("", "", "! ") + self.expression(depth)
                return self.one(f"test {expression}", f"[ {expression} ]")
            case "ls":
                return f"{self.one('ls', 'ls -A', 'ls -A1', 'ls -1 --')} {self.name()}"
            case "mkdir":
                return f"mkdir -p {self.name()} {self.one('', self.name())}"
            case "ln":
                return f"{self.one('ln -s', 'ln -sf')} {self.one(self.name(), self.text(depth))} {self.name()}"
        return str(self.one("true", "false", "exit", "exit 0", "exit 3", "sleep 0", "ls", "ls -A"))

    def expression(self, depth: int) -> str:
        match self.one("file", "text", "compare", "bare"):
            case "file":
                return f"{self.one('-d', '-e', '-f', '-L')} {self.name()}"
            case "text":
                return f"{self.one('-n', '-z')} {self.text(depth)}"
            case "compare":
                return f"{self.text(depth)} {self.one('=', '!=')} {self.text(depth)}"
        return self.text(depth)

    def text(self, depth: int, *others: str) -> str:
        match self.one("text", "text", "text", "number", "inner", *others):
            case "text":
                return self.quoted(self._draw(TEXTS))
            case "number":
                return self.one("/proc/$$/root", '"<$$>"')
            case "inner":
                inner = self.list(depth - 1) if depth > 0 and self._left > 0 else "true"
                return self.one(f'"$( {inner})"', f'a"$( {inner} )"b')
            case other:
                return other

    def name(self) -> str:
        return self.quoted(self._draw(NAMES))

    def quoted(self, text: str) -> str:
        """A text as a word, each piece of it quoted in one of the ways."""
        pieces = []
        while text:
            size = self._draw(st.integers(1, len(text)))
            pieces.append(self._quote(text[:size]))
            text = text[size:]
        word = "".join(pieces)
        return word or self.one("''", '""')

    def _quote(self, text: str) -> str:
        ways = ["single", "double", "backslash", *(["none"] if PLAIN.issuperset(text) else [])]
        match self.one(*ways):
            case "single":
                return "'" + text.replace("'", "'\\''") + "'"
            case "double":
                return '"' + "".join("\\" + c if c in '$`"' else c for c in text) + '"'
            case "backslash":
                return "".join("'\n'" if c == "\n" else "\\" + c for c in text)
        return text

    def one(self, *choices: T) -> T:
        return self._draw(st.sampled_from(choices))


@st.composite
def lines(draw: st.DrawFn) -> str:
    return Lines(draw).list(3)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ours for this machine, and dash."""
    peers.require("dash")
    if not HERE:
        pytest.skip("there is no base for this machine")
    program = tmp_path_factory.mktemp("base") / "sh"
    program.write_bytes((Path(base.__file__).parent / "bin" / f"sh-{HERE}").read_bytes())
    program.chmod(0o755)
    return program, Path(str(shutil.which("dash")))


@example("until [ -e s1 ]; do mkdir -p s1; (exit 3); done && echo a")
@example("[ ! = ! ] && [ -d = -d ]")
@settings(max_examples=300)
@given(line=lines())
def test_random_lines(programs: tuple[Path, Path], line: str) -> None:
    ours, dash = programs
    # A link to a folder in the way of ln is never followed by ours, nor by GNU's with -n.
    assert _run(ours, line) == _run(dash, line.replace("ln -sf ", "ln -sfn ").replace("ln -s ", "ln -sn "))


def _run(program: Path, line: str) -> tuple[int, str, bool, dict[str, str]]:
    """Exit code, output, whether it complained, and the files there are then."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        folder = Path(name)
        (folder / "d").mkdir()
        (folder / "e").mkdir()
        for file in ("d/a", "d/.h", "f"):
            (folder / file).write_text(file)
        (folder / "l").symlink_to("d")
        (folder / "x").symlink_to("gone")
        process = subprocess.Popen(
            ["sh", "-c", line], executable=program, cwd=folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdout=output, stderr=errors, preexec_fn=_limit,
        )  # fmt: skip
        code = process.wait()
        output.seek(0)
        errors.seek(0)
        said, complaints = output.read().decode(), errors.read()
        assert b"; this image's sh knows only" not in complaints, complaints
        pid = re.compile(rf"(?<=[/<]){process.pid}(?=[/>])")
        tree = {str(path.relative_to(folder)): describe(path) for path in folder.rglob("*")}
        numbered = {pid.sub("PID", path): pid.sub("PID", what) for path, what in tree.items()}
        return code, pid.sub("PID", said), bool(complaints), numbered


def _limit() -> None:
    """A line that doesn't end is ended."""
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
