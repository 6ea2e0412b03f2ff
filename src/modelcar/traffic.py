"""What has gone over the network, counted."""

from __future__ import annotations

import threading


class Traffic:
    """A count that all threads share.

    Attributes:
        requests: How many were sent, redirects and those for tokens too.
        received: Bytes of the answers' bodies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = self.received = 0

    def ask(self) -> None:
        """Count a request."""
        with self._lock:
            self.requests += 1

    def counted(self, piece: bytes) -> bytes:
        """Count a piece of an answer. Returns it."""
        with self._lock:
            self.received += len(piece)
        return piece
