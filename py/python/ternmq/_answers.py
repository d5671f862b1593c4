"""Who waits for which answer of the server, and until when."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from .errors import MqttError, MqttTimeoutError


class Answers:
    """Futures by token, most of them with the same timeout: one timer serves them all."""

    def __init__(self, timeout: float | None) -> None:
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self._timeout = timeout
        # In the order of their deadlines, because each is made `timeout` before its own.
        self._deadlines: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: list[asyncio.Future[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on there is a loop."""
        self._loop = loop

    def expect(self, token: int, timed: bool) -> asyncio.Future[Any]:
        """A future for the answer to `token`, with the usual timeout or without one."""
        loop = self._loop
        assert loop is not None
        future = self.waiting[token] = loop.create_future()
        if timed and self._timeout is not None:
            deadlines = self._deadlines
            while deadlines and deadlines[0][1].done():
                deadlines.popleft()
            when = loop.time() + self._timeout
            deadlines.append((when, future))
            if self._timer is None:
                self._timer = loop.call_at(when, self._expire)
        return future

    def resolve(self, token: int, result: object) -> None:
        """The answer has come."""
        future = self.waiting.pop(token, None)
        if future is not None and not future.done():
            future.set_result(result)

    def reject(self, token: int, error: MqttError) -> None:
        """The answer is a refusal, or will not come."""
        future = self.waiting.pop(token, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def reject_all(self, make: Callable[[], MqttError]) -> None:
        """No answer will come any more."""
        for token in list(self.waiting):
            self.reject(token, make())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def changed(self) -> None:
        """Wakes whoever waits for a change: of the connection, of the room for messages."""
        if self._watchers:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                if not watcher.done():
                    watcher.set_result(None)

    async def change(self) -> None:
        """Waits for `changed`."""
        assert self._loop is not None
        watcher = self._loop.create_future()
        self._watchers.append(watcher)
        try:
            await watcher
        finally:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def _expire(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        while self._deadlines:
            when, future = self._deadlines[0]
            if not future.done():
                # A timer may fire within the clock's resolution before its time.
                if when > now + 0.001:
                    self._timer = self._loop.call_at(when, self._expire)
                    return
                future.set_exception(MqttTimeoutError(f"no answer within {self._timeout} s"))
            self._deadlines.popleft()
