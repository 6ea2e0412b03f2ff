"""What rules ask of an object that serves a model: its containers, their arguments and resources."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

from modelcar.kserve.lint.document import MAPPING, Node
from modelcar.kserve.lint.objects import SERVING, Item, World
from modelcar.kserve.lint.once import once
from modelcar.kserve.names import ACCELERATOR, names_in
from modelcar.kserve.versions import MODE_WORDS, Flavor, Mode

MODEL_CONTAINER = "kserve-container"
MODE = "serving.kserve.io/deploymentMode"
DEADLINE = "serving.knative.dev/progress-deadline"
CONNECTIONS = "opendatahub.io/connections"

MODEL_SERVERS = (
    "model", "huggingface", "lightgbm", "onnx", "paddle", "pmml", "pytorch", "sklearn", "tensorflow", "triton",
    "xgboost",
)  # fmt: skip
"""Where a predictor may name its model: `model`, and the older fields of one format each."""

_SCRIPT = re.compile(r"-[a-z]*c")
_SHELLS = frozenset({"sh", "bash", "dash", "ash"})
_LONGEST = 131_072
"""Linux starts no program with a longer argument (execve(2), MAX_ARG_STRLEN)."""
_LABEL = re.compile(r"\{\{\s*\.Labels\.([A-Za-z0-9_]+)\s*\}\}")


class Container:
    """A container, or a model that stands for one.

    Attributes:
        node: Its mapping.
    """

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def name(self) -> str:
        """Its name; empty where it has none."""
        found = self.node.get("name")
        return found.string if found else ""

    @once
    def arguments(self) -> list[Node]:
        """Its arguments, those of the command first."""
        lists = (self.node.get("command"), self.node.get("args"))
        return [element for found in lists if found is not None for element in found.elements()]

    @once
    def words(self) -> list[tuple[str, Node]]:
        """The words of its command line, each with the argument that holds it; a shell's script is taken apart."""
        found: list[tuple[str, Node]] = []
        is_script = False
        for argument in self.arguments:
            text = argument.text
            found += [(word, argument) for word in _split(text)] if is_script else [(text, argument)]
            is_script = (
                text[-1:] == "c" and _SCRIPT.fullmatch(text) is not None and found[0][0].rpartition("/")[2] in _SHELLS
            )
        return found

    @once
    def runs_shell(self) -> bool:
        """Whether its command line is a shell with a script."""
        texts = [argument.text for argument in self.arguments[:4]]
        return bool(texts) and texts[0].rpartition("/")[2] in _SHELLS and any(map(_SCRIPT.fullmatch, texts[1:]))

    @once
    def options(self) -> list[dict[str, tuple[int, Node, str]]]:
        """The last of each option, in its command line and in VLLM_ADDITIONAL_ARGS: its place, where, and the value."""
        found = [_options(self.words)]
        if extra := self.variables.get("VLLM_ADDITIONAL_ARGS"):
            value = Node(self.node.document, extra[1])
            found.append(_options([(word, value) for word in _split(value.text)]))
        return found

    @once
    def variables(self) -> dict[str, tuple[int, int]]:
        """The nodes of name and value in its environment, by the name; without a value, the name stands for it."""
        listed = self.node.get("env")
        document, found = self.node.document, dict[str, tuple[int, int]]()
        for element in document.elements(listed.index) if listed else ():
            if document.kinds[element] != MAPPING:
                continue
            name = value = 0
            for key, part in document.items(element):
                text = document.value(key)
                if text == "name":
                    name = part
                elif text == "value":
                    value = part
            if name:
                found[document.value(name)] = (name, value or name)
        return found

    @once
    def limits(self) -> dict[str, tuple[Node, Node]]:
        """The key and value of each of its limits by name."""
        return self._amounts("limits")

    @once
    def requests(self) -> dict[str, tuple[Node, Node]]:
        """The key and value of each of its requests by name."""
        return self._amounts("requests")

    def _amounts(self, part: str) -> dict[str, tuple[Node, Node]]:
        found = self.node.at("resources", part)
        return {key.text: (key, value) for key, value in found.pairs()} if found else {}

    @once
    def gpus(self) -> tuple[Node, str, int] | None:
        """The GPUs that it asks for: where, which, and how many; None for none, or a count that is no number."""
        for amounts in (self.limits, self.requests):
            for name, (key, value) in amounts.items():
                if is_gpu(name) and (count := count_in(value.text)):
                    return key, name, count
        return None

    @once
    def mounts_shm(self) -> bool:
        """Whether something is mounted at /dev/shm."""
        listed = self.node.get("volumeMounts")
        paths = (element.get("mountPath") for element in listed.elements()) if listed else ()
        return any(path is not None and path.text.rstrip("/") == "/dev/shm" for path in paths)  # noqa: S108


