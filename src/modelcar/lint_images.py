"""The images that objects name, for `modelcar lint --images`: what `check` finds, at the line that names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelcar.check import Checked, check_before_deploying, split_scheme
from modelcar.errors import ContentMismatch, ModelcarError, NotFound, Refused, UsageError
from modelcar.kserve.check import ImageCheck, Severity
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.rules_connections import uri_of_connection
from modelcar.kserve.lint.service import Service, is_vllm
from modelcar.settings import Access

REFUSED, MISSING, UNCHECKED, DOUBTFUL = "image-refused", "image-missing", "image-unchecked", "image-doubtful"
FORMAT = "image-format"

_LATEST = "latest"
"""What `check` says of the tag, lint says without looking."""


def image_rules(arch: str, access: Access | None = None) -> Callable[[Service, Report], None]:
    """Rules that look at each image once, however many objects name it.

    Args:
        arch: Architecture of the nodes.
        access: How registries are reached.
    """
    known: dict[str, _Looked] = {}
    gone: dict[str, str] = {}

    def look(service: Service, report: Report) -> None:
        places = {source.node.string: source.node for source in service.sources}
        if brought := uri_of_connection(service):
            places.setdefault(brought[1], brought[0])
        for uri, node in places.items():
            if split_scheme(uri)[0] is None:
                continue
            if uri not in known:
                known[uri] = _found(uri, arch, access, gone)
            for rule, message, fix in known[uri].told:
                report.add(rule, node, message, fix)
            if known[uri].foreign and _runs_vllm(service):
                report.add(FORMAT, node, *known[uri].foreign)

    return look


@dataclass(frozen=True, slots=True)
class _Looked:
    """What is known of an image.

    Attributes:
        told: Rule, message and fix of what is wrong with it.
        foreign: Message and fix, where vLLM doesn't serve what is in it.
    """

    told: list[tuple[str, str, str]]
    foreign: tuple[str, str] | tuple[()] = ()


def _found(uri: str, arch: str, access: Access | None, gone: dict[str, str]) -> _Looked:
    try:
        done = check_before_deploying(uri, ImageCheck.WARN, arch=arch, access=access, gone=gone)
    except UsageError:
        return _Looked([])  # another rule says what is wrong with the name
    except NotFound as error:
        return _Looked([(MISSING, error.what, error.hint)])
    except (Refused, ContentMismatch) as error:
        return _Looked([(REFUSED, error.what, error.hint)])
    except ModelcarError as error:
        return _Looked([(UNCHECKED, error.what, error.hint)])
    return _Looked(_told(done), _foreign(done))


def _foreign(done: Checked) -> tuple[str, str] | tuple[()]:
    """What vLLM doesn't serve: GGUF, and the layouts of other servers. Of what nobody knows nothing is said."""
    served = done.served
    if done.facts is not None and done.facts.format == "gguf":
        fix = "take a ServingRuntime of llama.cpp's server and its modelFormat"
        return f"{done.name}: the weights are GGUF, and the runtime is vLLM", fix
    if served.runtime in ("", "vllm"):
        return ()
    named = served.format.partition(":")[0]
    fix = f"take a runtime for {served.runtime}" + (f", with modelFormat {{name: {named}}}" if named else "")
    return f"{done.name}: {served.reason}, and the runtime is vLLM", fix


def _runs_vllm(service: Service) -> bool:
    """Whether vLLM is what serves, and not told to read one GGUF file, its experiment."""
    if not is_vllm(service):
        return False
    words = [word for server in service.servers for word, _ in server.words]
    if any(word.endswith(".gguf") for word in words):
        return False
    runtime = service.runtime_server
    image = runtime.node.get("image") if runtime is not None else None
    return image is None or "vllm" in image.text.lower() or any("vllm" in word for word in words)


def _told(done: Checked) -> list[tuple[str, str, str]]:
    if done.unchecked:
        return [(UNCHECKED, f"{done.name} was not looked at: {done.unchecked}", "")]
    wrong = [(REFUSED, f"{done.name}: {one.reason}", one.fix) for one in done.failures]
    return wrong + [
        (_RULES[one.severity], f"{done.name}: {one.reason}", one.fix)
        for one in done.findings
        if one.severity in _RULES and one.concerns(done.scheme) and one.rule != _LATEST
    ]


_RULES = {Severity.UNCHECKED: UNCHECKED, Severity.WARNING: DOUBTFUL}
