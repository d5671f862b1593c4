"""A broker inside this process: for tests, tools and small systems."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from ._broker_hooks import Authenticate, Authorise, hooks, rules
from ._broker_local import LocalSubscription, Record
from ._broker_options import (
    Certificate, TlsFiles, check, check_listeners, client_context, listeners_of,
)
from ._broker_values import (
    Acting,
    Action,
    ClientInfo,
    Connected,
    Connecting,
    Disconnected,
    Rule,
    SessionEnded,
    StoreEvent,
    Subscribed,
    Unsubscribed,
)
from ._checks import at_least, error_code, items, number, seconds
from ._faults import Fault, Faults
from ._listener import Listener, path_of
from ._ternmq import Authority, Message, RunningBroker, Tap
from .errors import ForkError
from .reasons import ReasonCode

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = [
    "Acting",
    "Action",
    "Broker",
    "ClientInfo",
    "Connected",
    "Connecting",
    "Disconnected",
    "Fault",
    "Listener",
    "LocalSubscription",
    "Rule",
    "SessionEnded",
    "StoreEvent",
    "Subscribed",
    "Unsubscribed",
]

Buffer = bytes | bytearray | memoryview
User = Mapping[str, str] | list[tuple[str, str]]


class Broker(Faults):
    """An MQTT broker on threads of its own.

        with ternmq.Broker() as broker:
            print(broker.url)

    `async with` does the same without blocking the event loop. It listens when the block is
    entered, and is gone, with its connections, when the block is left.

    `port` 0 takes a free one, as do the others that are not given; None listens on no TCP port without TLS; `host` is an IP address of this
    machine. `tls` listens for TLS as well, on `tls_port`: True makes a throw-away certificate, which
    `client_context()` trusts; or the names of two PEM files, certificate and key, and of a third one if
    clients have to show a certificate that is signed by what is in it. `client_certificates`: "required",
    or "optional": who has none is let in as without TLS. With a throw-away certificate those of clients
    come from `client_context("name")` or `client_certificate("name")`. `certificate_users`: the common
    name of a client's certificate is the user that it is, without a password. `ws` listens for WebSockets on
    `ws_port`, and with `tls` on `wss_port`, path `/mqtt`. `unix`: the file of a Unix socket. `listeners`: more of
    them, of which each may have options of its own: see `Listener`. All that need a certificate have the one
    of `tls`, which listens on `tls_port` besides.

    `users`: names and passwords. Who names a user has to be it; with users nobody else is let in,
    unless `anonymous` is true. Without users `anonymous` is true by itself for 127.0.0.0/8 and ::1.

    `folder`: where sessions and retained messages are kept over a stop. `shards`: threads, 0 for one
    per core. `limits`: `connections`, `sessions`, `connect_timeout` (seconds), `keep_alive` (seconds,
    at most), `packet_size`, `receive_maximum`, `inflight`, `topic_aliases`, `session_expiry` (seconds, at most),
    `subscriptions` (of each session), `queue_messages` and `queue_bytes` (of each session),
    `retained_messages` and `retained_bytes`, `log_bytes` (of messages in `folder` that sessions wait for; beyond
    it the oldest go). `faults`: whether things may be made to go wrong, which
    costs a look at the length of each packet. `record`: how many messages `messages` and `wait_for` keep.

    `acl`: the first `Rule` that applies decides what a client may publish and subscribe to, and what no
    rule allows is denied. `authenticate(Connecting)` is asked first who may come in: True, a user name
    (it is that one), False or a reason code, or None for what `users` and `anonymous` say.
    `authorise(Acting, Action)` is asked where no rule applies: True, False or None. `hook_threads`: how
    many threads may be in each of these two at a time. More than one is of use where they wait, for a
    database perhaps; while they compute, Python lets one go on at a time. Then they have to be
    thread-safe.

    `on_connect(Connected)`, `on_disconnect(Disconnected)`, `on_subscribe(Subscribed)`,
    `on_unsubscribe(Unsubscribed)` and `on_session_end(SessionEnded)` are told what clients do, and `on_publish(Message)` what
    is published and by whom (`client_id`), in the order in which it happens and after the fact. Each is called by a thread of the broker;
    what it raises is logged (`ternmq.broker`), and denies what was asked. All may use the broker.

    `on_store(StoreEvent)` is told what becomes of `folder`: what was there again, what is damaged, that the disk
    is full and that it works again. `ternmq.broker` logs that too, with or without it: errors as ERROR,
    what was left out as WARNING, the rest as INFO, with `event`, `file` and `numbers` as `extra` fields. 1,024
    of these may wait; what finds no room is lost.

    `ternmq.broker` logs what clients do too: refused connections, broken rules of the protocol and dropped messages
    as WARNING, connections and their ends as INFO, subscriptions as DEBUG. `event` and `client_id` are among the
    `extra` fields of each line. Of refused connections 20 in a second have a line of their own.
    Without any logging set up, errors alone reach standard error.

    A forked process can't use it, and leaves its `with` block without a word: the broker goes on in the process
    that made it.
    """

    def __init__(
        self,
        port: int | None = 0,
        host: str = "127.0.0.1",
        *,
        tls: bool | TlsFiles | None = None,
        tls_port: int | None = None,
        client_certificates: Literal["required", "optional"] | None = None,
        certificate_users: bool = False,
        ws: bool = False,
        ws_port: int | None = None,
        wss_port: int | None = None,
        unix: str | PathLike[str] | None = None,
        listeners: Sequence[Listener] = (),
        users: Mapping[str, str] | None = None,
        anonymous: bool | None = None,
        shards: int = 1,
        folder: str | PathLike[str] | None = None,
        limits: Mapping[str, int] | None = None,
        faults: bool = True,
        record: int = 1000,
        acl: Sequence[Rule] | None = None,
        authenticate: Authenticate | None = None,
        authorise: Authorise | None = None,
        hook_threads: int = 1,
        on_connect: Callable[[Connected], object] | None = None,
        on_disconnect: Callable[[Disconnected], object] | None = None,
        on_subscribe: Callable[[Subscribed], object] | None = None,
        on_unsubscribe: Callable[[Unsubscribed], object] | None = None,
        on_session_end: Callable[[SessionEnded], object] | None = None,
        on_publish: Callable[[Message], object] | None = None,
        on_store: Callable[[StoreEvent], object] | None = None,
    ) -> None:
        asked = check(
            tls, client_certificates, certificate_users, port=port, host=host, tls_port=tls_port,
            ws=ws, ws_port=ws_port, wss_port=wss_port, unix=unix, listeners=listeners, users=users, anonymous=anonymous,
            shards=shards, folder=folder, limits=limits, faults=faults, record=record,
            hook_threads=hook_threads,
        )
        all = [*listeners_of(
            host, port, (tls_port or 0) if tls else None, (ws_port or 0) if ws else None,
            (wss_port or 0) if ws and tls else None, unix,
        ), *listeners]
        check_listeners(all, tls, asked)
        self._names = [listener.name for listener in all]
        self._tls = tls or None
        self._hosts = [host, *(listener.host for listener in all if listener.host is not None)]
        self._certificate: Certificate | None = None
        self._options: dict[str, Any] = {
            "listeners": [
                listener.resolved(
                    host=host, anonymous=anonymous, users=bool(users), client_certificates=asked,
                    certificate_users=certificate_users,
                )
                for listener in all
            ],
            "shards": shards,
            "users": items(users=users),
            "folder": path_of(folder=folder),
            "limits": items(limits=limits),
            "faults": faults,
            "hook_threads": hook_threads,
        }
        told = {
            "connect": on_connect, "disconnect": on_disconnect, "subscribe": on_subscribe,
            "unsubscribe": on_unsubscribe, "session_end": on_session_end,
        }
        self._hooks = hooks(authenticate, authorise, acl, on_publish, on_store, told)
        self._record = Record(record)
        self._running: RunningBroker | None = None

    def start(self) -> None:
        """Starts it, which takes about a millisecond. Entering `with` does this by itself.

        Raises OSError when the address can't be listened on.
        """
        if self._running is not None:
            raise RuntimeError("the broker is running")
        if self._tls and self._certificate is None:
            self._certificate = (
                Certificate.throw_away(self._hosts)
                if self._tls is True
                else Certificate.of_files(self._tls)
            )
        certificate = None if self._certificate is None else self._certificate.for_server()
        self._running = RunningBroker({**self._options, "certificate": certificate}, self._hooks)
        self._begin_record()

    def stop(self) -> None:
        """Stops it: clients are told, and get up to two seconds to read what is being sent to them.
        Leaving `with` does this by itself. Nothing when it is not running."""
        running, self._running = self._running, None
        if running is not None:
            try:
                running.stop()
            finally:
                self._record.end()

    def restart(self, keep_sessions: bool = True) -> None:
        """Stops it and starts it again on the same addresses: with all sessions, their queues and the
        retained messages, as of a broker that was stopped in order, or without, as of one that had
        kept nothing. Faults are over, and its clock shows real time again: what is left of a
        session's expiry stays."""
        running = self._started()
        try:
            running.restart(keep_sessions)
        finally:
            self._record.end()
        self._begin_record()

    @property
    def time(self) -> "Time":
        """Its clock, which a test may move ahead."""
        return Time(self)

    @property
    def urls(self) -> dict[str, str]:
        """Where clients on this machine connect, by the names of the listeners; those that `listeners`
        does not list have the names mqtt, mqtts, ws, wss, unix."""
        return dict(zip(self._names, self._started().urls, strict=True))

    @property
    def url(self) -> str:
        """The first of them: mqtt://127.0.0.1:PORT, unless `port` is None."""
        return self._started().urls[0]

    @property
    def port(self) -> int:
        """The TCP port of `url`; of QUIC the UDP port."""
        return int(self.url.partition("://")[2].partition("/")[0].rpartition(":")[2])

    @property
    def ca(self) -> str:
        """Who has signed its throw-away certificate, as PEM: for clients that take a file of it."""
        return self._authority().pem

    def client_context(self, name: str | None = None) -> "SSLContext":
        """A context for TLS clients that trusts its throw-away certificate, and nothing else. `name`: the
        common name of a certificate that it has for the client."""
        return client_context(self._authority(), name)

    def client_certificate(self, name: str) -> tuple[str, str]:
        """A throw-away certificate for a client, with this common name, and its key: both as PEM, for
        clients that take files of them."""
        return self._authority().client(name)

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
    ) -> None:
        """Publishes without a client. Does not wait for anyone.

        Raises QueueFullError when the broker is too busy to take it.
        """
        self._started().publish(
            topic, payload, qos, retain, expiry, content_type, response_topic,
            correlation_data, user, payload_format,
        )

    def subscribe(
        self, filter: str, *, queue: int = 10_000, retained: bool = True
    ) -> LocalSubscription:
        """Gets messages in this process, without a client: retained ones first, then whatever comes in."""
        at_least(1, queue=queue)
        native = self._started().subscribe(filter, queue, False, retained, False)
        return LocalSubscription(native, filter)

    @property
    def messages(self) -> list[Message]:
        """The last messages that were published, the oldest first: by clients, by `publish`, and wills;
        retained ones once. As many as `record` says; topics that begin with $ are left out. They are
        still there when it has stopped. `client_id` of each tells who has published it. Recording counts
        as no subscriber: who publishes is told when there is none."""
        return self._record.messages()

    @property
    def message_count(self) -> int:
        """How many there were, those that the record has no room for included."""
        return self._record.count()

    def clear_messages(self) -> None:
        """Forgets them."""
        self._record.clear()

    def wait_for(self, filter: str, timeout: float | None = 5.0) -> Message:
        """The next message that matches a topic filter, of those that `messages` has and that no `wait_for`
        has returned before, or else of those to come.

        Raises MqttTimeoutError when there is none in time. In a coroutine use `wait_for_async`.
        """
        self._started()
        return self._record.wait_for(filter, seconds(timeout))

    async def wait_for_async(self, filter: str, timeout: float | None = 5.0) -> Message:
        """The same without blocking the event loop."""
        self._started()
        return await self._record.wait_for_async(filter, seconds(timeout))

    def retained(self, filter: str = "#") -> dict[str, Message]:
        """The retained messages that match, by topic."""
        return {message.topic: message for message in self._started().retained(filter)}

    def kick(self, client: str, reason: int = ReasonCode.ADMINISTRATIVE_ACTION) -> bool:
        """Ends the connection of a client with DISCONNECT and this reason code. Its session stays, and its
        will is published. False when it is not connected."""
        error_code(reason=reason)
        return self._started().kick(client, reason)

    def set_acl(self, acl: Sequence[Rule]) -> None:
        """Replaces the rules. Subscriptions that there are stay: they were decided when they were made."""
        self._started().set_acl(rules(acl))

    def clients(self) -> dict[str, ClientInfo]:
        """Its sessions by client identifier, of clients that are connected and of those that are away."""
        all = [ClientInfo(**client) for client in self._started().clients()]
        return {client.client_id: client for client in all}

    def stats(self) -> dict[str, int]:
        """Counters since it started, and how many there are now of `connections`, `connected`,
        `sessions`, `subscriptions` and `queued`. `events_lost`: what `on_connect` and its kin were not
        told; `local_dropped`: messages that local subscriptions, `messages` among them, had no room for;
        `hooks_full`: questions to `authenticate` and `authorise` that were denied because too many
        waited."""
        return self._started().stats()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except ForkError:
            pass  # in a forked process: it goes on in the one that has forked

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

        try:
            await to_thread(self.stop)
        except ForkError:
            pass

    def __repr__(self) -> str:
        return f"<Broker {self.url if self._running is not None else 'not running'}>"

    def _begin_record(self) -> None:
        if self._record.most > 0:
            self._record.begin(*self._tap(self._record.most))

    def _tap(self, most: int) -> tuple[Tap, Callable[[], None]]:
        """The newest messages from now on, and what waits until those are there that were published."""
        running = self._started()
        return running.subscribe("#", most, True, False, True), partial(running.advance, 0)

    def _authority(self) -> Authority:
        if self._tls is not True:
            raise RuntimeError("the broker has no throw-away certificate: tls=True makes one")
        self._started()
        assert self._certificate is not None and self._certificate.authority is not None
        return self._certificate.authority

    def _started(self) -> RunningBroker:
        if self._running is None:
            raise RuntimeError("the broker is not running")
        return self._running


class Time:
    """The clock of a broker, which a test may move ahead."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def advance(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Moves the clock ahead, as if so much time had passed in which no client said anything: keep
        alives, sessions, delayed wills and messages, and what expires take their turn in the order of
        their deadlines; at the end goes what a folder keeps beyond its limits. That is done when this
        returns; what clients are told of it is on its way. Real time goes on as well. Raises ValueError
        for less than nothing."""
        number(seconds=seconds, minutes=minutes, hours=hours, days=days)
        try:
            by = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        except (OverflowError, ValueError) as error:
            raise ValueError(f"so far the clock does not go: {error}") from None
        self._broker._started().advance(by.total_seconds())
