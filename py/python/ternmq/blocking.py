"""The blocking client: the same names as those of the asyncio client, for programs without a loop.

Any method may be called from any thread. Waiting leaves other threads alone, and Ctrl-C ends it.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ._options import Buffer, User, check_times, session_options
from ._ternmq import BlockingClient, BlockingSubscription, BlockingToken, Message, Will
from .errors import ConnectionLostError, MqttError, MqttTimeoutError
from .reasons import ReasonCode
from .values import Backoff, PublishResult

__all__ = ["Client", "PublishToken", "Subscription"]

# For `timeout`: the client's own.
_OWN: Any = object()
_SENT = PublishResult()


class Client:
    """An MQTT client whose methods block.

        with Client("mqtt://127.0.0.1") as client:
            for message in client.subscribe("plant/+/temp", qos=1):
                print(message.topic, message.payload)

    The options are those of `ternmq.Client`, and mean the same.
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
        self._host, self._port, self._options = session_options(
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
        self._backoff = reconnect
        self._queue = queue
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._client: BlockingClient | None = None
        # What `publish_nowait` gave out and `drain` has to wait for.
        self._tokens: deque[PublishToken] = deque()

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
            if kind is None:
                self.drain()
        finally:
            self.disconnect()

    def connect(self) -> None:
        """Connects. `with` does it by itself. A client connects once; `reconnect` is for what
        follows.

        Raises ConnectError; its `reason_code` is the server's. With `Backoff.first_connect` it tries
        on instead.
        """
        if self._client is not None:
            raise RuntimeError("a client connects once: make a new one")
        b = self._backoff
        self._client = BlockingClient.connect(
            self._host,
            self._port,
            self._options,
            None if b is None else (b.min, b.max, b.jitter, b.first_connect),
            self._connect_timeout,
        )

    def disconnect(
        self, reason_code: int = 0, *, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Ends the connection with DISCONNECT, for good. What was not acknowledged is given up;
        `drain` before, or leaving `with`, waits for it. `reason_code` 4 has the will published
        (MQTT 5)."""
        if self._client is not None:
            self._client.disconnect(reason_code, None if properties is None else dict(properties))

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
        taken. Waits for room when too many are under way.

        Raises PublishError when the server refuses the message, MqttTimeoutError when its answer
        does not come in time: the message may still arrive.
        """
        limit = self._limit(timeout)
        answer = self._connected().publish(
            topic, payload, qos, retain,
            expiry, content_type, response_topic, correlation_data, user, payload_format, limit,
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
            while self._tokens and self._tokens[0].done:
                self._tokens.popleft()
            self._tokens.append(token)
        return token

    def drain(self, timeout: float | None = _OWN) -> None:
        """Waits until every message that `publish_nowait` took has its answer. How each fared is for
        its own token to tell."""
        limit = self._limit(timeout)
        while self._tokens:
            if not self._tokens[0]._finish(limit):
                raise MqttTimeoutError(f"no answer within {limit} s")
            self._tokens.popleft()

    def subscribe(
        self,
        filter: str,
        qos: int = 0,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        queue: int | None = None,
        timeout: float | None = None,
    ) -> "Subscription":
        """Subscribes, and waits until the server has granted it. What is returned is read with `for`;
        with `with` it is ended at the block's end, else by `unsubscribe`, or when it is gone.

        `timeout`: seconds that reading may wait for a message. `no_local`, `retain_as_published` and
        `retain_handling` are MQTT 5's.

        Raises SubscribeError when the server refuses, MqttTimeoutError when it does not answer.
        """
        native = self._connected().subscribe(
            filter, qos, no_local, retain_as_published, retain_handling,
            self._queue if queue is None else queue, self._timeout,
        )
        if native is None:
            raise MqttTimeoutError(f"no answer within {self._timeout} s")
        return Subscription(native, filter, timeout, self._timeout)

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
        if not self._connected().wait_until(connected, timeout):
            what = "connected" if connected else "lost"
            raise MqttTimeoutError(f"not {what} within {timeout} s")

    def closed(self, timeout: float | None = None) -> MqttError | None:
        """Waits until the client has ended for good, and returns why; None when it ended itself.

        Raises MqttTimeoutError when it has not ended within `timeout` seconds.
        """
        error = self._connected().closed(timeout)
        if error is None:
            raise MqttTimeoutError(f"not closed within {timeout} s")
        return error if isinstance(error, MqttError) else None

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<Client {self._host}:{self._port} {state}>"

    def _connected(self) -> BlockingClient:
        if self._client is None:
            raise ConnectionLostError("not connected")
        return self._client

    def _limit(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is _OWN else timeout


class PublishToken:
    """A message on its way."""

    def __init__(self, native: BlockingToken) -> None:
        self._native = native

    def wait(self, timeout: float | None = None) -> PublishResult:
        """Waits for the server's answer. Raises what `Client.publish` does."""
        return _result(self._native.wait(timeout), timeout)

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
        filter: str,
        timeout: float | None,
        request_timeout: float | None,
    ) -> None:
        self.filters = (filter,)
        self.codes: Sequence[ReasonCode] = (ReasonCode(native.granted),)
        self._native = native
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
        if kind is None:
            self.unsubscribe()
        else:
            self._native.close(False, False, None)

    def unsubscribe(self) -> None:
        """Ends the subscription, and waits for the server's answer."""
        if not self._native.close(True, True, self._request_timeout):
            raise MqttTimeoutError(f"no answer within {self._request_timeout} s")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        return self._take(1, self._timeout)[0]

    def get(self, timeout: float | None = None) -> Message:
        """The next message. Raises MqttTimeoutError when none comes within `timeout` seconds."""
        try:
            return self._take(1, timeout)[0]
        except StopIteration:
            raise ConnectionLostError("the subscription has ended") from None

    def batches(self, most: int = 256) -> Iterator[list[Message]]:
        """Reads lists of up to `most` messages: as many as there are, at least one. A list is
        acknowledged as a whole, when the next one is asked for."""
        if most < 1:
            raise ValueError("a batch has at least one message")
        return iter(lambda: self._batch(most), [])

    def __repr__(self) -> str:
        return f"<Subscription {self.filters[0]}>"

    def _batch(self, most: int) -> list[Message]:
        try:
            return self._take(most, self._timeout)
        except StopIteration:
            return []

    def _take(self, most: int, timeout: float | None) -> list[Message]:
        messages = self._native.take(most, timeout)
        if messages is None:
            raise MqttTimeoutError(f"no message within {timeout} s")
        if not messages:
            self._native.check()
            raise StopIteration
        return messages


def _result(answer: tuple[int, dict[str, Any] | None] | None, limit: float | None) -> PublishResult:
    if answer is None:
        raise MqttTimeoutError(f"no answer within {limit} s")
    reason, properties = answer
    return _SENT if reason == 0 and properties is None else PublishResult(reason, properties)
