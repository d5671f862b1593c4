"""A broker inside this process: for tests, tools and small systems."""

from types import TracebackType
from typing import Self

from ._ternmq import RunningBroker

__all__ = ["Broker"]


class Broker:
    """An MQTT broker on threads of its own, none of which runs Python.

        with ternmq.Broker() as broker:
            print(broker.url)

    `async with` does the same without blocking the event loop. It listens when the block is
    entered, and is gone, with its connections, when the block is left.

    `port` 0 takes a free one. `host` is an IP address of this machine. There are no user names: who
    connects is let in when `anonymous` is true, which it is by itself only for 127.0.0.0/8 and ::1.
    `shards`: threads, 0 for one per core.
    """

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        anonymous: bool | None = None,
        shards: int = 0,
    ) -> None:
        local = host == "::1" or host.startswith("127.")
        self._arguments = (host, port, local if anonymous is None else anonymous, shards)
        self._running: RunningBroker | None = None

    def start(self) -> None:
        """Starts it, which takes about a millisecond. Entering `with` does this by itself.

        Raises OSError when the address can't be listened on.
        """
        if self._running is not None:
            raise RuntimeError("the broker is running")
        self._running = RunningBroker(*self._arguments)

    def stop(self) -> None:
        """Stops it: clients are told, and get up to two seconds to read what is being sent to them.
        Leaving `with` does this by itself. Nothing when it is not running."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._started().port

    @property
    def url(self) -> str:
        """What a client on this machine connects to: mqtt://127.0.0.1:PORT."""
        return self._started().url

    def publish(
        self,
        topic: str,
        payload: str | bytes | bytearray | memoryview = b"",
        qos: int = 0,
        retain: bool = False,
    ) -> None:
        """Publishes without a client. Does not wait for anyone.

        Raises QueueFullError when the broker is too busy to take it.
        """
        self._started().publish(topic, payload, qos, retain)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from asyncio import to_thread

        await to_thread(self.stop)

    def __repr__(self) -> str:
        return f"<Broker {self.url if self._running is not None else 'not running'}>"

    def _started(self) -> RunningBroker:
        if self._running is None:
            raise RuntimeError("the broker is not running")
        return self._running
