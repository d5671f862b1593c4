"""Subscriptions of the asyncio client, and reading their messages."""

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ._checks import at_least, seconds
from ._ternmq import Cursor, Message
from .errors import ForkError, MqttError, MqttTimeoutError
from .reasons import ReasonCode

if TYPE_CHECKING:
    from ._core import Core

# A reader that always finds a message gives the others a turn after this many.
_TURN = 64

# How an inbox is closed. FAILED: nothing counts as dealt with. FINISHED: everything does. KEEP: what
# was read does, the rest is for whoever subscribes next; the server is not told. KEEP_ALL: the same,
# but nothing does.
FAILED, FINISHED, KEEP, KEEP_ALL = 0, 1, 2, 3

T = TypeVar("T")


class Turn:
    """Awaiting it lets the event loop go round once."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


TURN = Turn()


class Subscription:
    """Made by `Client.subscribe`. Its messages are read with `async for`.

    `async with` subscribes and unsubscribes. `await` subscribes, and `unsubscribe` is called by
    hand then.

    A message counts as dealt with, and is acknowledged, when the next one is asked for or when the
    `async with` block ends without an exception. After an exception the next subscription of this
    client that matches it gets it again. When the session outlives the connection it also stays
    unacknowledged until then, and the server sends it to the next connection; but the
    acknowledgements of all later messages must wait behind it, and when too many do, the server
    sends no more.

    With `ack="manual"` only `Message.ack` acknowledges, in any order. What was not acknowledged is
    treated as after an exception.

    Several tasks may read at once; each message goes to one of them.
    """

    def __init__(
        self,
        core: "Core",
        key: int,
        filters: Sequence[tuple[str, int]],
        options: tuple[bool, bool, int, int | None, Any],
        *,
        queue: int,
        keep: bool,
        manual: bool,
        timeout: float | None,
    ) -> None:
        self.filters: tuple[str, ...] = tuple(filter for filter, _ in filters)
        self.codes: tuple[ReasonCode, ...] = ()
        self.key: int = key
        self.requests: list[tuple[str, int]] = list(filters)
        self.options: tuple[bool, bool, int, int | None, Any] = options
        self.queue: int = queue
        self.manual: bool = manual
        self.timeout: float | None = timeout
        self.core = core
        self._keep = keep
        self._entered = False
        self._ended = False
        self._error: MqttError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a subscription is used once")
        self._entered = True
        await self.core.subscribe(self)
        return self

    def __await__(self) -> Generator[Any, Any, Self]:
        return self.__aenter__().__await__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ways = (FINISHED, FAILED) if not self._keep else (KEEP, KEEP_ALL)
        try:
            await self.core.unsubscribe(self, ways[kind is not None])
        except ForkError:
            pass

    async def unsubscribe(self) -> Sequence[ReasonCode]:
        """Ends the subscription. Returns the server's answers, one for each filter that no other
        subscription of this client needs."""
        return await self.core.unsubscribe(self, FINISHED)

    def __aiter__(self) -> "Messages":
        return Messages(self)

    def messages(self, timeout: float | None = None) -> "Messages":
        """As reading the subscription itself, with a limit: MqttTimeoutError is raised when no
        message comes within `timeout` seconds. Reading can go on then."""
        return Messages(self, timeout)

    def batches(self, most: int = 256, timeout: float | None = None) -> "Batches":
        """Reads lists of up to `most` messages: as many as there are, at least one. A list is
        acknowledged as a whole, when the next one is asked for. Half the cost of single messages.
        `timeout` as in `messages`."""
        at_least(1, most=most)
        return Batches(self, most, timeout)

    async def get(self, timeout: float | None = None) -> Message:
        """The next message. It is acknowledged when something else is read from this subscription
        or the `async with` block ends.

        Raises MqttTimeoutError when none comes within `timeout` seconds.
        """
        try:
            return await Messages(self, timeout).__anext__()
        except StopAsyncIteration:
            raise MqttError("the subscription has ended") from None

    @property
    def waiting(self) -> int:
        """Messages that have come in and were not read yet."""
        return self.core.session.waiting(self.key)

    def __repr__(self) -> str:
        return f"<Subscription {', '.join(self.filters)}>"

    def wake(self) -> None:
        """There may be something to read."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def end(self, error: MqttError | None) -> None:
        """No more messages will come."""
        self._ended = True
        self._error = error
        self.wake()

    async def wait(self, timeout: float | None) -> None:
        """Waits until there may be something to read. Raises what has ended the subscription."""
        if not self._entered:
            raise RuntimeError("the subscription is not open: use `async with` or `await`")
        if self._ended:
            raise StopAsyncIteration if self._error is None else self._error.copy()
        self.core.here()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            if timeout is None:
                await waiter
                return
            try:
                async with asyncio.timeout(timeout):
                    await waiter
            except TimeoutError:
                raise MqttTimeoutError(f"no message within {timeout} s") from None
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)


class _Reader(AsyncIterator[T], Generic[T]):
    """What `Messages` and `Batches` share."""

    __slots__ = ("_core", "_cursor", "_subscription", "_timeout", "_turns")

    def __init__(self, subscription: Subscription, timeout: float | None = None) -> None:
        self._subscription = subscription
        self._timeout = seconds(timeout)
        self._core = subscription.core
        self._core.here()
        self._cursor = Cursor(self._core.session, subscription.key)
        self._turns = 0

    def __aiter__(self) -> Self:
        return self

    async def _turn(self) -> None:
        self._turns = 0
        await TURN


class Messages(_Reader[Message]):
    """The messages of a subscription, one by one."""

    __slots__ = ("_pop",)

    def __init__(self, subscription: Subscription, timeout: float | None = None) -> None:
        super().__init__(subscription, timeout)
        self._pop = self._cursor.pop

    async def __anext__(self) -> Message:
        self._turns += 1
        if self._turns == _TURN:
            await self._turn()
        while (message := self._pop()) is None:
            self._turns = 0
            await self._subscription.wait(self._timeout)
        if self._core.paused:
            self._core.adjust_reading()
        return message


class Batches(_Reader[list[Message]]):
    """The messages of a subscription, as many at a time as there are."""

    __slots__ = ("_most",)

    def __init__(self, subscription: Subscription, most: int, timeout: float | None) -> None:
        super().__init__(subscription, timeout)
        self._most = most

    async def __anext__(self) -> list[Message]:
        self._turns += self._most
        if self._turns >= _TURN:
            await self._turn()
        while not (messages := self._cursor.take(self._most)):
            self._turns = 0
            await self._subscription.wait(self._timeout)
        if self._core.paused:
            self._core.adjust_reading()
        return messages

