"""Looking at an image as KServe will: is it there, which modes take it, what is wrong with it. No weights are pulled.

One function, `check`, that `modelcar check` prints; and `check_before_deploying`, which `modelcar render` calls. Which
findings there are `kserve.check` knows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import cast

from modelcar.broken import WentSilent
from modelcar.errors import ContentMismatch, Denied, NetworkError, NotFound, Refused, Unreached, UsageError
from modelcar.http import Http
from modelcar.image.frugal import FrugalStore
from modelcar.image.head import ImageHead, read_head
from modelcar.image.lookup import MODELS, ImageFiles
from modelcar.image.tree import ImageFile, ImageTree
from modelcar.inspection import DEPTH, beginning_only, facts_of, traits_of
from modelcar.kserve.check import OF_TAGS, PARTLY, REFUSED, Finding, ImageCheck, Seen, failures, findings
from modelcar.kserve.layouts import Served, served
from modelcar.kserve.versions import Scheme
from modelcar.model import Facts, estimate_facts, read_facts
from modelcar.oci import Digest, Platform, media, parse_platform
from modelcar.oci.reference import parse_reference
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores import Location, Store, locate
from modelcar.stores.registry.credentials import find_credentials

MOST_PARTS = 300
"""Requests for the headers of plain layers, of which each member costs one."""

TRIES = 2
"""How often a registry is asked: whoever deploys or checks is waiting."""

SILENCE = 10.0
"""Seconds after which a silent registry counts as gone; nor is one waited for longer that asks to slow down."""

_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
_WEIGHTS = (".safetensors", ".gguf")
_EXACT = 8
_SHOWN = 3
_log = logging.getLogger("modelcar.check")


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of an image.

    Attributes:
        name: As it was named, without a scheme.
        scheme: The mode that was asked for.
        platform: That of the nodes.
        unchecked: Why it was not looked at; empty where it was.
        digest: Of what the name meant when it was looked at; None where it wasn't.
        location: The name pinned to that digest.
        platforms: What the image is for.
        size: Bytes of its layers as stored.
        layers: How many.
        findings: All of them.
        one_model: Whether modelcar mode takes it for one model at `/mnt/models` only, since its base has no shell
            (KSERVE.md 1.5).
        files: Of the model, as far as they were seen, from `/models` on.
        facts: Of the model; None where none was found, or it can't be read.
        no_facts: Why there are none.
        requests: Sent over the network.
        received: Bytes that were received.
    """

    name: str
    scheme: Scheme
    platform: str
    unchecked: str = ""
    digest: Digest | None = None
    location: str = ""
    platforms: tuple[str, ...] = ()
    size: int | None = None
    layers: int = 0
    findings: tuple[Finding, ...] = ()
    one_model: bool = False
    files: tuple[str, ...] = field(default=(), repr=False)
    facts: Facts | None = None
    no_facts: str = ""
    requests: int = field(default=0, compare=False)
    received: int = field(default=0, compare=False)

    @property
    def failures(self) -> list[Finding]:
        """The errors in the mode that was asked for."""
        return failures(self.findings, self.scheme)

    @property
    def is_partly_seen(self) -> bool:
        """Whether files may be in what was not looked at."""
        return any(finding.rule == PARTLY for finding in self.findings)

    @property
    def served(self) -> Served:
        """What serves the model, by its files and facts."""
        return served(self.facts, self.files)


