"""How fast `modelcar lint` is, from its start to its end: `python -m benchmarks.lint`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.measure import measure
from benchmarks.report import size_of, table

_SERVICE = """\
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata:
  name: m{n}
  namespace: demo
  annotations:
    opendatahub.io/recommended-accelerators: '["nvidia.com/gpu"]'
spec:
  supportedModelFormats:
    - name: vLLM
      autoSelect: true
  containers:
    - name: kserve-container
      image: quay.io/acme/vllm:1
      command: [python, -m, vllm.entrypoints.openai.api_server]
      args: ["--port=8080", "--model=/mnt/models", "--served-model-name={{{{.Name}}}}"]
      ports:
        - containerPort: 8080
          protocol: TCP
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: m{n}
  namespace: demo
  labels:
    opendatahub.io/dashboard: "true"
  annotations:
    openshift.io/display-name: Model {n}   # what people read
    security.opendatahub.io/enable-auth: "true"
spec:
  predictor:
    minReplicas: 1
    maxReplicas: 1
    model:
      modelFormat:
        name: vLLM
      runtime: m{n}
      storageUri: oci://quay.io/acme/model-{n}:1
      args:
        - --max-model-len=8192
      resources:
        requests: {{cpu: "2", memory: 16Gi, nvidia.com/gpu: "1"}}
        limits: {{cpu: "2", memory: 16Gi, nvidia.com/gpu: "1"}}
---
"""
_VARIABLE = '        - {{name: VARIABLE_{n}, value: "{n}"}}\n'
_WRONG = "        - {{name: VARIABLE_{n}, valeu: {n}}}\n"
_HEAD = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: m, namespace: demo}
spec:
  predictor:
    model:
      modelFormat: {name: vLLM}
      runtime: m
      storageUri: oci://quay.io/acme/model:1
      env:
"""

CASES = {"objects": ("", _SERVICE), "one object, dense": (_HEAD, _VARIABLE), "all wrong": (_HEAD, _WRONG)}
"""What a file begins with, and what is repeated until it is large enough."""

BOUNDS = {1_000_000: (0.5, None), 10_000_000: (5.0, 300_000_000)}
"""Seconds and bytes that a file of this size may take."""


def content(case: str, size: int) -> str:
    """A file's text of nearly `size` bytes."""
    head, line = CASES[case]
    return head + "".join(_lines(line, size - len(head)))


def _lines(line: str, left: int) -> Iterator[str]:
    number = 0
    while (text := line.format(n=number)) and (left := left - len(text)) > 0:
        yield text
        number += 1


def main() -> None:
    """Lint files of 1 and 10 MB, and print the medians of some runs."""
    runs = 1 if "--quick" in sys.argv else 5
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, (seconds, memory) in BOUNDS.items():
            for case in CASES:
                path = folder / "x.yaml"
                path.write_text(content(case, size), encoding="utf-8")
                call: list[str | Path] = [sys.executable, "-m", "modelcar", "lint", path]
                command = ["/bin/sh", "-c", '"$@" || true', "sh", *call]  # mistakes end it with 1
                usages = [
                    measure([command], environment={}, folder=folder, output=folder / "output") for _ in range(runs)
                ]
                bound = f"{seconds} s" + (f", {size_of(memory)}" if memory else "")
                wall, cpu = (median(getattr(usage, key) for usage in usages) for key in ("seconds", "cpu"))
                rss = size_of(max(usage.rss for usage in usages))
                rows.append([f"{size_of(size)}: {case}", f"{wall:.2f} s", f"{cpu:.2f} s", rss, bound])
    print(table(["file", "wall", "CPU", "peak RSS", "bound"], rows))


if __name__ == "__main__":
    main()
