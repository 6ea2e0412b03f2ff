"""Where the model comes from: URIs, environment, and what the webhooks refuse."""

from __future__ import annotations

import posixpath
import re

from modelcar.errors import ModelcarError
from modelcar.kserve.lint.document import Node
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.service import CONNECTIONS, Service, Source, containers_of
from modelcar.kserve.versions import Cluster, Flavor, Scheme

_URI = re.compile(r"([a-z0-9+]+)://(.*)", re.DOTALL)
_USER = re.compile(r"[a-z0-9+]+://[^/@\s]+@(?![a-z0-9]+:[0-9a-f]{32})")
_PINNED = re.compile(
    r"(?:[a-z0-9]+[.-])+[a-z0-9]+(?:/[a-z0-9]+(?:[.-][a-z0-9]+)*){1,8}(?:@sha256:[0-9a-f]{64}|:v?[0-9][\w.-]{0,99})"
)
"""An image that is plainly right: the common way to write one."""
_MOST_URIS = 10


def check_sources(service: Service, report: Report) -> None:
    """URIs of the model."""
    sources = service.sources
    for source in sources:
        text = source.node.text
        if "${" in text or "{{" in text:
            continue
        if _USER.match(text):
            report.add("uri-credentials", source.node, "the URI holds a user or a password")
            continue
        found = _URI.fullmatch(text)
        if found and found[1].startswith("oci"):
            _scheme(service, source, found[1], report)
            _image(source, found[2], report)
    predictor, model = service.predictor, service.model
    if service.llm or predictor is None:
        return
    listed = predictor.get("storageUris")
    own = model.get("storageUri") if model else None
    if listed is not None and own is not None:
        report.add("storage-exclusive", own, "storageUri and storageUris are both there")
    if listed is not None:
        _several(service, [source for source in sources if source.node != own], report)
    if not sources and model is not None and not service.item.patch:
        connected = service.item.annotation(CONNECTIONS) or model.get("storage")
        misspelt = any(key.lower().startswith("storage") for key in model.document.fields(model.index))
        if not connected and not misspelt and not containers_of(predictor):
            report.add("no-model", model, "no storageUri, storage or connection names a model")


def _scheme(service: Service, source: Source, word: str, report: Report) -> None:
    aim = service.world.aim
    if word not in tuple(Scheme):
        report.add("uri-scheme", source.node, f"KServe refuses {word}://", "write oci://")
        return
    scheme = Scheme(word)
    if service.llm and scheme is Scheme.FETCH:
        report.add("llm-fetch", source.node, "an LLMInferenceService doesn't know oci+fetch://", "write oci://")
    elif aim.flavor or aim.kserve:
        try:
            Cluster(aim.flavor or Flavor.KSERVE, aim.kserve).refuse_scheme(scheme)
        except ModelcarError as error:
            report.add("uri-scheme", source.node, error.what, error.hint)
    predictor = service.predictor
    if scheme is Scheme.FETCH and not service.llm and not (predictor and predictor.get("imagePullSecrets")):
        report.add("fetch-pull-secret", source.node, "oci+fetch:// without imagePullSecrets")
    if scheme is Scheme.NATIVE and aim.openshift:
        report.add("native-scc", source.node, "oci+native:// needs a security context constraint that allows it")


def _image(source: Source, name: str, report: Report) -> None:
    if _PINNED.fullmatch(name):
        return
    # Loaded here: with all that `oci` brings it takes a tenth of the time that a file of 1 MB does.
    from modelcar.oci.reference import parse_reference

    host, slash, _ = name.partition("/")
    if slash and not any(mark in host for mark in ".:@[") and host != "localhost":
        report.add("image-short-name", source.node, f"the image {name[:80]} names no registry")
        name = f"docker.io/{name}"
    try:
        reference = parse_reference(name)
    except ModelcarError as error:
        report.add("image-reference", source.node, error.what, error.hint)
        return
    if reference.digest is None and reference.tag in (None, "latest"):
        what = "the tag latest" if reference.tag else "no tag"
        report.add("image-latest", source.node, f"the image {reference.name} has {what}")


def _several(service: Service, sources: list[Source], report: Report) -> None:
    listed = service.predictor.get("storageUris") if service.predictor else None
    if listed is None:
        return
    if len(sources) > _MOST_URIS:
        report.add("storage-uris", listed, f"{len(sources)} storageUris, and {_MOST_URIS} are the most")
    if len(sources) < 2:
        return
    paths = [posixpath.normpath(source.path.text if source.path else "/mnt/models") for source in sources]
    relative = next((s for s, path in zip(sources, paths, strict=True) if not path.startswith("/")), None)
    if relative is not None:
        report.add("storage-uris", relative.path or relative.node, "a mountPath begins with /")
        return
    if posixpath.commonpath(paths) == "/":
        report.add("storage-uris", listed, "the mount paths have no common parent but /")
    seen: dict[str, str] = {}
    for source, path in zip(sources, paths, strict=True):
        modelcar = source.node.text.startswith("oci://")
        place = posixpath.dirname(path) if modelcar else path
        if place in seen and (modelcar or seen[place] == path):
            report.add("storage-uris", source.path or source.node, f"{path} clashes with {seen[place]}")
        seen.setdefault(place, path)


def check_blocked(service: Service, report: Report) -> None:
    """Fields that KServe's webhook refuses."""
    model = service.model
    name = model.key("name") if model and not service.llm else None
    if name is not None and model is not None and model.get("name"):
        report.add("model-name", name, "model.name is set, and KServe refuses it", "take it out")
    servers = containers_of(service.predictor)
    own = service.server
    for container in [*([own] if own else []), *(c for c in servers if own is None or c.node is not own.node)]:
        if blocked := container.variables.get("PYTHONPATH"):
            place = Node(container.node.document, blocked[0])
            report.add("env-blocked", place, "KServe refuses the variable PYTHONPATH", "take it out")
    canaries = service.item.node.get("spec", "canary")
    if canaries is not None and len([*canaries.elements()]) > 3:
        report.add("canary-count", canaries, f"{len([*canaries.elements()])} canaries, and 3 are the most")