def check(
    text: str,
    *,
    scheme: Scheme | None = None,
    arch: str = "amd64",
    full: bool = False,
    access: Access | None = None,
    patience: Patience | None = None,
    http: Http | None = None,
) -> Checked:
    """Look at an image.

    Args:
        text: `HOST/REPOSITORY:TAG`, also with `oci://`, `oci+native://` or `oci+fetch://`; a layout, an archive.
        scheme: The mode to judge by; by default the one that `text` says, else modelcar.
        arch: Architecture of the nodes, as Kubernetes says it (`kubernetes.io/arch`).
        full: Read all that is needed to say everything, however much that is.
        access: How registries are reached.
        patience: How requests are tried again.
        http: Connections; what goes over them is counted.

    Raises:
        NotFound: No such image.
        Denied, NetworkError: As the registry says.
        ContentMismatch: It is no image, or damaged.
        UsageError: The words are wrong.
    """
    named, name = split_scheme(text)
    access, patience = access or Access(), patience or Patience(tries=TRIES, longest_wait=SILENCE)
    asked = Checked(name, scheme or named or Scheme.MODELCAR, str(_platform(arch)))
    http = http or Http(ca_file=access.ca_file, silence=SILENCE)
    location = locate(name, http, access, patience)
    frugal = FrugalStore(location.store, None if full else MOST_PARTS)
    head = _head(location, frugal, _platform(arch))
    frugal.know(head.manifest.layers)
    done = _look(asked, head, frugal, location, full, patience)
    _log.info("read %s bytes in %d requests", f"{http.traffic.received:,}", http.traffic.requests)
    return replace(done, requests=http.traffic.requests, received=http.traffic.received)


def check_before_deploying(
    text: str,
    how: ImageCheck,
    *,
    scheme: Scheme | None = None,
    instead: Sequence[Scheme] = (),
    arch: str = "amd64",
    access: Access | None = None,
    patience: Patience | None = None,
    http: Http | None = None,
    gone: MutableMapping[str, str] | None = None,
    by_digest: bool = False,
) -> Checked:
    """Look at an image that is about to be deployed, as far as that is wished and can be done from here.

    With `warn`, a registry that can't be reached or refuses makes a `Checked` that says in `unchecked` why, without a
    digest: from where one deploys, one doesn't see what nodes see. `instead` are modes to judge by, best first, where
    the image can't go by the one asked for; `Checked.scheme` tells which it is. `gone` are registries that didn't
    answer, each with what was said of it: with `warn` none of them is asked, and one that doesn't answer now is added.
    Whoever looks at several images gives the same for all. With `by_digest` the digest will be written in place of the
    tag, and nothing is found of that. Other arguments as for `check`.

    Raises:
        Refused: The image can't serve: no `/models`, another architecture. With `require`, any error in its mode.
        NotFound: No such image, and whoever asked may see it.
        Denied, NetworkError: With `require`.
        UsageError, ContentMismatch: As `check`.
    """
    named, name = split_scheme(text)
    nothing = Checked(name, scheme or named or Scheme.MODELCAR, str(_platform(arch)))
    if how is ImageCheck.OFF:
        return replace(nothing, unchecked="it was not looked at (--image-check off)")
    if how is ImageCheck.WARN and patience is None:
        # Who writes for a cluster often can't reach its registry: that shall not cost more than one time of waiting.
        patience = Patience(tries=TRIES, longest_wait=SILENCE, never_again=(WentSilent,))
    registry, gone = _registry(name), {} if gone is None else gone
    if how is ImageCheck.WARN and registry in gone:
        return replace(nothing, unchecked=f"{gone[registry]}, and was not asked again")
    try:
        done = check(text, scheme=scheme, arch=arch, access=access, patience=patience, http=http)
    except (Denied, NetworkError) as error:
        if how is ImageCheck.REQUIRE:
            raise
        if isinstance(error, WentSilent | Unreached):
            gone[registry] = error.what
        return replace(nothing, unchecked=str(error))
    except NotFound as error:
        if how is ImageCheck.REQUIRE or _may_see(name, access or Access()):
            raise
        return replace(nothing, unchecked=f"{error.what}, or can't be seen without credentials")
    if by_digest:
        done = replace(done, findings=tuple(one for one in done.findings if one.rule not in OF_TAGS))
    ways = [other for other in instead if done.failures and not failures(done.findings, other)]
    done = replace(done, scheme=ways[0]) if ways else done
    for finding in done.failures:
        if how is ImageCheck.REQUIRE or finding.rule in REFUSED:
            raise Refused(f"{done.name}: {finding.reason}", finding.fix)
    return done


