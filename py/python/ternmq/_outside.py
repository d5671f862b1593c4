"""A broker that somebody else runs, in the place of an embedded one."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from ._ternmq import Message
from .blocking import Client, Subscription
from .broker import Broker
from .errors import ConnectionLostError, MqttTimeoutError

__all__ = ["OutsideBroker"]


class OutsideBroker:
    """What the fixtures of `ternmq.pytest_plugin` give when TERNMQ_TEST_BROKER names a broker: where it
    is, and `publish`. A test that asks for more of `ternmq.Broker` is skipped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = Client(url)

    @property
    def urls(self) -> dict[str, str]:
        """The URL, by its scheme."""
        return {urlsplit(self.url).scheme: self.url}

    @property
    def port(self) -> int:
        """The port of its URL."""
        parts = urlsplit(self.url)
        return parts.port or {"mqtts": 8883, "ws": 80, "wss": 443}.get(parts.scheme, 1883)

    @property
    def publish(self) -> Callable[..., object]:
        """As `ternmq.Broker.publish`."""
        return self._connected().publish

    def _connected(self) -> Client:
        if not self._client.connected:
            self._client.connect()
        return self._client

    def _tap(self, most: int) -> "tuple[OutsideTap, Callable[[], None]]":
        messages = self._connected().subscribe("#", 2, retain_handling=2, queue=most)
        return OutsideTap(messages), lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.disconnect()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(Broker, name):
            from pytest import skip

            skip(f"Broker.{name} needs a broker of the test's own")
        raise AttributeError(name)


class OutsideTap:
    """The messages of a subscription, in the place of those that an embedded broker hands out."""

    dropped = 0

    def __init__(self, messages: Subscription) -> None:
        self._messages = messages

    def take(self, most: int, timeout: float | None) -> list[Message] | None:
        """One message, none in time, or None at the end."""
        try:
            return [self._messages.get(timeout)]
        except MqttTimeoutError:
            return []
        except ConnectionLostError:
            return None

    def close(self) -> None:
        """Takes no more."""
        self._messages.unsubscribe()
