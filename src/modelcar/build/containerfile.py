"""The text of a Containerfile that builds a plan with a container engine: pure.

No name of a file gets into an instruction: the download script lays each layer out as a folder, which one COPY takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelcar.build.assemble import USER
from modelcar.build.plan import Plan
from modelcar.errors import Refused

CONTEXT = "model"
"""Name of the build context that holds the files, where the source is a folder."""

_LONGEST = 160
"""Characters of a file's name in a comment."""


@dataclass(frozen=True, slots=True)
class Stages:
    """What the two stages stand on.

    Attributes:
        downloader: An image with python3 3.9 or later, by digest where that is known.
        base: The image under the model, likewise; `scratch` for none.
    """

    downloader: str
    base: str


def containerfile(plan: Plan, stages: Stages, labels: Mapping[str, str]) -> str:
    """The Containerfile: one COPY a layer of the plan.

    Raises:
        Refused: A label or a location that can't be written into one line.
    """
    local = plan.snapshot.revision is None
    lines = [*_header(plan, local=local), "", f"FROM {_word(stages.downloader)} AS download", "USER 0"]
    lines.append("COPY download.py model.json /modelcar/")
    if local:
        mount, source = f"--mount=type=bind,from={CONTEXT},target=/source", " /source"
    else:
        mount, source = "--mount=type=secret,id=hf_token", ""
    lines.append(f"RUN {mount} python3 /modelcar/download.py /modelcar/model.json /layers{source}")
    lines += ["", f"FROM {_word(stages.base)}"]
    for number, layer in enumerate(plan.layers):
        title = json.dumps(
            layer.title if len(layer.title) <= _LONGEST else layer.title[:_LONGEST] + "…", ensure_ascii=False
        )
        lines.append(f"# layer {number}, {layer.size:,} bytes: {title}")
        lines.append(f"COPY --from=download --chown=0:0 /layers/{number}/ /")
    lines += [f"LABEL {_quoted(key)}={_quoted(value)}" for key, value in sorted(labels.items())]
    # KServe passes its shell line through `args`: what the base runs would swallow it.
    lines += ["ENTRYPOINT []", "WORKDIR /", f"USER {USER}"]
    return "\n".join(lines) + "\n"


def _header(plan: Plan, *, local: bool) -> list[str]:
    more = f" --build-context {CONTEXT}=FOLDER" if local else " --secret id=hf_token,src=TOKEN_FILE"
    why = "FOLDER is the folder of the model" if local else "Leave --secret out where the model needs no token"
    return [
        f"# {json.dumps(plan.snapshot.location)} as a ModelCar, written by modelcar containerfile: write it again",
        "# rather than edit it. In the folder of this file:",
        "#",
        f"#   podman build{more} -t IMAGE .",
        f"#   buildah build --layers{more} -t IMAGE .",
        "#",
        f"# {why}. Without --layers buildah makes one layer of all.",
        "# docs/containerfile.md of modelcar has the Tekton TaskRun and the OpenShift BuildConfig.",
    ]


def _word(reference: str) -> str:
    if not re.fullmatch(r"[\w.:/@\[\]-]+", reference, re.ASCII):
        raise Refused(f"{reference!r} can't be an image in a Containerfile", "name it as HOST/REPOSITORY:TAG")
    return reference


def _quoted(text: str) -> str:
    """A text as a quoted word, in which engines replace neither variables nor escapes."""
    if not text.isprintable():
        raise Refused(f"the label {text!r} holds a control character", "a Containerfile has no way to write it")
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'
