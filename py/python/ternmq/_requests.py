"""Requests and their answers (MQTT 5, section 4.10), as both clients make them."""

from collections.abc import Callable
from itertools import count
from secrets import token_hex
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from ._ternmq import Message
from .errors import ConnectionLostError
from .values import State

T = TypeVar("T", bound="Waiter")


class Waiter(Protocol):
    """Of a request that waits: a future of asyncio, or of threads."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: Any, /) -> None: ...


class Requests(Generic[T]):
    """Which request an answer is for."""

    def __init__(self, listeners: list[Callable[[State], object]]) -> None:
        listeners.append(self._on_state)
        # Nobody else can know it, so nobody answers what was not asked.
        self.topic = f"ternmq/answers/{token_hex(12)}"
        # Held by the thread that subscribes for the answers.
        self.opening = Lock()
        self._waiting: dict[bytes, T] = {}
        # Of one step, so that two threads never get the same number.
        self._numbers = count(1)

    def begin(self, waiter: T) -> bytes:
        """The Correlation Data of a new request."""
        data = next(self._numbers).to_bytes(8)
        self._waiting[data] = waiter
        return data

    def end(self, data: bytes) -> None:
        """Nobody waits for the answer any more."""
        self._waiting.pop(data, None)

    def answer(self, message: Message) -> None:
        """An answer has come. One that is late or foreign is nobody's."""
        waiter = self._waiting.pop(message.correlation_data or b"", None)
        if waiter is not None and not waiter.done():
            waiter.set_result(message)

    def _on_state(self, state: State) -> None:
        """When the client has ended, nobody's answer will come."""
        if state.name != "closed":
            return
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            if not waiter.done():
                closed = ConnectionLostError("the client is closed")
                waiter.set_exception(closed if state.error is None else state.error.copy())


def answer_of(message: Message, result: object) -> dict[str, Any] | None:
    """What to publish as the answer to a request; None when it wants none."""
    if message.response_topic is None:
        return None
    payload = b"" if result is None else result
    if not isinstance(payload, (str, bytes, bytearray, memoryview)):
        kind = type(payload).__name__
        raise TypeError(f"a responder returns str, bytes or None, not {kind}")
    return {
        "topic": message.response_topic,
        "payload": payload,
        "qos": message.qos,
        "correlation_data": message.correlation_data,
    }
