"""What lint says of scalars is what kubectl reads in them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelcar.kserve.scalars import integer_of, plain_type

KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")

_TEXT = """
y Y yes Yes YES yEs n N no No NO nO on On ON oN off Off OFF true True TRUE tRue false ~ null Null NULL nULL
0 1 -1 +7 00 -0 +0 017 -017 0o17 0O17 0o8 0x1F 0X1f -0x1F 0x 0b11 0b2 1_000 _1 1__0 0x_1 0_7 012345
08 09 1e3 1E3 1.5 .5 1. -2.5e-3 +.5 0.0 1_000.5 1_e3 . .e3 e3 1e
12345678901234567890 123456789012345678901234567890 12:30:45 2001-01-01 2001-01-01T00:00:00Z
1e1000 -1e1000 1E400 1e-1000 18446744073709551615 0xFFFFFFFFFFFFFFFF 0x10000000000000000
-0x10000000000000000 07777777777777777777777 .5_0 .925_ +.9_2 5_.2 0b1_1 1__0.5 190:20:30 .e1 1.e+3
Inf inf NaN v1 1.2.3 1Gi 100m + on-call yes-no Notes
"""
SCALARS = _TEXT.split()

_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


@pytest.mark.skipif(KUBECTL is None, reason="kubectl isn't here: the types of scalars weren't compared with it")
def test_types_are_kubectl_s(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    lines = "".join(f"- {text}\n" for text in SCALARS)
    path.write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\nx:\n{lines}")
    command: list[str | Path] = [
        str(KUBECTL),
        "patch",
        "--local",
        "-f",
        path,
        "--type",
        "merge",
        "-p",
        "{}",
        "-o",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    wrong = {}
    for text, value in zip(SCALARS, json.loads(done.stdout)["x"], strict=True):
        theirs, ours = _NAMES[type(value)], plain_type(text)
        # A whole number comes out as one, whatever it was in between.
        if ours != theirs and not (ours == "number" and integer_of(text) == value):
            wrong[text] = (ours, value)
        if theirs == "integer" and value < 2**63:
            assert integer_of(text) == value
    assert not wrong
