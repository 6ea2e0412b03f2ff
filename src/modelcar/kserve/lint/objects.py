"""The objects of all files, seen together."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from modelcar.kserve.lint.document import MAPPING, Document, Node
from modelcar.kserve.lint.near import Guesses
from modelcar.kserve.versions import Flavor, Version

if TYPE_CHECKING:
    from modelcar.kserve.lint.service import Runtime

SERVING = "serving.kserve.io/"


@dataclass(frozen=True, slots=True)
class Aim:
    """What the objects are for, as far as the user said it.

    Attributes:
        flavor: None where it wasn't said: then only what is wrong everywhere counts.
        kserve: The release of KServe; None where neither it nor a flavour was said.
        protected: Namespaces that take no model servers.
    """

    flavor: Flavor | None = None
    kserve: Version | None = None
    protected: frozenset[str] = frozenset()

    @property
    def openshift(self) -> bool:
        """Whether it is known to be for OpenShift AI."""
        return self.flavor in (Flavor.OPENSHIFT_AI_2, Flavor.OPENSHIFT_AI_3)


@dataclass(slots=True, eq=False)
class Item:
    """One object.

    Attributes:
        node: Its mapping.
        api: Its `apiVersion`.
        kind: Its kind.
        name: Its name; empty where it has none.
        namespace: Its namespace; empty where it says none.
        template: Whether it stands in a Template.
        patch: Whether it is a patch of kustomize: a part of an object.
    """

    node: Node
    api: str
    kind: str
    name: str
    namespace: str
    template: bool = False
    patch: bool = False

    @property
    def title(self) -> Node:
        """Where findings about its name go."""
        return self.node.at("metadata", "name") or self.node.get("metadata") or self.node

    def meta(self, part: str, key: str) -> Node | None:
        """A label or annotation: `part` is `labels` or `annotations`."""
        metadata = self.node.get("metadata")
        found = metadata.get(part) if metadata else None
        return found.get(key) if found else None

    def annotation(self, key: str) -> str:
        """An annotation's text; empty where there is none."""
        found = self.meta("annotations", key)
        return found.string if found else ""

    def label(self, key: str) -> str:
        """A label's text; empty where there is none."""
        found = self.meta("labels", key)
        return found.string if found else ""


@dataclass(slots=True)
class World:
    """All objects, and how they find each other.

    Attributes:
        aim: What they are for.
        items: Those of kinds that lint knows.
        passed: How many of each other kind there were.
        connected: The namespaces from which each Secret is named as a connection.
        guesses: What was meant by words that nobody knows.
        runtimes: The runtimes that services use; each is looked through once.
        logins: Those of each pull secret by registry; None for a secret that holds no JSON object.
    """

    aim: Aim
    items: list[Item] = field(default_factory=list)
    passed: dict[str, int] = field(default_factory=dict)
    connected: dict[str, set[str]] = field(default_factory=dict)
    guesses: Guesses = field(default_factory=Guesses)
    runtimes: dict[Item, Runtime] = field(default_factory=dict)
    logins: dict[Item, dict[str, object] | None] = field(default_factory=dict)
    _named: dict[tuple[str, str], list[Item]] = field(default_factory=dict)
    _first: dict[tuple[str, str, str], tuple[int, Item]] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Take an object in."""
        self.items.append(item)
        if connection := item.annotation("opendatahub.io/connections"):
            self.connected.setdefault(connection, set()).add(item.namespace)
        if not item.patch:
            named = self._named.setdefault((item.kind, item.name), [])
            self._first.setdefault((item.kind, item.name, item.namespace), (len(named), item))
            named.append(item)

    def find(self, kind: str, name: str, namespace: str) -> Item | None:
        """The first object of a name; one that says no namespace may be in any."""
        named = self._named.get((kind, name))
        if named is None or not namespace:
            return named[0] if named else None
        if len(named) == 1:
            return named[0] if named[0].namespace in (namespace, "") else None
        found = [one for space in (namespace, "") if (one := self._first.get((kind, name, space)))]
        return min(found, key=itemgetter(0))[1] if found else None

    def runtime(self, name: str, namespace: str) -> Item | None:
        """A ServingRuntime, which wins over a ClusterServingRuntime of the same name."""
        found = self.find("ServingRuntime", name, namespace)
        return found if found is not None else self.find("ClusterServingRuntime", name, "")

    def same(self) -> Iterator[list[Item]]:
        """Objects that have one kind, name and namespace, two or more of them."""
        for items in self._named.values():
            groups: dict[tuple[str, str], list[Item]] = {}
            for item in items:
                groups.setdefault((item.namespace, item.api.partition("/")[0]), []).append(item)
            yield from (group for group in groups.values() if len(group) > 1 and group[0].name)


def objects_of(document: Document) -> Iterator[tuple[Node, bool]]:
    """The objects of a file, those of lists and Templates too, and whether they stand in a Template."""
    for root in document.roots:
        yield from _objects(Node(document, root), False, 3)


def _objects(node: Node, template: bool, deeper: int) -> Iterator[tuple[Node, bool]]:
    if node.document.kinds[node.index] != MAPPING:
        return
    kind = node.get("kind")
    name = kind.string if kind else ""
    inner = node.get("items") if name.endswith("List") else None
    if inner is None or not deeper:
        yield node, template
    if name == "Template":
        inner, template = node.get("objects"), True
    if inner is not None and deeper:
        for element in inner.elements():
            yield from _objects(element, template, deeper - 1)


def item_of(node: Node, template: bool, patch: bool) -> Item | None:
    """An object, None for a mapping that isn't one."""
    kind, api = node.get("kind"), node.get("apiVersion")
    if kind is None or not kind.string:
        return None
    name, namespace = node.at("metadata", "name"), node.at("metadata", "namespace")
    return Item(
        node,
        api.string if api else "",
        kind.string,
        name.text if name else "",
        namespace.text if namespace else "",
        template,
        patch,
    )


def patches_of(documents: Iterable[Document]) -> set[str]:
    """The files that a kustomization among the documents takes as patches."""
    found: set[str] = set()
    for document in documents:
        base = posixpath.basename(document.name)
        if base not in ("kustomization.yaml", "kustomization.yml", "Kustomization") or not document.roots:
            continue
        folder = posixpath.dirname(document.name)
        root = Node(document, document.roots[0])
        for key in ("patches", "patchesStrategicMerge", "patchesJson6902"):
            listed = root.get(key)
            for element in listed.elements() if listed else ():
                path = element.get("path") if element.type == "object" else element
                if path is not None and path.string and "\n" not in path.string:
                    found.add(posixpath.normpath(posixpath.join(folder, path.string)))
    return found