@dataclass(frozen=True, slots=True)
class Source:
    """A place of a model.

    Attributes:
        node: The text of the URI.
        path: Where it is mounted, None where it isn't said.
    """

    node: Node
    path: Node | None = None


class Runtime:
    """A runtime among the files, as the services see it that use it. There may be many: it is looked through once.

    Attributes:
        item: Its object.
        name: Its name.
        title: What it is called in findings.
        containers: Its containers.
        server: The container that serves the model.
        formats: The formats that it serves, each with the versions that it names.
        labels: The labels of a service that its arguments and variables hold.
    """

    def __init__(self, item: Item) -> None:
        self.item = item
        self.name = item.name
        self.title = f"{item.kind} {item.name}"
        self.containers = containers_of(item.node.get("spec"))
        self.server = next((c for c in self.containers if c.name == MODEL_CONTAINER), None)
        self.formats = self._formats()
        self.labels = self._labels()

    def _formats(self) -> dict[str, dict[str, None]]:
        listed = self.item.node.at("spec", "supportedModelFormats")
        found: dict[str, dict[str, None]] = {}
        for element in listed.elements() if listed else ():
            name, version = element.get("name"), element.get("version")
            if name is not None:
                found.setdefault(name.text, {}).update({version.text: None} if version else {})
        return found

    @once
    def folded(self) -> dict[str, str]:
        """The formats by their names in lower case."""
        return {name.lower(): name for name in reversed(self.formats)}

    def _labels(self) -> list[str]:
        server = self.server
        if server is None:
            return []
        texts = [node.text for node in server.arguments]
        texts += [server.node.document.value(value) for _, value in server.variables.values()]
        return sorted({found for text in texts if "{{" in text for found in _LABEL.findall(text)})

    @property
    def recommended(self) -> dict[str, None]:
        """The accelerators that it is made for, by the dashboard's annotation; empty where it says none."""
        return _names(self.item.annotation("opendatahub.io/recommended-accelerators"))

    @once
    def makers(self) -> frozenset[str]:
        """The makers of those accelerators: `nvidia.com`."""
        return frozenset(name.partition("/")[0] for name in self.recommended)

    @once
    def volumes(self) -> frozenset[str]:
        """The names of its volumes."""
        return volumes_of(self.item.node.get("spec"))


@lru_cache(64)
def _names(text: str) -> dict[str, None]:
    return dict.fromkeys(names_in(text))


def runtime_of(item: Item, world: World) -> Runtime:
    """A runtime, looked through when it is first asked for."""
    found = world.runtimes.get(item)
    if found is None:
        found = world.runtimes[item] = Runtime(item)
    return found


