"""What an embedded broker hands out in its own process, without a socket."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

from ._ternmq import Message, topic_matches
from .errors import ForkError, MqttTimeoutError

__all__ = ["LocalSubscription", "Record"]

_BATCH = 256
# How long one thread waits while another one may find its message.
_SLICE = 0.05
# A reader that always finds a message gives the others a turn after this many.
_TURN = 64


class Tap(Protocol):
    """Where messages come from: `ternmq._ternmq.Tap`, or another broker."""

    def take(self, most: int, timeout: float | None) -> list[Message] | None:
        """Some messages, none in time, or None at the end."""
        ...

    @property
    def dropped(self) -> int:
        """Messages that found no room."""
        ...

    def close(self) -> None:
        """Takes no more."""
        ...


class LocalSubscription:
    """Messages for a filter, as they come in, until `close`, the end of its `with` block or that of the
    broker. May be used from any thread; each message goes to one of those that wait. What comes in while
    the queue is full is dropped, and counted."""

    def __init__(self, tap: Tap, filter: str) -> None:
        self._tap = tap
        self.filter: str = filter
        # What a wait that was cancelled has still taken.
        self._ahead: deque[Message] = deque()

    @property
    def dropped(self) -> int:
        """Messages that found no room."""
        return self._tap.dropped

    def get(self, timeout: float | None = None) -> Message:
        """The next message. Raises MqttTimeoutError when none comes in time, EOFError at the end."""
        messages = self._take(1, timeout)
        if messages is None:
            raise EOFError("the subscription has ended")
        if not messages:
            raise MqttTimeoutError(f"no message for {self.filter} within {timeout} s")
        return messages[0]

    def batches(self, most: int = _BATCH) -> Iterator[list[Message]]:
        """Messages as they have come together, up to so many at a time."""
        while (messages := self._take(most, None)) is not None:
            yield messages

    def close(self) -> None:
        """Ends it, and every wait for it."""
        self._tap.close()

    def __iter__(self) -> Iterator[Message]:
        while messages := self._take(1, None):
            yield messages[0]

    async def __aiter__(self) -> AsyncIterator[Message]:
        from asyncio import sleep

        # One at a time: who leaves the loop leaves the rest to whoever reads next.
        turns = 0
        while (messages := self._take(1, 0)) is not None:
            if messages:
                yield messages[0]
                turns += 1
                if turns % _TURN == 0:
                    await sleep(0)
            else:
                await self._some()

    async def _some(self) -> None:
        from asyncio import CancelledError, ensure_future, shield, to_thread, wait

        looking = ensure_future(to_thread(self._look_ahead))
        try:
            await shield(looking)
        except CancelledError:
            # A slice at most. Otherwise it would go on taking what others wait for.
            await wait([looking])
            raise

    def _take(self, most: int, timeout: float | None) -> list[Message] | None:
        ahead: list[Message] = []
        with suppress(IndexError):
            while len(ahead) < most:
                ahead.append(self._ahead.popleft())
        return ahead or self._tap.take(most, timeout)

    def _look_ahead(self) -> None:
        """Waits for a message. Who asked may be gone when one comes, and so it is kept here."""
        self._ahead.extend(self._tap.take(1, _SLICE) or ())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except ForkError:
            pass  # in a forked process: it goes on in the one that has forked


class Record:
    """The last messages that a broker has got, and those of them that nobody has waited for yet."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = Lock()
        self._all: deque[Message] = deque(maxlen=most)
        self._new: deque[Message] = deque(maxlen=most)
        self._tap: Tap | None = None
        self._settle: Callable[[], None] | None = None
        self._count = 0

    def begin(self, tap: Tap, settle: Callable[[], None] | None = None) -> None:
        """Goes on with what this one gets. `settle` returns when it has what was published before."""
        with self._lock:
            self._tap, self._settle = tap, settle

    def end(self) -> None:
        """The broker has stopped: what it had still to tell is told."""
        with self._lock:
            self._gather()
            if self._tap is not None:
                self._count += self._tap.dropped
                self._tap.close()
                self._tap = self._settle = None

    def messages(self) -> list[Message]:
        """All of them, the oldest first."""
        with self._lock:
            self._gather_all()
            return list(self._all)

    def count(self) -> int:
        """How many there were, those included that found no room."""
        with self._lock:
            self._gather_all()
            return self._count + (self._tap.dropped if self._tap is not None else 0)

    def clear(self) -> None:
        """Forgets them."""
        with self._lock:
            self._gather_all()
            self._all.clear()
            self._new.clear()

    def wait_for(self, filter: str, timeout: float | None) -> Message:
        """The next one that matches and that was not waited for before."""
        topic_matches(filter, "checked")
        until = None if timeout is None else time.monotonic() + timeout
        self._gather_now()
        while True:
            with self._lock:
                message, tap = self._take(filter), self._tap
            if message is not None:
                return message
            left = _SLICE if until is None else min(until - time.monotonic(), _SLICE)
            if left <= 0 or tap is None:
                raise MqttTimeoutError(self._missing(filter, timeout))
            self._more(tap, left)

    async def wait_for_async(self, filter: str, timeout: float | None) -> Message:
        """The same without blocking the loop. Cancelled, it has taken nothing."""
        from asyncio import to_thread

        topic_matches(filter, "checked")
        until = None if timeout is None else time.monotonic() + timeout
        await to_thread(self._gather_now)
        while True:
            with self._lock:
                message, tap = self._take(filter), self._tap
            if message is not None:
                return message
            left = _SLICE if until is None else min(until - time.monotonic(), _SLICE)
            if left <= 0 or tap is None:
                raise MqttTimeoutError(self._missing(filter, timeout))
            # In slices, so that no thread stays behind for long when this is cancelled.
            await to_thread(self._more, tap, left)

    def _gather_now(self) -> None:
        with self._lock:
            self._gather_all()

    def _more(self, tap: Tap, timeout: float) -> None:
        more = tap.take(_BATCH, timeout)
        with self._lock:
            self._keep(more or [])
            self._gather()

    def _gather_all(self) -> None:
        if self._settle is not None:
            # Without a broker there is nothing to wait for.
            with suppress(RuntimeError):
                self._settle()
        self._gather()

    def _gather(self) -> None:
        while self._tap is not None and (more := self._tap.take(_BATCH, 0)):
            self._keep(more)

    def _keep(self, messages: list[Message]) -> None:
        self._count += len(messages)
        self._all.extend(messages)
        self._new.extend(messages)

    def _take(self, filter: str) -> Message | None:
        for place, message in enumerate(self._new):
            if topic_matches(filter, message.topic):
                del self._new[place]
                return message
        return None

    def _missing(self, filter: str, timeout: float | None) -> str:
        with self._lock:
            topics = list(dict.fromkeys(message.topic for message in self._new))
        came = ", ".join(topics[:10]) or "nothing"
        return f"no message for {filter} within {timeout} s; what came: {came}"
