"""The blocking client: the same names as those of the asyncio client, for programs without a loop.

Any method may be called from any thread. Waiting leaves other threads alone, and Ctrl-C ends it.
"""

import atexit
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

from ._checks import at_least, end_code, instance_of, is_callable, seconds
from ._follow import Follower, log
from ._options import (
    Buffer, Filters, User, check_subscription, check_times, filter_names, is_manual, session_options,
)
from ._reach import Headers, Reach
from ._requests import Requests, answer_of
from ._ternmq import BlockingClient, BlockingSubscription, BlockingToken, Message, Will
from ._tokens import Tokens
from .errors import ConnectError, ConnectionLostError, ForkError, MqttError, MqttTimeoutError, QueueFullError
from .reasons import ReasonCode
from .values import Auth, Backoff, Compression, PublishResult, State, Tls

if TYPE_CHECKING:
    from concurrent.futures import Future
    from ssl import SSLContext

    from ._relay import RelayThread

__all__ = ["Client", "PublishToken", "Subscription"]

# For `timeout`: the client's own.
_OWN: Any = object()
_SENT = PublishResult()

H = TypeVar("H", bound=Callable[[Message], object])

# Clients whose threads wait for messages; they must have ended when the interpreter goes.
_served: "set[Client]" = set()


class Client:
    """An MQTT client whose methods block.

        with Client("mqtt://127.0.0.1") as client:
            for message in client.subscribe("plant/+/temp", qos=1):
                print(message.topic, message.payload)

    The options are those of `ternmq.Client`, and mean the same. TLS by a `Tls` is spoken by the IO
    thread, which leaves the interpreter alone; an `ssl.SSLContext` takes a thread of Python for each
    client.
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
        self._reach = Reach(url, host, port, transport, path, headers, proxy, tls, compression)
        self._options = session_options(
            self._reach,
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
        self._auth = auth
        self._follower = Follower(str(self._reach), auth)
        self._handlers: list[tuple[Filters, int, dict[str, Any], Callable[[Message], object]]] = []
        self._threads: list[threading.Thread] = []
        self._requests: Requests[Future[Message]] = Requests(self._follower.listeners)
        self._answers: Subscription | None = None
        self._backoff = reconnect
        self._queue = queue
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._client: BlockingClient | None = None
        self._relay: RelayThread | None = None
        # What `drain` has to wait for: what `publish_nowait` gave out, and what `publish` left.
        self._tokens = Tokens()
        self._subscriptions = _Subscriptions()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            try:
                if kind is None:
                    self.drain()
            finally:
                self.disconnect()
        except ForkError:
            pass  # in a forked process: it goes on in the one that has forked

    def connect(self) -> None:
        """Connects. `with` does it by itself. A client connects once; `reconnect` is for what
        follows.

        Raises ConnectError; its `reason_code` is the server's. With `Backoff.first_connect` it tries
        on instead. Raises SubscribeError when a handler's subscription is refused.
        """
        self._follower.raises = True
        self._open()
        assert self._client is not None
        try:
            self._client.wait_opened()
            if self._auth is not None:
                # The server may have to prove itself by what it said last.
                self._follower.settled.wait()
            if self._follower.error is not None:
                raise self._follower.error
            for handler in self._handlers:
                self._serve(*handler)
        except BaseException as error:
            try:
                self._client.disconnect(0, None)
            finally:
                self._clean_up()
            if isinstance(error, MqttError) and self._follower.error is not None:
                raise self._follower.error from self._follower.error.__cause__
            if isinstance(error, ConnectError) and error.reason_code is None:
                why = None if self._relay is None else self._relay.error
                if why is not None:
                    said = str(why) or type(why).__name__
                    raise ConnectError(f"{self._reach}: {said}") from why
                raise type(error)(f"{self._reach}: {error}") from None
            raise

    def open(self) -> None:
        """Begins to connect, and returns at once. The client can be used: what is published waits in
        the outbox, a subscription waits for the connection. When the first attempt fails, without
        `Backoff.first_connect`, that is the end, and whoever waits is told."""
        self._open()
        for handler in self._handlers:
            thread = threading.Thread(
                target=self._serve_once_connected, args=handler, name="ternmq-handler", daemon=True
            )
            self._start(thread)

    def _open(self) -> None:
        if self._client is not None:
            raise RuntimeError("a client connects once: make a new one")
        reach, b = self._reach, self._backoff
        if self._auth is not None:
            properties = dict(self._options["properties"] or {})
            data = self._follower.first_data()
            if data is not None:
                properties["authentication_data"] = data
            self._options["properties"] = properties
        if reach.context is not None:
            from ._relay import RelayThread

            self._relay = RelayThread(reach)
            reach.relay = self._relay.native
        self._client, news = BlockingClient.open(
            reach,
            self._options,
            None if b is None else (b.min, b.max, b.jitter, b.first_connect),
            self._connect_timeout,
            self._auth is not None,
        )
        self._follower.begin(self._client, news)

    def disconnect(
        self, reason_code: int = 0, *, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Ends the connection with DISCONNECT, for good. What was not acknowledged is given up;
        `drain` before, or leaving `with`, waits for it. `reason_code` 4 has the will published
        (MQTT 5)."""
        end_code(reason_code=reason_code)
        instance_of(Mapping | None, properties=properties)
        if self._client is not None:
            self._client.disconnect(reason_code, None if properties is None else dict(properties))
            self._clean_up()

    def _clean_up(self) -> None:
        """Ends the threads; the connection has ended."""
        self._follower.join()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        _served.discard(self)
        if self._relay is not None:
            self._relay.stop()

    def publish(
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
        timeout: float | None = _OWN,
    ) -> PublishResult:
        """Publishes, and waits for the server's acknowledgement; with QoS 0, until the message was
        taken; with an `outbox_file`, until it is in there. Waits for room when too many are under way.

        Raises PublishError when the server refuses the message, MqttTimeoutError when its answer
        does not come in time: the message may still arrive.
        """
        if self._options["store"] is not None and qos > 0:
            try:
                self.publish_nowait(
                    topic, payload, qos, retain,
                    expiry=expiry, content_type=content_type, response_topic=response_topic,
                    correlation_data=correlation_data, user=user, payload_format=payload_format,
                )
                return _SENT
            except QueueFullError:
                pass  # then it waits
        limit = self._limit(timeout)
        answer = self._connected().publish(
            topic, payload, qos, retain,
            expiry, content_type, response_topic, correlation_data, user, payload_format, limit,
            self._leave,
        )
        return _result(answer, limit)

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
    ) -> "PublishToken":
        """Publishes without waiting; `wait` of what is returned tells how it went.

        Raises QueueFullError when too much waits to be sent.
        """
        token = PublishToken(self._connected().publish_nowait(
            topic, payload, qos, retain,
            expiry, content_type, response_topic, correlation_data, user, payload_format,
        ))
        if qos > 0:
            self._tokens.add(token)
        return token

    def drain(self, timeout: float | None = _OWN) -> None:
        """Waits until every message has its answer that `publish_nowait` took so far, or for which
        `publish` did not wait to the end, because of its timeout or of Ctrl-C; and what an earlier
        process has left in the `outbox_file`. How each fared is for its own token to tell."""
        limit = self._limit(timeout)
        if self._client is not None:
            _ = self._client.connected  # of another process it says so
        until = None if limit is None else monotonic() + limit
        for token in self._tokens.unfinished():
            if not token._finish(_left(until)):
                raise MqttTimeoutError(f"no answer within {limit} s")
        if self._client is not None and not self._client.drain_outbox(_left(until)):
            raise MqttTimeoutError(f"no answer within {limit} s")

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
        timeout: float | None = None,
    ) -> "Subscription":
        """Subscribes, and waits until the server has granted it. What is returned is read with `for`;
        with `with` it is ended at the block's end, else by `unsubscribe`, or when it is gone.

        `filters`: a topic filter, or several, each perhaps with a QoS of its own. All go into one
        SUBSCRIBE and share one queue.

        `no_local`, `retain_as_published`, `retain_handling` (0: retained messages are sent at each
        subscribe, 1: if the subscription is new, 2: never), `identifier` and `user` are MQTT 5's.

        `keep`: leaving `with` does not unsubscribe, nor does it when the subscription is gone. For
        sessions that outlive the connection, so that the server goes on collecting messages.

        `ack`: "auto" acknowledges a message when the next one is asked for, "manual" leaves it to
        `Message.ack`.

        `timeout`: seconds that reading may wait for a message.

        Raises SubscribeError when the server refuses every filter; when it refuses some, `codes` of
        the subscription tells. Raises MqttTimeoutError when it does not answer.
        """
        pairs = check_subscription(
            filters, qos,
            no_local=no_local, retain_as_published=retain_as_published,
            retain_handling=retain_handling, identifier=identifier, user=user,
            queue=queue, keep=keep, ack=ack, timeout=timeout,
        )
        native = self._connected().subscribe(
            pairs, no_local, retain_as_published, retain_handling, identifier, user,
            self._queue if queue is None else queue, keep, is_manual(ack), self._timeout,
        )
        if native is None:
            raise MqttTimeoutError(f"no answer within {self._timeout} s")
        names = tuple(filter for filter, _ in pairs)
        subscription = Subscription(native, names, keep, timeout, self._timeout)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(
        self, filters: str | Sequence[str], *, timeout: float | None = _OWN
    ) -> Sequence[ReasonCode]:
        """Has the server end the subscriptions to these filters, and returns its answers, one for each;
        0x11 says that there was none (MQTT 5). Also those that an earlier process with the same session
        has made. A `Subscription` of this client ends when all its filters are among these."""
        names = filter_names(filters)
        limit = self._limit(timeout)
        codes = self._connected().unsubscribe(names, limit)
        self._subscriptions.forget(names)
        if codes is None:
            raise MqttTimeoutError(f"no answer within {limit} s")
        return _codes(codes)

    def request(
        self,
        topic: str,
        payload: str | Buffer = b"",
        qos: int = 0,
        *,
        expiry: int | None = None,
        content_type: str | None = None,
        user: User | None = None,
        payload_format: int | None = None,
        timeout: float | None = _OWN,
    ) -> Message:
        """Publishes a request, and waits for the answer (MQTT 5): a message to a topic of this client
        alone, with the Correlation Data of the request. `respond` is the other side.

        Raises MqttTimeoutError when no answer comes in time, one that comes later is ignored;
        ConnectionLostError, or what else has ended the client, when it ends before.
        """
        from concurrent.futures import Future

        if self._options["version"] != 5:
            raise ValueError("request: only MQTT 5 has that")
        limit = self._limit(timeout)
        until = None if limit is None else monotonic() + limit
        with self._requests.opening:
            if self._answers is None:
                self._answers = self._serve(self._requests.topic, 1, {}, self._requests.answer)
        answer: Future[Message] = Future()
        data = self._requests.begin(answer)
        try:
            self.publish(
                topic, payload, qos,
                expiry=expiry, content_type=content_type, response_topic=self._requests.topic,
                correlation_data=data, user=user, payload_format=payload_format,
                timeout=_left(until),
            )
            return answer.result(_left(until))
        except TimeoutError as error:
            if isinstance(error, MqttError):
                raise
            raise MqttTimeoutError(f"no answer within {limit} s") from None
        finally:
            self._requests.end(data)

    def on(self, filters: Filters, qos: int = 0, **options: Any) -> Callable[[H], H]:
        """Makes a function the handler of the messages to `filters`:

            @client.on("plant/+/temp", qos=1)
            def temperature(message): ...

        It is called in a thread of its own, with one message at a time, and has its own queue and the
        `options` of `subscribe`. A message is acknowledged when the function is done; what it raises
        is logged and changes nothing, `sys.exit()` included: to end the program, tell the thread that
        waits for it. Handlers that are there when the client connects are subscribed
        for by `connect`, later ones at once. They end with the client, which lives until
        `disconnect`.
        """

        check_subscription(filters, qos, **options)

        def decorate(function: H) -> H:
            is_callable(handler=function)
            self._add(filters, qos, options, function)
            return function

        return decorate

    def respond(self, filters: Filters, qos: int = 0, **options: Any) -> Callable[[H], H]:
        """As `on`, for requests: what the function returns is published to the request's Response
        Topic, with its Correlation Data. After an exception nothing is."""

        check_subscription(filters, qos, **options)

        def decorate(function: H) -> H:
            is_callable(handler=function)

            def handler(message: Message) -> None:
                answer = answer_of(message, function(message))
                if answer is not None:
                    self.publish(**answer)

            handler.__qualname__ = getattr(function, "__qualname__", repr(function))
            self._add(filters, qos, options, handler)
            return function

        return decorate

    def on_state(self, callback: Callable[[State], object]) -> Callable[[], None]:
        """Has `callback` called with a State whenever the connection comes or goes. Returns a function
        that ends this. It is called in a thread of the client; what it raises is logged."""
        is_callable(callback=callback)
        listeners = self._follower.listeners
        listeners.append(callback)

        def end() -> None:
            if callback in listeners:
                listeners.remove(callback)

        return end

    def authenticate(self, timeout: float | None = _OWN) -> None:
        """Authenticates anew on the connection that there is, by the `Auth` of the client (MQTT 5).
        When the server does not believe it, it ends the connection."""
        self._follower.authenticate(self._connected(), self._limit(timeout))

    @property
    def client_id(self) -> str:
        """The client identifier; the one that the server assigned, once it has (MQTT 5)."""
        given: str = self._options["client_id"]
        return given if self._client is None else self._client.client_id

    @property
    def stats(self) -> dict[str, int]:
        """Counters since the client was made, among them what was dropped and why."""
        return self._connected().stats()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._client is not None and self._client.connected

    @property
    def session_present(self) -> bool:
        """Whether the server went on with the session when it accepted the last connection."""
        return self._connected().session_present

    def wait_until(self, connected: bool, timeout: float | None = None) -> None:
        """Waits until there is a connection, or until there is none. What lasts shorter than a moment
        may not be seen.

        Raises MqttTimeoutError when that does not happen within `timeout` seconds, or never will.
        """
        instance_of(bool, connected=connected)
        if not self._connected().wait_until(connected, seconds(timeout)):
            what = "connected" if connected else "lost"
            raise MqttTimeoutError(f"not {what} within {timeout} s")

    def closed(self, timeout: float | None = None) -> MqttError | None:
        """Waits until the client has ended for good, and returns why; None when it ended itself.

        Raises MqttTimeoutError when it has not ended within `timeout` seconds.
        """
        error = self._connected().closed(seconds(timeout))
        if error is None:
            raise MqttTimeoutError(f"not closed within {timeout} s")
        return error if isinstance(error, MqttError) else None

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<Client {self._reach} {state}>"

    def _add(
        self, filters: Filters, qos: int, options: dict[str, Any], function: Callable[[Message], object]
    ) -> None:
        if self._client is None:
            self._handlers.append((filters, qos, options, function))
        else:
            self._serve(filters, qos, options, function)

    def _serve(
        self, filters: Filters, qos: int, options: dict[str, Any], function: Callable[[Message], object]
    ) -> "Subscription":
        subscription = self.subscribe(filters, qos, **options)
        work = (subscription, function, str(self._reach))
        thread = threading.Thread(target=_serve, args=work, name="ternmq-handler", daemon=True)
        self._start(thread)
        return subscription

    def _serve_once_connected(
        self, filters: Filters, qos: int, options: dict[str, Any], function: Callable[[Message], object]
    ) -> None:
        try:
            subscription = self.subscribe(filters, qos, **options)
        except (MqttError, ValueError) as error:  # perhaps it needs MQTT 5
            log.error("%s: handler %s: %s", self._reach, _name(function), error)
        else:
            _serve(subscription, function, str(self._reach))

    def _start(self, thread: threading.Thread) -> None:
        _served.add(self)
        self._threads.append(thread)
        thread.start()

    def _leave(self, native: BlockingToken) -> None:
        """A message was taken, and nobody waits for its answer any more."""
        self._tokens.add(PublishToken(native))

    def _connected(self) -> BlockingClient:
        if self._client is None:
            raise ConnectionLostError("not connected")
        return self._client

    def _limit(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is _OWN else seconds(timeout)


class _Messages(Iterator[Message]):
    def __init__(self, subscription: "Subscription", timeout: float | None) -> None:
        self._subscription, self._timeout = subscription, timeout

    def __next__(self) -> Message:
        return self._subscription._take(1, self._timeout)[0]


class _Subscriptions:
    """Those of a client that the application still has. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all: WeakSet[Subscription] = WeakSet()

    def add(self, subscription: "Subscription") -> None:
        with self._lock:
            self._all.add(subscription)

    def forget(self, filters: Sequence[str]) -> None:
        with self._lock:
            subscriptions = list(self._all)
        for subscription in subscriptions:
            subscription._forget(filters)


class PublishToken:
    """A message on its way."""

    def __init__(self, native: BlockingToken) -> None:
        self._native = native

    def wait(self, timeout: float | None = None) -> PublishResult:
        """Waits for the server's answer. Raises what `Client.publish` does."""
        return _result(self._native.wait(seconds(timeout)), timeout)

    @property
    def done(self) -> bool:
        """Whether the answer has come, or none will."""
        return self._finish(0)

    def _finish(self, timeout: float | None) -> bool:
        try:
            return self._native.wait(timeout) is not None
        except Exception:
            return True  # told by `wait`


class Subscription(Iterator[Message]):
    """Made by `Client.subscribe`.

    A message counts as dealt with, and is acknowledged, when the same thread asks for the next one,
    when that thread has ended and another one asks, or when the `with` block ends without an
    exception. After an exception it is not, if the session outlives the connection: then the server
    sends it to the next one. Several threads may read at once.

    Reading ends with the client; a lost connection is raised.
    """

    def __init__(
        self,
        native: BlockingSubscription,
        filters: tuple[str, ...],
        keep: bool,
        timeout: float | None,
        request_timeout: float | None,
    ) -> None:
        self.filters: tuple[str, ...] = filters
        self.codes: Sequence[ReasonCode] = tuple(ReasonCode(code) for code in native.codes)
        # Whether reading has come to the end because the client ended it, or the application did.
        self.ended: bool = False
        self._native = native
        # Those that `Client.unsubscribe` has not ended.
        self._left: Sequence[str] = filters
        self._keep = keep
        self._timeout = timeout
        self._request_timeout = request_timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None and not self._keep:
                self.unsubscribe()
            else:
                self._native.close(kind is None, False, None)
        except ForkError:
            pass

    def unsubscribe(self) -> Sequence[ReasonCode]:
        """Ends the subscription. Returns the server's answers, one for each filter that no other
        subscription of this client needs."""
        codes = self._native.close(True, True, self._request_timeout)
        if codes is None:
            raise MqttTimeoutError(f"no answer within {self._request_timeout} s")
        return _codes(codes)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        return self._take(1, self._timeout)[0]

    def get(self, timeout: float | None = None) -> Message:
        """The next message. Raises MqttTimeoutError when none comes within `timeout` seconds."""
        try:
            return self._take(1, seconds(timeout))[0]
        except StopIteration:
            raise ConnectionLostError("the subscription has ended") from None

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """As reading the subscription itself, with another limit: MqttTimeoutError is raised when no
        message comes within `timeout` seconds. Reading can go on then."""
        return _Messages(self, seconds(timeout))

    def batches(self, most: int = 256, timeout: float | None = None) -> Iterator[list[Message]]:
        """Reads lists of up to `most` messages: as many as there are, at least one. A list is
        acknowledged as a whole, when the next one is asked for. `timeout`: instead of that of the
        subscription."""
        at_least(1, most=most)
        limit = self._timeout if timeout is None else seconds(timeout)
        return iter(lambda: self._batch(most, limit), [])

    @property
    def waiting(self) -> int:
        """Messages that have come in and were not read yet."""
        return self._native.waiting

    def __repr__(self) -> str:
        return f"<Subscription {', '.join(self.filters)}>"

    def _forget(self, filters: Sequence[str]) -> None:
        """The server has none of these any more."""
        self._left = [filter for filter in self._left if filter not in filters]
        if not self._left:
            self._native.forget()

    def _batch(self, most: int, timeout: float | None) -> list[Message]:
        try:
            return self._take(most, timeout)
        except StopIteration:
            return []

    def _take(self, most: int, timeout: float | None) -> list[Message]:
        messages = self._native.take(most, timeout)
        if messages is None:
            raise MqttTimeoutError(f"no message within {timeout} s")
        if not messages:
            self._native.check()
            self.ended = True
            raise StopIteration
        return messages


def _codes(codes: Sequence[int]) -> Sequence[ReasonCode]:
    return tuple(ReasonCode(code) for code in codes)


def _left(until: float | None) -> float | None:
    """Seconds until then; None for no limit."""
    return None if until is None else max(until - monotonic(), 0.0)


def _serve(
    subscription: Subscription, function: Callable[[Message], object], address: str
) -> None:
    while True:
        try:
            message = subscription.get()
        except MqttError as error:
            if not subscription.ended:
                log.error("%s: handler %s: %s", address, _name(function), error)
            return
        try:
            function(message)
        except BaseException:
            # SystemExit too: without this thread the queue would fill, and the client read no more.
            what = (address, _name(function), message.topic)
            log.exception("%s: handler %s, message to %s", *what)


def _name(function: Callable[[Message], object]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)


@atexit.register
def _end_all() -> None:
    for client in list(_served):
        try:
            client.disconnect()
        except ForkError:
            pass


def _result(answer: tuple[int, dict[str, Any] | None] | None, limit: float | None) -> PublishResult:
    if answer is None:
        raise MqttTimeoutError(f"no answer within {limit} s")
    reason, properties = answer
    return _SENT if reason == 0 and properties is None else PublishResult(reason, properties)
