from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, final

_Buffer = bytes | bytearray | memoryview
_User = Sequence[tuple[str, str]] | Mapping[str, str]

@final
class Message:
    """An application message that came in. It never changes, and `memoryview(message)` is its payload
    without a copy."""

    __match_args__ = ("topic", "payload", "qos", "retain")
    @property
    def topic(self) -> str:
        """The topic name it was published to."""
    @property
    def payload(self) -> bytes:
        """The application message: a copy for each access, `memoryview(message)` costs none."""
    @property
    def qos(self) -> int:
        """The QoS it was delivered with."""
    @property
    def retain(self) -> bool:
        """Whether it was the topic's retained message, or was published as one."""
    @property
    def dup(self) -> bool:
        """Whether the server may have sent it before."""
    @property
    def user(self) -> list[tuple[str, str]]:
        """The user properties in order, as (name, value) pairs."""
    @property
    def content_type(self) -> str | None:
        """The Content Type."""
    @property
    def response_topic(self) -> str | None:
        """The topic on which an answer is expected."""
    @property
    def correlation_data(self) -> bytes | None:
        """What to send back with an answer."""
    @property
    def payload_format(self) -> int | None:
        """The Payload Format Indicator: 1 promises UTF-8 text."""
    @property
    def expiry(self) -> int | None:
        """Seconds of life left now, None for a message that does not expire."""
    @property
    def subscription_ids(self) -> list[int]:
        """The Subscription Identifiers it came with. Subscriptions that were given none have one that
        the client chose, from 0x1000000 on."""
    @property
    def properties(self) -> dict[str, Any]:
        """All properties that travelled with it, by their names in the standard."""
    def ack(self, reason_code: int = 0) -> bool:
        """Acknowledges the message, of a subscription with `ack="manual"`: the server will not send it
        again. Does not wait; any order will do. An error as `reason_code` tells an MQTT 5 server that
        the message was not accepted. False when nothing waits for it any more: it has QoS 0, was
        acknowledged before, or comes again because its connection has ended."""
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Will:
    """What the server publishes when the connection ends without a DISCONNECT."""

    def __new__(
        cls,
        topic: str,
        payload: str | _Buffer = ...,
        qos: int = 0,
        retain: bool = False,
        *,
        delay: int = 0,
        expiry: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user: _User | None = None,
        payload_format: int | None = None,
    ) -> Self: ...

@final
class Session:
    def __new__(cls, options: dict[str, Any], on_output: Callable[[], None]) -> Self: ...
    @property
    def buffer(self) -> memoryview: ...
    def opened(
        self, websocket: tuple[str, str, bool, list[tuple[str, str]]] | None = None
    ) -> None: ...
    def feed(self, length: int) -> list[tuple[Any, ...]] | None: ...
    def closed(self) -> list[tuple[Any, ...]] | None: ...
    def tick(self) -> list[tuple[Any, ...]] | None: ...
    def timeout(self) -> float | None: ...
    def set_reading(self, reading: bool) -> None: ...
    def take(self) -> bytes | None: ...
    @property
    def wants_close(self) -> bool: ...
    @property
    def failure(self) -> str | None: ...
    @property
    def connected(self) -> bool: ...
    @property
    def client_id(self) -> str: ...
    @property
    def queued(self) -> int: ...
    @property
    def inflight(self) -> int: ...
    @property
    def crowding(self) -> int: ...
    def publish(
        self,
        topic: str,
        payload: str | _Buffer,
        qos: int,
        retain: bool,
        expiry: int | None,
        content_type: str | None,
        response_topic: str | None,
        correlation_data: bytes | None,
        user: _User | None,
        payload_format: int | None,
    ) -> int: ...
    def open_inbox(
        self, key: int, filters: Sequence[str], identifier: int | None, limit: int, manual: bool
    ) -> None: ...
    def close_inbox(self, key: int, how: int) -> list[str]: ...
    def waiting(self, key: int) -> int: ...
    def subscribe(
        self,
        key: int,
        filters: Sequence[tuple[str, int]],
        no_local: bool,
        retain_as_published: bool,
        retain_handling: int,
        identifier: int | None,
        user: _User | None,
    ) -> int: ...
    def unsubscribe(self, filters: Sequence[str], user: _User | None) -> int: ...
    def disconnect(self, reason: int, properties: dict[str, Any] | None) -> None: ...
    def authenticate(self, reason: int, data: bytes | None) -> None: ...
    def set_authentication_data(self, data: bytes | None) -> None: ...
    def set_clean_start(self, clean_start: bool) -> None: ...
    def set_offline(self, offline: bool) -> None: ...
    def close_store(self) -> None: ...
    def stats(self) -> dict[str, int]: ...

@final
class Cursor:
    def __new__(cls, session: Session, key: int) -> Self: ...
    def pop(self) -> Message | None: ...
    def take(self, most: int) -> list[Message]: ...
    def finish(self) -> None: ...