def split_scheme(text: str) -> tuple[Scheme | None, str]:
    """The mode that a `storageUri` names, and the image without it."""
    for scheme in Scheme:
        if text.startswith(f"{scheme}://") and not text.startswith("oci:///"):
            return scheme, text.removeprefix(f"{scheme}://")
    return None, text


def _platform(arch: str) -> Platform:
    """Of nodes: `amd64`, `arm64/v8`.

    Raises:
        UsageError: It is none.
    """
    text = _ALIASES.get(arch.strip().lower(), arch.strip().lower()).removeprefix("linux/")
    try:
        return parse_platform(f"linux/{text}")
    except UsageError:
        raise UsageError(f"--arch {arch!r} is no architecture", "write it like amd64 or arm64") from None


def _registry(name: str) -> str:
    """The registry of an image, empty where it is in none."""
    with suppress(UsageError):
        return parse_reference(name.removeprefix("docker://")).registry
    return ""


def _may_see(name: str, access: Access) -> bool:
    """Whether there are credentials for an image's registry, or it is on this machine."""
    with suppress(UsageError):
        reference = parse_reference(name.removeprefix("docker://"))
        return find_credentials(reference.registry, reference.repository, access.authfile) is not None
    return True


def _head(location: Location, frugal: FrugalStore, wanted: Platform) -> ImageHead:
    """The image for a platform; where it isn't for that one, its first."""
    location = replace(location, store=cast(Store, frugal))  # which is only read
    try:
        return read_head(location, wanted)
    except NotFound as missing:
        if not frugal.has_read(location.version):
            raise
        head = read_head(location)
        if any(platform.meets(wanted) for platform in head.platforms):
            raise missing from None
        return head


def _look(
    asked: Checked, head: ImageHead, frugal: FrugalStore, location: Location, full: bool, patience: Patience
) -> Checked:
    image = ImageFiles(head, patience, depth=None if full else DEPTH)
    tree = image.tree() if full else image.outline()
    frugal.lift()
    partly = _unseen(tree)
    traits = traits_of(tree)
    facts, why = None, ""
    if traits.has_models is not False:
        files = _Files(image, tree)
        facts, why = facts_of(files, None, partly, read_facts if full else estimate_facts)
        facts = _estimated(facts, tree) if partly and facts else facts
    without_facts = served(None, _model_files(tree))
    seen = Seen(
        traits=traits,
        wanted=asked.platform,
        platforms=tuple(map(str, head.platforms)),
        is_pinned=location.digest is not None or location.is_path,
        tag=location.tag,
        name="" if location.is_path else asked.name,
        folder=facts.folder if facts else "",
        partly_seen=tuple(partly),
        no_model=why if facts is None and not without_facts.format else "",
        is_without_weights=without_facts.is_unserved,
        **_access(tree),
    )
    return replace(
        asked,
        digest=head.digest,
        location=str(location) if location.digest else f"{location}@{head.digest}",
        platforms=seen.platforms,
        size=sum({layer.digest: layer.size for layer in head.manifest.layers}.values()),
        layers=len(head.manifest.layers),
        findings=findings(seen),
        one_model=traits.is_for_one_model,
        files=_model_files(tree),
        facts=facts,
        no_facts=why,
    )


def _model_files(tree: ImageTree) -> tuple[str, ...]:
    paths = (path for path, file in tree.files().items() if file.kind != "folder")
    return tuple(path.removeprefix(MODELS) for path in paths if path.startswith(MODELS))


