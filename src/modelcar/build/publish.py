"""The end of a build: everything that the tag will name is put in place, and then the tag is moved."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from modelcar.build.assemble import Image
from modelcar.build.baseimage import Base, send_base
from modelcar.build.plan import Plan
from modelcar.build.send import Sender
from modelcar.errors import NetworkError, NotFound, Refused
from modelcar.events import Listener, Warned
from modelcar.oci import StoredLayer
from modelcar.parallel import QUESTIONS, side_by_side
from modelcar.retry import Patience
from modelcar.stores import Location
from modelcar.stores.tags import forbidden, replaces, tag_names

_TRIES = 3


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

    def publish(self, image: Image, layers: Mapping[int, StoredLayer], *, clobber: bool) -> bool:
        """Make the tag name `image`. False when it does already: nothing is pushed then.

        Args:
            image: Configs, manifests and index.
            layers: The blob of each layer of the plan, by its number.
            clobber: Whether a tag that exists may be moved.

        Raises:
            Refused: The tag must not be moved; the image is in the store without it then.
            ModelcarError: As the store does.
        """
        attempt = 1
        # What was sent into one file is nowhere yet, also where the file that is there has the same image, damaged.
        is_unfinished = self._store.is_one_file and self.base_sent + self._sender.sent > 0
        while is_unfinished or tag_names(self._target) != image.index[0].digest:
            try:
                self._put(image, layers, clobber=clobber)
            except NotFound as error:
                # What was there a moment ago is gone: garbage was collected, or another builder writes the same image
                # just now (docker-registry empties a file before it writes it).
                if attempt == _TRIES:
                    raise
                self._patience.pause("publishing", NetworkError(error.what), attempt)
                attempt += 1
            else:
                return True
        return False

    def _put(self, image: Image, layers: Mapping[int, StoredLayer], *, clobber: bool) -> None:
        """Blobs, the platforms' manifests, and at last the index under the tag."""
        index, content = image.index
        if not clobber:
            self._check_no_tag()
        self._complete(image, layers)
        for manifest, bytes_ in image.manifests:
            self._store.write_manifest(bytes_, manifest.media_type, manifest.digest)
        if not clobber:
            self._check_no_tag()  # once more: somebody else may have been faster
        try:
            self._store.write_manifest(content, index.media_type, self._target.tag)
        except Refused as error:
            self._store.write_manifest(content, index.media_type, index.digest)
            hint = f"the image is there without it, and can be deployed as {self._store.name}@{index.digest}"
            raise Refused(error.what, hint) from None

    def _check_no_tag(self) -> None:
        if taken := replaces(self._target):
            raise forbidden(self._target, taken)

    def _complete(self, image: Image, layers: Mapping[int, StoredLayer]) -> None:
        """Make sure that every blob is there, and send those that aren't."""
        self.place_base()
        digests = [layers[number].digest for number in sorted(layers)]
        there = list(side_by_side(self._store.has_blob, digests, QUESTIONS, self._patience))
        for number, layer in enumerate(self._plan.layers):
            if not there[number]:
                self._listener(Warned(f"{self._store.name} has lost the layer {layer.title}: it is sent again"))
                self._sender.send(number, layer)
        for config in image.configs:
            if not self._store.has_blob(config.digest):
                self._patience.persist(partial(self._store.write_blob, config), config.title)
