"""The end of a build: everything that the tag will name is put in place, and then the tag is moved."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from modelcar.build.assemble import Image
from modelcar.build.baseimage import Base, send_base
from modelcar.build.plan import Plan
from modelcar.build.send import Sender
from modelcar.errors import NotFound, Refused
from modelcar.events import Listener, Warned
from modelcar.oci import Descriptor, Digest
from modelcar.retry import Patience
from modelcar.stores import Location

QUESTIONS = 8
"""Small requests to a store at a time."""


class Publisher:
    """Publishes one image.

    Args:
        target: Where it goes.
        plan: What its layers are made of, to send one again that the store has lost.
        base: What lies under them.
        sender: Sends them.
        patience: How writing is tried again.
        listener: Is told of what is amiss.
    """

    def __init__(
        self, target: Location, plan: Plan, base: Base, sender: Sender, patience: Patience, listener: Listener
    ) -> None:
        self.base_sent = 0
        self._target = target
        self._store = target.store
        self._plan = plan
        self._base = base
        self._sender = sender
        self._patience = patience
        self._listener = listener

    def place_base(self) -> None:
        """Put the base's layers in place: first of all, since one that can't be had ends a build."""
        self.base_sent += send_base(self._base, self._store, self._patience)

    def publish(self, image: Image, layers: Mapping[int, Descriptor], *, clobber: bool) -> bool:
        """Make the tag name `image`. False when it does already: nothing is pushed then.

        Args:
            image: Configs, manifests and index.
            layers: The blob of each layer of the plan, by its number.
            clobber: Whether a tag that exists may be moved.

        Raises:
            Refused: The tag must not be moved; the image is in the store without it then.
            ModelcarError: As the store does.
        """
        index, content = image.index
        if tag_names(self._target) == index.digest:
            return False
        self._complete(image, layers)
        try:
            self._write_manifests(image)
        except NotFound:
            # A blob has gone since it was asked for: garbage was collected meanwhile.
            self._complete(image, layers)
            self._write_manifests(image)
        if not clobber:
            check_no_tag(self._target)
        try:
            self._store.write_manifest(content, index.media_type, self._target.tag)
        except Refused as error:
            self._store.write_manifest(content, index.media_type, index.digest)
            hint = f"the image is there without it, and can be deployed as {self._store.name}@{index.digest}"
            raise Refused(error.what, hint) from None
        return True

    def _complete(self, image: Image, layers: Mapping[int, Descriptor]) -> None:
        """Make sure that every blob is there, and send those that aren't."""
        self.place_base()
        with ThreadPoolExecutor(QUESTIONS) as pool:
            there = list(pool.map(lambda number: self._store.has_blob(layers[number].digest), sorted(layers)))
        for number, layer in enumerate(self._plan.layers):
            if not there[number]:
                self._listener(Warned(f"{self._store.name} has lost the layer {layer.title}: it is sent again"))
                self._sender.send(number, layer)
        for config in image.configs:
            if not self._store.has_blob(config.digest):
                self._patience.persist(partial(self._store.write_blob, config), config.title)

    def _write_manifests(self, image: Image) -> None:
        for manifest, content in image.manifests:
            self._store.write_manifest(content, manifest.media_type, manifest.digest)


def tag_names(target: Location) -> Digest | None:
    """What the target's tag names now."""
    try:
        return target.store.resolve(target.tag).digest
    except NotFound:
        return None


def check_no_tag(target: Location) -> None:
    """Raises `Refused` where the target's tag exists."""
    if found := tag_names(target):
        raise Refused(f"{target} exists ({found}) and --no-clobber forbids to move it", "choose another tag")
