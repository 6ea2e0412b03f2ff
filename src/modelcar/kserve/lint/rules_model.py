"""Where the model comes from: URIs, environment, and what the webhooks refuse."""

from __future__ import annotations

import posixpath

from modelcar.errors import ModelcarError
from modelcar.kserve.lint.document import Node
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.rules_connections import connection_of, kind_of
from modelcar.kserve.lint.rules_uri import check_uri
from modelcar.kserve.lint.service import CONNECTIONS, Service, Source
from modelcar.kserve.versions import SEVERAL_IMAGES, Cluster, Flavor, Scheme

_MOST_URIS = 10
_DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"


def check_sources(service: Service, report: Report) -> None:
    """URIs of the model."""
    sources = service.sources
    for source in sources:
        if word := check_uri(source.node, source.node.text, report):
            _scheme(service, source, word, report)
    predictor, model = service.predictor, service.model
    if service.llm or predictor is None:
        return
    listed = predictor.get("storageUris")
    own = model.get("storageUri") if model else None
    if listed is not None and own is not None:
        report.add("storage-exclusive", own, "storageUri and storageUris are both there")
    if listed is not None:
        _several(service, [source for source in sources if source.node != own], report)
    if model is not None and not service.item.patch and not any(source.node.text for source in sources):
        _no_model(service, model, report)


def _no_model(service: Service, model: Node, report: Report) -> None:
    if model.get("storage") is not None or service.containers:
        return
    if any(
        key.lower().startswith("storage") and key not in ("storage", "storageUri")
        for key in model.document.fields(model.index)
    ):
        return  # a misspelt one
    words = [word.partition("=")[0].replace("_", "-") for word, _ in service.server.words] if service.server else []
    if "--model-id" in words or "--model" in words:
        return  # the server itself fetches it, as KServe's samples of huggingfaceserver do
    place = model.key("storageUri") or model
    if not service.item.annotation(CONNECTIONS):
        report.add("no-model", place, "no storageUri, storage or connection names a model")
    elif (secret := connection_of(service)) is not None and kind_of(secret) == "oci":
        message = f"nothing names a model: the OCI connection {secret.name} brings a pull secret, and no URI"
        report.add("no-model", place, message)


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
    if scheme is Scheme.FETCH and not service.llm and predictor is not None:
        _fetch_secret(service, source, predictor.get("imagePullSecrets"), report)
    if scheme is Scheme.NATIVE and aim.openshift:
        report.add("native-scc", source.node, "oci+native:// needs a security context constraint that allows it")


def _fetch_secret(service: Service, source: Source, listed: Node | None, report: Report) -> None:
    """KServe reads the first pull secret only, and of one type only."""
    named = [*listed.elements()] if listed else []
    if not named:
        if service.world.aim.openshift:  # elsewhere a public image needs none
            message = "oci+fetch:// without imagePullSecrets: OpenShift's own is of a type that fetch can't read"
            report.add("fetch-pull-secret", source.node, message)
        return
    name = named[0].get("name")
    secret = service.world.find("Secret", name.text, service.item.namespace) if name else None
    written = secret.node.get("type") if secret else None
    if name is not None and secret is not None and (written is None or written.text != _DOCKER_CONFIG):
        report.add("fetch-pull-secret", name, f"the Secret {name.text} isn't of type {_DOCKER_CONFIG}")
    elif len(named) > 1:
        message = f"{len(named)} imagePullSecrets, and oci+fetch:// reads the first only"
        report.add("fetch-pull-secret", named[1], message, "put all logins into the first one")


def _several(service: Service, sources: list[Source], report: Report) -> None:
    listed = service.predictor.get("storageUris") if service.predictor else None
    if listed is None:
        return
    if len(sources) > _MOST_URIS:
        report.add("storage-uris", listed, f"{len(sources)} storageUris, and {_MOST_URIS} are the most")
    aim = service.world.aim
    images = [source for source in sources if source.node.text.startswith("oci")]
    release = Cluster(aim.flavor or Flavor.KSERVE, aim.kserve).release if aim.flavor or aim.kserve else None
    if images and release is not None and release < SEVERAL_IMAGES:
        message = f"oci:// in storageUris needs KServe {SEVERAL_IMAGES}, and this is for {release}"
        report.add("storage-uris", images[0].node, message, "write storageUri, with one image")
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
    own = service.server
    servers = [*([own] if own else []), *(container for container in service.containers if container is not own)]
    for container in servers + service.others:
        if blocked := container.variables.get("PYTHONPATH"):
            place = Node(container.node.document, blocked[0])
            report.add("env-blocked", place, "KServe refuses the variable PYTHONPATH", "take it out")
    canaries = service.item.node.at("spec", "canary")
    if canaries is not None and len([*canaries.elements()]) > 3:
        report.add("canary-count", canaries, f"{len([*canaries.elements()])} canaries, and 3 are the most")