def _unseen(tree: ImageTree) -> list[str]:
    """What to say of layers of which not all was read: compressed ones each, up to some, and others in one line."""
    unseen = [(number, known) for number, known in enumerate(tree.layers) if not known.is_whole]
    packed = [(n, known) for n, known in unseen if media.compression(known.descriptor.media_type)]
    plain = sum(media.compression(known.descriptor.media_type) == "" for _, known in unseen)
    lines = [beginning_only(number, known) for number, known in packed[:_SHOWN]]
    if len(packed) > _SHOWN:
        lines.append(f"of {len(packed) - _SHOWN:,} more layers only the first {DEPTH:,} bytes were looked at")
    if plain:
        lines.append(f"of {plain:,} plain layers not all files were asked for: {MOST_PARTS} requests were made")
    return lines


def _estimated(facts: Facts, tree: ImageTree) -> Facts:
    """The facts where weights may lie in what wasn't seen: at the most as many as the layers' sizes allow."""
    hidden = sum(known.descriptor.size for known in tree.layers if not known.is_whole)
    whole = {number for number, known in enumerate(tree.layers) if known.is_whole}
    files = [file for path, file in tree.files().items() if path.startswith(MODELS) and path.endswith(_WEIGHTS)]
    total = hidden + sum(max(file.size, 0) for file in files if file.layer in whole)
    seen, counted = facts.weight_bytes or 0, facts.parameters
    if total <= seen:
        return facts
    ratio = counted / seen if counted and seen else 0.5
    width = "in the proportions of those that were seen" if counted and seen else "taken as 16 bits each"
    notes = (*facts.notes, f"weights and parameters are estimated from the layers' sizes, {width}")
    return replace(facts, weight_bytes=total, parameters=round(total * ratio), estimated=True, notes=notes)


def _access(tree: ImageTree) -> dict[str, tuple[str, ...]]:
    """Which of the model's files not every user may read, and which are links to elsewhere."""
    unreadable: list[str] = []
    group: list[str] = []
    out: list[str] = []
    for path, file in tree.files().items():
        if not f"{path}/".startswith(MODELS):
            continue
        if file.kind == "symlink":
            if _leads_out(path, file.target):
                out.append(path)
            continue
        content = tree.content_of(file) or file
        needed = 0o5 if content.kind == "folder" else 0o4
        if content.mode & needed != needed:
            in_group = content.group == 0 and (content.mode >> 3) & needed == needed
            (group if in_group else unreadable).append(path)
    return {"unreadable": tuple(unreadable), "for_root_group": tuple(group), "leading_out": tuple(out)}


def _leads_out(path: str, target: str) -> bool:
    depth = path.count("/")
    if target.startswith("/"):
        return True
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 1:
            return True
    return False


class _Files:
    """The files of an image's model, of which some have no exact size yet: a little more than they have."""

    def __init__(self, image: ImageFiles, tree: ImageTree) -> None:
        self._image = image
        paths = [path for path in tree.files() if path.startswith(MODELS)]
        entries = {path.removeprefix(MODELS): entry for path in paths if (entry := _followed(tree, path))}
        stubs = [path for path, entry in entries.items() if entry.size < 0]
        weights = [path for path in stubs if path.endswith(_WEIGHTS)]
        for path in stubs:
            if path not in weights or len(weights) <= _EXACT or path.endswith(".gguf"):
                entries[path] = image.find(path)
        layers = image.head.manifest.layers
        self._entries = entries
        self._sizes = {
            path: layers[entry.layer].size if entry.size < 0 else entry.size
            for path, entry in entries.items()
            if entry.kind == "file"
        }

    @property
    def sizes(self) -> Mapping[str, int]:
        """See `ModelFiles`."""
        return self._sizes

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `ModelFiles`."""
        if self._entries[path].size < 0:
            self._entries[path] = self._image.find(path)
        return self._image.read_range(self._entries[path], offset, length)


def _followed(tree: ImageTree, path: str) -> ImageFile | None:
    with suppress(ContentMismatch):
        return tree.follow(path)
    return None
