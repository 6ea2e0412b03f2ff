"""Deployment modes, versions, and what the dashboard makes of an object."""

from __future__ import annotations

import re

from modelcar.errors import ModelcarError
from modelcar.kserve.lint.document import QUOTED, Node
from modelcar.kserve.lint.findings import Edit, Report
from modelcar.kserve.lint.service import DEADLINE, MODE, Service
from modelcar.kserve.versions import LLM_KIND, MODE_WORDS, NEW_MODE_WORDS, Cluster, Flavor, Mode

_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")


def check_mode(service: Service, report: Report) -> None:
    """The word for the deployment mode."""
    found = service.item.meta("annotations", MODE)
    if found is None or service.llm or not found.string or "${" in found.text:
        return
    aim, word = service.world.aim, found.text
    mode = MODE_WORDS.get(word)
    release = Cluster(aim.flavor, aim.kserve).release if aim.flavor else aim.kserve
    if mode is None:
        near = next((known for known in MODE_WORDS if known.lower() == word.lower()), "")
        fix = f"write {near}" if near else f"one of {', '.join(MODE_WORDS)}"
        report.add("mode-word", found, f"no KServe knows the deployment mode {word!r}", fix, _word(found, near))
    elif mode is Mode.KNATIVE and aim.flavor is Flavor.OPENSHIFT_AI_3:
        report.add("mode-knative", found, f"OpenShift AI 3 has no mode {word}", "take the annotation out")
    elif release is not None and release < NEW_MODE_WORDS and word == mode.value:
        message = f"KServe {release} doesn't know {word}: the cluster's default applies"
        report.add("mode-word", found, message, f"write {mode.legacy}", _word(found, mode.legacy))
    elif release is not None and release >= NEW_MODE_WORDS and word == mode.legacy:
        message = f"KServe {release} rewrites {word} as {mode.value}"
        report.add("mode-legacy", found, message, f"write {mode.value}", _word(found, mode.value))


def _word(found: Node, word: str) -> Edit | None:
    """The change of one word for another one, in the quotes that are there."""
    document, node = found.document, found.index
    if not word or document.kinds[node] > QUOTED:
        return None
    return Edit(found.start, found.end, document.rewritten(node, word))


def check_deadline(service: Service, report: Report) -> None:
    """The progress deadline: read by Knative only."""
    for mapping in service.annotations():
        found = mapping.get(DEADLINE)
        if found is None:
            continue
        mode = service.mode()
        if mode is Mode.STANDARD:
            report.add(
                "progress-deadline",
                mapping.key(DEADLINE) or found,
                "the progress deadline does nothing in this mode",
            )
        elif mode is None and service.world.aim.flavor is not Flavor.OPENSHIFT_AI_2:
            message = "the progress deadline does nothing unless the cluster's default mode is Knative"
            report.add("progress-deadline", mapping.key(DEADLINE) or found, message, f"say the mode: {MODE}")
        elif found.string and not _DURATION.fullmatch(found.text) and "${" not in found.text:
            report.add("progress-deadline-value", found, f"{found.text!r} is no duration", "write it as 30m or 1h30m")


def check_visibility(service: Service, report: Report) -> None:
    """Labels that decide on a route."""
    if service.llm:
        return
    for key, words in _VISIBILITY.items():
        found = service.item.meta("labels", key)
        if found is None or not found.string or "$" in found.text:
            continue
        if found.text not in words:
            report.add("route-label", found, f"{key} knows no {found.text!r}", f"write {' or '.join(words)}")
        elif key == KNATIVE_VISIBILITY and service.mode() is Mode.STANDARD:
            report.add("route-label", found, f"{key} does nothing in this mode", f"write {VISIBILITY}: {found.text}")


VISIBILITY, KNATIVE_VISIBILITY = "networking.kserve.io/visibility", "networking.knative.dev/visibility"
_VISIBILITY = {VISIBILITY: ("exposed", "cluster-local"), KNATIVE_VISIBILITY: ("cluster-local",)}


def check_strategy(service: Service, report: Report) -> None:
    """A strategy of Deployments, which Knative hasn't."""
    if service.llm or service.mode() is not Mode.KNATIVE:
        return
    spec = service.item.node.get("spec")
    for part in (spec.get(name) for name in ("predictor", "transformer", "explainer")) if spec else ():
        key = part.key("deploymentStrategy") if part else None
        if key is not None and part is not None and part.get("deploymentStrategy") is not None:
            report.add("strategy-knative", key, "deploymentStrategy in Knative mode")


def check_dashboard(service: Service, report: Report) -> None:
    """What OpenShift AI makes of an object, where it is for it."""
    item, aim = service.item, service.world.aim
    if item.patch or item.kind.endswith("Config"):
        return
    exposed = item.label("networking.kserve.io/visibility") == "exposed"
    if exposed and item.annotation("security.opendatahub.io/enable-auth") != "true":
        place = item.meta("labels", "networking.kserve.io/visibility") or item.title
        report.add("route-without-auth", place, "there is a route, and no token is asked for")
    if not aim.openshift:
        return
    if item.label("opendatahub.io/dashboard") != "true":
        report.add("dashboard-label", item.title, f"the dashboard won't show {item.name}")
    if aim.flavor is Flavor.OPENSHIFT_AI_2 and service.predictor is not None and not service.llm:
        _edited(service.predictor, report)


def _edited(predictor: Node, report: Report) -> None:
    """What the 2.x dashboard drops and has another place; the progress deadline has none, so nothing is said of it."""
    key = predictor.key("volumes")
    if key is not None and predictor.get("volumes") is not None:
        message = "an edit in the dashboard drops predictor.volumes"
        report.add(
            "dashboard-edit", key, message, "put them into the ServingRuntime, as the form does for shared memory"
        )
    annotations = predictor.get("annotations")
    names = [name.text for name, _ in annotations.pairs() if name.text != DEADLINE] if annotations else []
    if names and (key := predictor.key("annotations")) is not None:
        message = f"an edit in the dashboard drops predictor.annotations: {', '.join(names[:3])}"
        report.add("dashboard-edit", key, message, "apply the file again after an edit there")


def check_llm(service: Service, report: Report) -> None:
    """An LLMInferenceService's version and container."""
    item, aim = service.item, service.world.aim
    if not service.llm:
        return
    place = item.node.get("apiVersion") or item.node
    if aim.flavor or aim.kserve:
        cluster = Cluster(aim.flavor or Flavor.KSERVE, aim.kserve)
        try:
            cluster.llm_api()
        except ModelcarError as error:
            report.add("llm-version", place, error.what, "write an InferenceService")
        else:
            since = next((since for since, api in LLM_KIND.items() if item.api.endswith(f"/{api}")), None)
            if since is not None and cluster.release < since:
                message = f"{item.api} is there since KServe {since}, and this is for {cluster.release}"
                report.add("llm-version", place, message, f"write serving.kserve.io/{cluster.llm_api()}")
    containers = service.containers
    if containers and not item.patch and not any(container.name == "main" for container in containers):
        report.add("llm-container", containers[0].node, "no container is called main")