class Service:
    """An InferenceService or LLMInferenceService, its runtime with it where that is among the files."""

    def __init__(self, item: Item, world: World) -> None:
        self.item = item
        self.world = world
        self.llm = item.kind.startswith("LLM")
        spec = item.node.get("spec")
        self.predictor = (spec.get("template") if self.llm else spec.get("predictor")) if spec else None
        self.model = self._model()
        runtime = self.model.get("runtime") if self.model and not self.llm else None
        self.runtime_name = runtime
        found = world.runtime(runtime.string, item.namespace) if runtime and runtime.string else None
        self.runtime = runtime_of(found, world) if found is not None else None

    def _model(self) -> Node | None:
        if self.llm:
            return self.item.node.at("spec", "model")
        names = (self.predictor.get(name) for name in MODEL_SERVERS) if self.predictor else ()
        return next((found for found in names if found is not None and found.type == "object"), None)

    @once
    def sources(self) -> list[Source]:
        """The places of its models."""
        found = self.model.get("uri" if self.llm else "storageUri") if self.model else None
        listed = self.predictor.get("storageUris") if self.predictor and not self.llm else None
        several = [
            Source(uri, element.get("mountPath"))
            for element in (listed.elements() if listed else ())
            if (uri := element.get("uri")) is not None
        ]
        return ([Source(found)] if found else []) + several

    @once
    def containers(self) -> list[Container]:
        """The containers of its predictor, or of an LLMInferenceService's template."""
        return containers_of(self.predictor)

    @once
    def server(self) -> Container | None:
        """The container that serves the model, as this object says it."""
        if self.llm:
            return next((c for c in self.containers if c.name == "main"), None)
        if self.model is not None:
            return Container(self.model)
        first = self.containers[0] if self.containers else None
        return next((c for c in self.containers if c.name == MODEL_CONTAINER), first)

    @once
    def others(self) -> list[Container]:
        """The containers of an InferenceService's other components."""
        spec = None if self.llm else self.item.node.get("spec")
        parts = [spec.get(name) for name in ("transformer", "explainer")] if spec else []
        return [container for part in parts for container in containers_of(part)]

    @once
    def servers(self) -> list[Container]:
        """Both: what the object says wins over what its runtime says."""
        return [server for server in (self.server, self.runtime_server) if server is not None]

    @property
    def runtime_server(self) -> Container | None:
        """The runtime's container that serves the model, where the runtime is among the files."""
        return self.runtime.server if self.runtime else None

    @once
    def format_name(self) -> str:
        """The name of the model's format in lower case; empty where none is written."""
        written = self.model.at("modelFormat", "name") if self.model else None
        return written.text.lower() if written else ""

    def annotations(self) -> Iterator[Node]:
        """The mappings of annotations that reach the workload."""
        for found in (
            self.item.node.at("metadata", "annotations"),
            self.predictor and self.predictor.get("annotations"),
        ):
            if isinstance(found, Node):
                yield found

    def mode(self) -> Mode | None:
        """The deployment mode, None where neither the object nor what it is for says it."""
        aim = self.world.aim
        if self.llm or aim.flavor is Flavor.OPENSHIFT_AI_3:
            return Mode.STANDARD
        word = self.item.annotation(MODE)
        return MODE_WORDS.get(word) if word else None

    def option_value(self, *names: str) -> tuple[Node, str] | None:
        """An argument with its value, also from VLLM_ADDITIONAL_ARGS."""
        for server in self.servers:
            for options in server.options:
                if found := [options[name] for name in names if name in options]:
                    _, node, value = max(found, key=itemgetter(0))
                    return node, value
        return None

    def option_number(self, *names: str) -> int | None:
        """An argument's value where it is a whole number of sensible size."""
        found = self.option_value(*names)
        return count_in(found[1]) if found else None


@lru_cache(256)
def is_gpu(name: str) -> bool:
    """Whether a resource is a GPU or another accelerator."""
    return ACCELERATOR.fullmatch(name) is not None


def is_runtime(item: Item) -> bool:
    """Whether it is a ServingRuntime of the cluster or of a namespace."""
    return item.kind in ("ServingRuntime", "ClusterServingRuntime") and item.api.startswith(SERVING)


def is_vllm(service: Service) -> bool:
    """Whether vLLM serves the model, as the object says it."""
    return service.llm or service.format_name == "vllm"


def count_in(text: str) -> int | None:
    """A whole number of sensible size, None for what is none."""
    return int(text) if text.isdecimal() and len(text) < 7 else None


def volumes_of(pod: Node | None) -> frozenset[str]:
    """The names of the volumes of a Pod's spec."""
    listed = pod.get("volumes") if pod else None
    names = (volume.get("name") for volume in listed.elements()) if listed else ()
    return frozenset(name.text for name in names if name is not None)


def containers_of(pod: Node | None) -> list[Container]:
    """The containers of a Pod's spec."""
    listed = pod.get("containers") if pod else None
    return [Container(element) for element in listed.elements()] if listed else []


def _options(words: list[tuple[str, Node]]) -> dict[str, tuple[int, Node, str]]:
    """The options among words: a value stands behind `=` or is the next word."""
    found: dict[str, tuple[int, Node, str]] = {}
    for index, (word, node) in enumerate(words):
        if word[:1] == "-":
            name, equals, value = word.partition("=")
            if not equals and index + 1 < len(words):
                value = words[index + 1][0]
            found[name.replace("_", "-")] = (index, node, value)
    return found


def _split(text: str) -> list[str]:
    if len(text) > _LONGEST:
        return []
    if not any(mark in text for mark in "'\"\\"):
        return text.split()
    try:
        return shlex.split(text.replace("\\\n", " "))
    except ValueError:
        return text.split()