@final
class RunningBroker:
    def __new__(cls, options: dict[str, Any], hooks: dict[str, Any]) -> Self: ...
    @property
    def urls(self) -> list[str]: ...
    def publish(
        self,
        topic: str,
        payload: str | _Buffer,
        qos: int,
        retain: bool,
        expiry: int | None,
        content_type: str | None,
        response_topic: str | None,
        correlation_data: bytes | None,
        user: _User | None,
        payload_format: int | None,
    ) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def stats(self) -> dict[str, int]: ...
    def clients(self) -> list[dict[str, Any]]: ...
    def restart(self, keep_sessions: bool) -> None: ...
    def stop(self) -> None: ...
    def inject(
        self,
        client_id: str | None,
        way: str | None,
        packets: Sequence[int],
        after: int,
        times: int | None,
        harm: tuple[str, float, int],
    ) -> int: ...
    def lift(self, fault: int | None) -> None: ...
    def hits(self, fault: int) -> int | None: ...
    def wait_for_hits(self, fault: int, hits: int, timeout: float | None) -> bool: ...
    def subscribe(
        self, filter: str, messages: int, keep_newest: bool, retained: bool
    ) -> Tap: ...
    def retained(self, filter: str) -> list[Message]: ...
    def kick(self, client_id: str, reason: int) -> bool: ...
    def set_acl(self, acl: Sequence[Any]) -> None: ...
    def strike(self, client_id: str | None, vanish: bool) -> int: ...

@final
class Tap:
    def take(self, most: int, timeout: float | None) -> list[Message] | None: ...
    @property
    def dropped(self) -> int: ...
    def close(self) -> None: ...

@final
class BlockingClient:
    @staticmethod
    def open(
        reach: Any,
        options: dict[str, Any],
        backoff: tuple[float, float, float, bool] | None,
        connect_timeout: float | None,
        auth: bool,
    ) -> tuple[BlockingClient, BlockingNews]: ...
    def wait_opened(self) -> None: ...
    def retry(self, data: bytes | None) -> None: ...
    def authenticate(self, reason: int, data: bytes | None) -> None: ...
    @property
    def client_id(self) -> str: ...
    def stats(self) -> dict[str, int]: ...
    @property
    def connected(self) -> bool: ...
    @property
    def session_present(self) -> bool: ...
    def wait_until(self, connected: bool, timeout: float | None) -> bool: ...
    def closed(self, timeout: float | None) -> BaseException | Literal[False] | None: ...
    def publish(
        self,
        topic: str,
        payload: str | _Buffer,
        qos: int,
        retain: bool,
        expiry: int | None,
        content_type: str | None,
        response_topic: str | None,
        correlation_data: bytes | None,
        user: _User | None,
        payload_format: int | None,
        timeout: float | None,
    ) -> tuple[int, dict[str, Any] | None] | None: ...
    def publish_nowait(
        self,
        topic: str,
        payload: str | _Buffer,
        qos: int,
        retain: bool,
        expiry: int | None,
        content_type: str | None,
        response_topic: str | None,
        correlation_data: bytes | None,
        user: _User | None,
        payload_format: int | None,
    ) -> BlockingToken: ...
    def subscribe(
        self,
        filter: str,
        qos: int,
        no_local: bool,
        retain_as_published: bool,
        retain_handling: int,
        queue: int,
        manual: bool,
        timeout: float | None,
    ) -> BlockingSubscription | None: ...
    def disconnect(self, reason: int, properties: dict[str, Any] | None) -> None: ...

@final
class BlockingNews:
    def next(self) -> tuple[Any, ...] | None: ...
    def end(self) -> None: ...

@final
class BlockingToken:
    def wait(self, timeout: float | None) -> tuple[int, dict[str, Any] | None] | None: ...

@final
class BlockingSubscription:
    @property
    def granted(self) -> int: ...
    def take(self, most: int, timeout: float | None) -> list[Message] | None: ...
    def check(self) -> None: ...
    def close(self, finished: bool, wait_for: bool, timeout: float | None) -> bool: ...

@final
class Tunnel:
    def __new__(cls, proxy: str, host: str, port: int) -> Self: ...
    @property
    def address(self) -> tuple[str, int]: ...
    def take(self) -> bytes: ...
    def feed(self, bytes: bytes) -> bool: ...

@final
class Relay:
    def __new__(cls) -> Self: ...
    def bell(self) -> int | None: ...
    def take(self) -> int | None: ...

def parse_url(url: str) -> tuple[str, str, int, str, str | None, bytes | None]: ...
def forked() -> None: ...
def run_command(arguments: Sequence[str]) -> int: ...
def reason_code_name(code: int) -> str | None: ...
def topic_matches(filter: str, topic: str) -> bool: ...
def make_certificate(hosts: Sequence[str]) -> tuple[str, str, str]: ...
