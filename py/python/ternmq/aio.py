"""The asyncio client. It has no thread of its own and runs on every event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ._core import OWN, SENT, Core
from ._options import Buffer, User, check_times, filter_pairs, session_options
from ._subscription import Subscription
from ._ternmq import Message, Will
from .errors import ConnectionLostError, QueueFullError
from .values import Backoff, PublishResult, State

__all__ = ["Client", "Message", "Subscription", "Will"]


class Client:
    """An MQTT client for asyncio.

        async with ternmq.Client("mqtt://127.0.0.1") as client:
            async with client.subscribe("plant/+/temp", qos=1) as temps:
                async for message in temps:
                    print(message.topic, message.payload)

    `version`: 5 (the default), 4 or "3.1.1", 3 or "3.1". `session_expiry`, `properties` (of CONNECT,
    by their names in the standard) and all that is said to be MQTT 5's raise ValueError with others.

    `reconnect`: a Backoff to connect again after a connection was lost, and to subscribe again;
    messages published meanwhile wait in the outbox. None: a loss is raised wherever somebody waits.
    The first connection is tried once, unless the Backoff says otherwise.

    `queue`: messages that may wait in a subscription. A full queue pauses the socket, so that the
    server waits and nothing is lost. Reading goes on, to at most eight times as many, while an
    answer of the server is awaited. One read of up to 64 KiB may come on top.

    `inflight`: messages with QoS 1 or 2 that may be under way at a time. `outbox` and `outbox_bytes`
    limit what waits beyond that.

    `timeout`: seconds that any operation may take unless it is told otherwise; None for no limit.
    `connect_timeout`: the same for one attempt to connect.

    Not thread-safe: use it from the event loop it was connected in.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str = "",
        version: int | str = 5,
        clean_start: bool = True,
        session_expiry: int = 0,
        username: str | None = None,
        password: str | Buffer | None = None,
        will: Will | None = None,
        keepalive: int = 60,
        properties: Mapping[str, Any] | None = None,
        reconnect: Backoff | None = None,
        queue: int = 1000,
        inflight: int = 1024,
        outbox: int = 10_000,
        outbox_bytes: int = 64 << 20,
        max_packet_size: int = 268_435_460,
        timeout: float | None = 30.0,
        connect_timeout: float | None = 30.0,
    ) -> None:
        check_times(reconnect, timeout, connect_timeout)
        host, port, options = session_options(
            url,
            client_id=client_id,
            version=version,
            clean_start=clean_start,
            session_expiry=session_expiry,
            username=username,
            password=password,
            will=will,
            keepalive=keepalive,
            properties=properties,
            queue=queue,
            inflight=inflight,
            outbox=outbox,
            outbox_bytes=outbox_bytes,
            max_packet_size=max_packet_size,
        )
        self._core = Core(
            options,
            host,
            port,
            backoff=reconnect,
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        self._send = self._core.session.publish
        self._queue = queue
        self._next_key = 1

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await self.drain()
        finally:
            await self.disconnect()

    async def connect(self) -> None:
        """Connects. `async with` does it by itself. A client connects once; `reconnect` is for
        what follows.

        Raises ConnectError; its `reason_code` is the server's. With `Backoff.first_connect` it tries
        on instead.
        """
        self._core.open()
        await self._core.opened()

    def open(self) -> None:
        """Begins to connect, and returns at once. The client can be used: what is published waits in
        the outbox, a subscription waits for the connection. When the first attempt fails, without
        `Backoff.first_connect`, that is the end, and whoever waits is told."""
        self._core.open()

    async def disconnect(
        self, reason_code: int = 0, *, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Ends the connection with DISCONNECT, for good. What was not acknowledged is given up;
        `drain` before, or leaving `async with`, waits for it. `reason_code` 4 has the will published
        (MQTT 5)."""
        await self._core.stop(reason_code, None if properties is None else dict(properties))

    def subscribe(
        self,
        filters: str | Sequence[str | tuple[str, int]],
        qos: int = 0,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int | None = None,
        user: User | None = None,
        queue: int | None = None,
        keep: bool = False,
        timeout: float | None = OWN,
    ) -> Subscription:
        """A subscription, to be used with `async with` or `await`; nothing is sent before that.

        `filters`: a topic filter, or several, each perhaps with a QoS of its own. All go into one
        SUBSCRIBE and share one queue.

        `no_local`, `retain_as_published`, `retain_handling` (0: retained messages are sent at each
        subscribe, 1: if the subscription is new, 2: never), `identifier` and `user` are MQTT 5's.

        `keep`: leaving `async with` does not unsubscribe. For sessions that outlive the connection,
        so that the server goes on collecting messages.

        Entering raises SubscribeError when the server refuses every filter; when it refuses some,
        `codes` of the subscription tells.
        """
        pairs = filter_pairs(filters, qos)
        key = self._next_key
        self._next_key += 1
        return Subscription(
            self._core,
            key,
            pairs,
            (no_local, retain_as_published, retain_handling, identifier, user),
            queue=self._queue if queue is None else queue,
            keep=keep,
            timeout=self._core.timeout if timeout is OWN else timeout,
        )

    async def publish(
        self,
        topic: str,
        payload: str | Buffer = b"",
        qos: int = 0,
        retain: bool = False,
        *,
        expiry: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user: User | None = None,
        payload_format: int | None = None,
        timeout: float | None = OWN,
    ) -> PublishResult:
        """Publishes, and waits for the server's acknowledgement; with QoS 0, until the message is on
        its way. Waits for room when too many are under way.

        `expiry` (seconds), `content_type`, `response_topic`, `correlation_data`, `user` (pairs of
        str) and `payload_format` (1: UTF-8 text) are MQTT 5's.

        Raises PublishError when the server refuses the message, MqttTimeoutError when its answer
        does not come in time: the message may still arrive. Cancelling does not take it back.
        """
        core = self._core
        while True:
            try:
                token = self._send(
                    topic, payload, qos, retain,
                    expiry, content_type, response_topic, correlation_data, user, payload_format,
                )
                break
            except QueueFullError:
                await core.in_time(core.room(), timeout)
            except ConnectionLostError:
                raise core.why() from None
        if token > 0:
            future = core.answers.expect(token, timeout is OWN)
            if core.paused:
                core.adjust_reading()
            timed = timeout is OWN or timeout is None
            result: PublishResult = await (future if timed else core.in_time(future, timeout))
            return result
        if token < 0:
            await core.in_time(core.turn(), timeout)
        return SENT

    def publish_nowait(
        self,
        topic: str,
        payload: str | Buffer = b"",
        qos: int = 0,
        retain: bool = False,
        *,
        expiry: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user: User | None = None,
        payload_format: int | None = None,
    ) -> asyncio.Future[PublishResult]:
        """Publishes without waiting. The future that is returned is done when the message is
        acknowledged; with QoS 0 it is done already. It has no timeout.

        Raises QueueFullError when too much waits to be sent.
        """
        core = self._core
        try:
            token = self._send(
                topic, payload, qos, retain,
                expiry, content_type, response_topic, correlation_data, user, payload_format,
            )
        except ConnectionLostError:
            raise core.why() from None
        if token > 0:
            return core.answers.expect(token, False)
        return core.sent()

    async def drain(self, timeout: float | None = OWN) -> None:
        """Waits until every message published so far is acknowledged, or, with QoS 0, taken by the
        operating system. How each fared is for its own `publish` to tell."""
        await self._core.in_time(self._core.drained(), timeout)

    def on_state(self, callback: Callable[[State], object]) -> Callable[[], None]:
        """Has `callback` called with a State whenever the connection comes or goes. Returns a
        function that ends this. It is called in the event loop and must not block; what it raises
        goes to the loop's exception handler."""
        listeners = self._core.listeners
        listeners.append(callback)

        def end() -> None:
            if callback in listeners:
                listeners.remove(callback)

        return end

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._core.session.connected

    @property
    def client_id(self) -> str:
        """The client identifier; the one that the server assigned, once it has (MQTT 5)."""
        return self._core.session.client_id

    @property
    def stats(self) -> dict[str, int]:
        """Counters since the client was made, among them what was dropped and why."""
        return self._core.session.stats()

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<Client {self.client_id!r} {self._core.address} {state}>"
