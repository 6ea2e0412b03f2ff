"""The images that objects name, for `modelcar lint --images`: what `check` finds, at the line that names them."""

from __future__ import annotations

from collections.abc import Callable

from modelcar.check import Checked, check_before_deploying, split_scheme
from modelcar.errors import ContentMismatch, ModelcarError, NotFound, Refused, UsageError
from modelcar.kserve.check import ImageCheck, Severity
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.rules_connections import uri_of_connection
from modelcar.kserve.lint.service import Service
from modelcar.settings import Access

REFUSED, MISSING, UNCHECKED, DOUBTFUL = "image-refused", "image-missing", "image-unchecked", "image-doubtful"

_LATEST = "latest"
"""What `check` says of the tag, lint says without looking."""


def image_rules(arch: str, access: Access | None = None) -> Callable[[Service, Report], None]:
    """Rules that look at each image once, however many objects name it.

    Args:
        arch: Architecture of the nodes.
        access: How registries are reached.
    """
    known: dict[str, list[tuple[str, str, str]]] = {}
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
            for rule, message, fix in known[uri]:
                report.add(rule, node, message, fix)

    return look


def _found(uri: str, arch: str, access: Access | None, gone: dict[str, str]) -> list[tuple[str, str, str]]:
    """Rule, message and fix of what is wrong with an image."""
    try:
        return _told(check_before_deploying(uri, ImageCheck.WARN, arch=arch, access=access, gone=gone))
    except UsageError:
        return []  # another rule says what is wrong with the name
    except NotFound as error:
        return [(MISSING, error.what, error.hint)]
    except (Refused, ContentMismatch) as error:
        return [(REFUSED, error.what, error.hint)]
    except ModelcarError as error:
        return [(UNCHECKED, error.what, error.hint)]


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
