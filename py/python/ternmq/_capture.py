"""What is published to a broker while a test runs."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from ._broker_local import Record
from ._ternmq import Message, topic_matches

if TYPE_CHECKING:
    from ._outside import OutsideBroker
    from .broker import Broker

__all__ = ["Capture"]

_MOST = 10_000


class Capture:
    """The last 10,000 messages, whoever publishes them, but for topics that begin with $."""

    def __init__(self, broker: "Broker | OutsideBroker") -> None:
        self._broker = broker
        self._record = Record(_MOST)

    @property
    def messages(self) -> list[Message]:
        """All of them so far, the oldest first."""
        return self._record.messages()

    def payloads(self, filter: str = "#") -> list[bytes]:
        """The payloads of those whose topics match."""
        return [m.payload for m in self.messages if topic_matches(filter, m.topic)]

    def clear(self) -> None:
        """Forgets them."""
        self._record.clear()

    def wait_for(self, filter: str, timeout: float | None = 5.0) -> Message:
        """The next message that matches a topic filter and that was not waited for before. Raises
        MqttTimeoutError when there is none in time."""
        return self._record.wait_for(filter, timeout)

    async def wait_for_async(self, filter: str, timeout: float | None = 5.0) -> Message:
        """The same without blocking the event loop."""
        return await self._record.wait_for_async(filter, timeout)

    def __enter__(self) -> Self:
        tap, settle = self._broker._tap(_MOST)
        self._record.begin(tap, settle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._record.end()
