"""What was published and may not be finished, for the blocking client's `drain`."""

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .blocking import PublishToken


class Tokens:
    """Those that may not be finished. Threads that publish and threads that drain share it, and a signal
    handler that publishes while its own thread is in here finds nothing half done."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all: deque[PublishToken] = deque()
        # Behind one that the server never answers, the finished ones are looked for when so many wait:
        # that costs no more than having added them.
        self._look_at = 4096

    def add(self, token: "PublishToken") -> None:
        with self._lock:
            self._all.append(token)
            self._forget_first()
            if len(self._all) >= self._look_at:
                for _ in range(len(self._all)):
                    other = self._all.popleft()
                    if not other.done:
                        self._all.append(other)
                self._look_at = max(4096, 2 * len(self._all))

    def unfinished(self) -> "list[PublishToken]":
        with self._lock:
            self._forget_first()
            return list(self._all)

    def _forget_first(self) -> None:
        while self._all:
            first = self._all[0]
            if not first.done:
                return
            if self._all and self._all[0] is first:
                self._all.popleft()
