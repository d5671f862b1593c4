"""The asyncio client. It has no thread of its own, but for QUIC, and runs on every event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ._checks import end_code, instance_of, is_callable, seconds
from ._core import OWN, SENT, Core
from ._handlers import Handler, Handlers, result_of
from ._options import (
    Buffer, Filters, User, check_subscription, check_times, filter_names, is_manual, session_options,
)
from ._reach import Headers, Reach
from ._requests import Requests, answer_of
from ._subscription import Subscription
from ._ternmq import Message, Will
from .errors import ConnectionLostError, ForkError, MqttError, MqttTimeoutError, QueueFullError
from .reasons import ReasonCode
from .values import Auth, Backoff, Compression, PublishResult, State, Tls

if TYPE_CHECKING:
    from ssl import SSLContext

H = TypeVar("H", bound=Handler)

__all__ = ["Client", "Message", "Subscription", "Will"]


class Client:
    """An MQTT client for asyncio. Its options:

    `url`: `mqtt://[user[:password]@]host[:port]`, `mqtts://` (TLS), `ws://host/path`, `wss://`,
    `quic://`, `unix:///path`. Or the same by fields: `host`, `port`, `transport` ("tcp", "websockets",
    "quic", "unix"), `path`, and `tls`.

    `tls`: an `ssl.SSLContext` (not for QUIC), a `Tls` that names files, or True for what the system trusts.
    `compression`: True or a `Compression`, to offer it to the server of a WebSocket.
    `headers`: lines of HTTP for opening a WebSocket. Its subprotocol is "mqtt", as the standard has it.
    `proxy`: `http://[user[:password]@]host[:port]` or `socks5://`; the proxy looks names up.
    `auth`: an `Auth`, for enhanced authentication.

        async with ternmq.Client("mqtt://127.0.0.1") as client:
            async with client.subscribe("plant/+/temp", qos=1) as temps:
                async for message in temps:
                    print(message.topic, message.payload)

    `version`: 5 (the default), 4 or "3.1.1", 3 or "3.1". `session_expiry`, `properties` (of CONNECT,
    by their names in the standard) and all that is said to be MQTT 5's raise ValueError with others.

    `reconnect`: a Backoff to connect again after a connection was lost, and to subscribe again;
    messages published meanwhile wait in the outbox. None: a loss is raised wherever somebody waits.
    The first connection is tried once, unless the Backoff says otherwise.

    `receive_maximum`: messages with QoS 1 or 2 that the server may send ahead of their
    acknowledgements, by default as many as `queue`. MQTT 5's.

    `queue`: messages that may wait in a subscription. A full queue pauses the socket, so that the
    server waits and nothing is lost. Reading goes on, to at most eight times as many, while an
    answer of the server is awaited. One read of up to 64 KiB may come on top.

    `inflight`: messages with QoS 1 or 2 that may be under way at a time. `outbox` and `outbox_bytes`
    limit what waits beyond that.

    `outbox_file`: what is published with QoS 1 or 2 is kept in this file until the server has it.
    `publish` returns as soon as it is there, and takes it without a connection too. It survives the
    end of the process, `kill -9` included, but not a loss of power that the disk does not. The next
    client with the same file sends it, under the same packet ids: with `client_id`,
    `clean_start=False` and `session_expiry`, QoS 2 stays exactly once. One client uses a file at a
    time. What the server refuses afterwards is logged.
    With `outbox_sync` each of these is on stable storage before `publish` returns, and survives a loss
    of power too. Each waits for the disk, the event loop with it, and so do PUBREL packets.
    A full or failing disk has `publish` raise PublishError, and what was taken before stays. Damaged
    records are left out and logged; the file is copied to its name with `.damaged` before.

    `timeout`: seconds that any operation may take unless it is told otherwise; None for no limit.
    `connect_timeout`: the same for one attempt to connect.

    Not thread-safe: use it from the event loop it was connected in; elsewhere it raises RuntimeError.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        transport: str | None = None,
        path: str | None = None,
        headers: Headers | None = None,
        proxy: str | None = None,
        compression: Compression | bool = False,
        tls: "SSLContext | Tls | bool | None" = None,
        auth: Auth | None = None,
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
        receive_maximum: int | None = None,
        queue: int = 1000,
        inflight: int = 1024,
        outbox: int = 10_000,
        outbox_bytes: int = 64 << 20,
        outbox_file: str | PathLike[str] | None = None,
        outbox_sync: bool = False,
        max_packet_size: int = 268_435_460,
        timeout: float | None = 30.0,
        connect_timeout: float | None = 30.0,
    ) -> None:
        check_times(reconnect, timeout=timeout, connect_timeout=connect_timeout)
        reach = Reach(url, host, port, transport, path, headers, proxy, tls, compression)
        options = session_options(
            reach,
            auth,
            client_id=client_id, version=version,
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
            receive_maximum=receive_maximum,
            store=outbox_file, store_sync=outbox_sync,
        )
        self._core = Core(
            options,
            reach,
            auth,
            backoff=reconnect,
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        self._send = self._core.session.publish
        self._version: int = options["version"]
        self._queue = queue
        self._next_key = 1
        self._handlers = Handlers(self._core)
        self._requests: Requests[asyncio.Future[Message]] = Requests(self._core.listeners)
        self._answers: asyncio.Future[None] | None = None

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
            try:
                if kind is None:
                    await self.drain()
            finally:
                await self.disconnect()
        except ForkError:
            pass  # in a forked process: it goes on in the one that has forked

    async def connect(self) -> None:
        """Connects. `async with` does it by itself. A client connects once; `reconnect` is for
        what follows.

        Raises ConnectError; its `reason_code` is the server's. With `Backoff.first_connect` it tries
        on instead. Raises SubscribeError when a handler's subscription is refused.
        """
        self._core.open()
        await self._core.opened()
        try:
            await self._handlers.subscribe()
        except BaseException:
            await self._core.stop(0, None)
            raise

    def open(self) -> None:
        """Begins to connect, and returns at once. The client can be used: what is published waits in
        the outbox, a subscription waits for the connection. When the first attempt fails, without
        `Backoff.first_connect`, that is the end, and whoever waits is told."""
        self._core.open()
        self._handlers.begin()

    async def disconnect(
        self, reason_code: int = 0, *, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Ends the connection with DISCONNECT, for good. What was not acknowledged is given up;
        `drain` before, or leaving `async with`, waits for it. `reason_code` 4 has the will published
        (MQTT 5)."""
        end_code(reason_code=reason_code)
        instance_of(Mapping | None, properties=properties)
        given = None if properties is None else dict(properties)
        # Before anything is ended.
        self._core.session.check_disconnect(reason_code, given)
        await self._core.stop(reason_code, given)

    def subscribe(
        self,
        filters: Filters,
        qos: int = 0,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int | None = None,
        user: User | None = None,
        queue: int | None = None,
        keep: bool = False,
        ack: str = "auto",
        timeout: float | None = OWN,
    ) -> Subscription:
        """A subscription, to be used with `async with` or `await`; nothing is sent before that.

        `filters`: a topic filter, or several, each perhaps with a QoS of its own. All go into one
        SUBSCRIBE and share one queue.

        `no_local`, `retain_as_published`, `retain_handling` (0: retained messages are sent at each
        subscribe, 1: if the subscription is new, 2: never), `identifier` and `user` are MQTT 5's.

        `keep`: leaving `async with` does not unsubscribe. For sessions that outlive the connection,
        so that the server goes on collecting messages.

        `ack`: "auto" acknowledges a message when the next one is asked for, "manual" leaves it to
        `Message.ack`.

        Entering raises SubscribeError when the server refuses every filter; when it refuses some,
        `codes` of the subscription tells.
        """
        pairs = check_subscription(
            filters, qos,
            no_local=no_local, retain_as_published=retain_as_published,
            retain_handling=retain_handling, identifier=identifier, user=user,
            queue=queue, keep=keep, ack=ack, timeout=None if timeout is OWN else timeout,
        )
        key = self._next_key
        self._next_key += 1
        return Subscription(
            self._core,
            key,
            pairs,
            (no_local, retain_as_published, retain_handling, identifier, user),
            queue=self._queue if queue is None else queue,
            keep=keep,
            manual=is_manual(ack),
            timeout=self._limit(timeout),
        )

    async def unsubscribe(
        self, filters: str | Sequence[str], *, timeout: float | None = OWN
    ) -> Sequence[ReasonCode]:
        """Has the server end the subscriptions to these filters, and returns its answers, one for each;
        0x11 says that there was none (MQTT 5). Also those that an earlier process with the same session
        has made. A `Subscription` of this client ends when all its filters are among these."""
        return await self._core.unsubscribe_from(filter_names(filters), self._limit(timeout))

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
        its way; with an `outbox_file`, until it is in there. Waits for room when too many are under
        way.

        `expiry` (seconds), `content_type`, `response_topic`, `correlation_data`, `user` (pairs of
        str) and `payload_format` (1: UTF-8 text) are MQTT 5's.

        Raises PublishError when the server refuses the message, MqttTimeoutError when its answer
        does not come in time: the message may still arrive. Cancelling does not take it back.
        """
        core = self._core
        core.here()
        if timeout is not OWN:
            seconds(timeout)
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
            if core.durable:
                return SENT
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
        core.here()
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

    async def request(
        self,
        topic: str,
        payload: str | Buffer = b"",
        qos: int = 0,
        *,
        expiry: int | None = None,
        content_type: str | None = None,
        user: User | None = None,
        payload_format: int | None = None,
        timeout: float | None = OWN,
    ) -> Message:
        """Publishes a request, and waits for the answer (MQTT 5): a message to a topic of this client
        alone, with the Correlation Data of the request. `respond` is the other side.

        Raises MqttTimeoutError when no answer comes in time, one that comes later is ignored;
        ConnectionLostError, or what else has ended the client, when it ends before.
        """
        if self._version != 5:
            raise ValueError("request: only MQTT 5 has that")
        self._core.here()
        limit = self._limit(timeout)
        answer = asyncio.get_running_loop().create_future()
        data = self._requests.begin(answer)

        async def ask() -> Message:
            await self._open_answers()
            await self.publish(
                topic, payload, qos,
                expiry=expiry, content_type=content_type, response_topic=self._requests.topic,
                correlation_data=data, user=user, payload_format=payload_format, timeout=None,
            )
            message: Message = await answer
            return message

        try:
            return await self._core.in_time(ask(), limit)
        finally:
            self._requests.end(data)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # that it was looked at: publishing may have failed before

    def on(
        self, filters: Filters, qos: int = 0, **options: Any
    ) -> Callable[[H], H]:
        """Makes a function, perhaps an `async` one, the handler of the messages to `filters`:

            @client.on("plant/+/temp", qos=1)
            async def temperature(message): ...

        It is called with one message at a time, and has its own queue and the `options` of
        `subscribe`. A message is acknowledged when the function is done; what it raises is logged
        and changes nothing; SystemExit and KeyboardInterrupt end the loop, as from any task of
        asyncio. Handlers that are there when the client connects are subscribed for by
        `connect`, later ones in the background. They end with the client.
        """
        subscription = self.subscribe(filters, qos, **options)

        def decorate(function: H) -> H:
            is_callable(handler=function)
            self._handlers.add(subscription, function)
            return function

        return decorate

    def respond(
        self, filters: Filters, qos: int = 0, **options: Any
    ) -> Callable[[H], H]:
        """As `on`, for requests: what the function returns is published to the request's Response
        Topic, with its Correlation Data. After an exception nothing is."""
        subscription = self.subscribe(filters, qos, **options)

        def decorate(function: H) -> H:
            is_callable(handler=function)

            async def handler(message: Message) -> None:
                answer = answer_of(message, await result_of(function(message)))
                if answer is not None:
                    await self.publish(**answer)

            handler.__qualname__ = getattr(function, "__qualname__", repr(function))
            self._handlers.add(subscription, handler)
            return function

        return decorate

    async def authenticate(self, timeout: float | None = OWN) -> None:
        """Authenticates anew on the connection that there is, by the `Auth` of the client (MQTT 5).
        When the server does not believe it, it ends the connection."""
        await self._core.authenticate_again(self._limit(timeout))

    async def drain(self, timeout: float | None = OWN) -> None:
        """Waits until every message published so far is acknowledged, or, with QoS 0, taken by the
        operating system. How each fared is for its own `publish` to tell."""
        limit = self._limit(timeout)
        await self._core.in_time(self._core.drained(), limit)

    def on_state(self, callback: Callable[[State], object]) -> Callable[[], None]:
        """Has `callback` called with a State whenever the connection comes or goes. Returns a
        function that ends this. It is called in the event loop and must not block; what it raises is
        logged."""
        is_callable(callback=callback)
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
    def session_present(self) -> bool:
        """Whether the server went on with the session when it accepted the last connection."""
        return self._core.session_present

    async def wait_until(self, connected: bool, timeout: float | None = None) -> None:
        """Waits until there is a connection, or until there is none. What lasts shorter than a moment
        may not be seen.

        Raises MqttTimeoutError when that does not happen within `timeout` seconds, or never will.
        """
        instance_of(bool, connected=connected)
        seconds(timeout)
        reached = False
        try:
            async with asyncio.timeout(timeout):
                reached = await self._core.wait_until(connected)
        except TimeoutError:
            pass
        if not reached:
            what = "connected" if connected else "lost"
            raise MqttTimeoutError(f"not {what} within {timeout} s")

    async def closed(self, timeout: float | None = None) -> MqttError | None:
        """Waits until the client has ended for good, and returns why; None when it ended itself.

        Raises MqttTimeoutError when it has not ended within `timeout` seconds.
        """
        seconds(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._core.closed()
        except TimeoutError:
            raise MqttTimeoutError(f"not closed within {timeout} s") from None

    @property
    def client_id(self) -> str:
        """The client identifier; the one that the server assigned, once it has (MQTT 5)."""
        return self._core.session.client_id

    @property
    def stats(self) -> dict[str, int]:
        """Counters since the client was made, among them what was dropped and why."""
        return self._core.session.stats()

    def _limit(self, timeout: float | None) -> float | None:
        return self._core.timeout if timeout is OWN else seconds(timeout)

    async def _open_answers(self) -> None:
        if self._answers is None:
            subscription = self.subscribe(self._requests.topic, qos=1)
            self._answers = asyncio.ensure_future(
                self._handlers.start(subscription, self._requests.answer)
            )
            self._answers.add_done_callback(self._answers_opened)
        await asyncio.shield(self._answers)

    def _answers_opened(self, opened: asyncio.Future[None]) -> None:
        # Looked at here, because the requests that waited for it may have been cancelled.
        if opened.cancelled() or opened.exception() is not None:
            self._answers = None

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<Client {self.client_id!r} {self._core.address} {state}>"
