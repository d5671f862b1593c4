"""The asyncio client behind its face: connecting, and what comes back from the server."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from logging import DEBUG, ERROR
from typing import Any, TypeVar

from . import _events as ev
from ._answers import Answers
from ._link import Link
from ._log import logger
from ._reach import Reach
from ._subscription import FAILED, FINISHED, KEEP, KEEP_ALL, TURN, Subscription
from ._ternmq import Session, forked
from .errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ForkError,
    MqttError,
    MqttTimeoutError,
    ProtocolError,
    PublishError,
    SubscribeError,
)
from .reasons import ReasonCode
from .values import Auth, Backoff, PublishResult, State

T = TypeVar("T")

log = logger("client")

# Reason codes of AUTH.
_CONTINUE, _RE_AUTHENTICATE = 0x18, 0x19

# None without one, where `get_running_loop` raises.
_running_loop = asyncio._get_running_loop

# For a `timeout`: the client's own.
OWN: Any = object()
SENT = PublishResult()

# Trying again would bring the same answer, or take the session from whoever has it now.
_HOPELESS = frozenset({
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    ReasonCode.NOT_AUTHORIZED,
    ReasonCode.BANNED,
    ReasonCode.BAD_AUTHENTICATION_METHOD,
    ReasonCode.SESSION_TAKEN_OVER,
})


class Core:
    """One client: its session, its connections one after the other, its subscriptions."""

    def __init__(
        self,
        options: dict[str, Any],
        reach: Reach,
        auth: Auth | None,
        *,
        backoff: Backoff | None,
        timeout: float | None,
        connect_timeout: float | None,
    ) -> None:
        self.session: Session = Session(options, self._on_output)
        self.answers: Answers = Answers(timeout)
        self.timeout = timeout
        self.paused: bool = False
        self.listeners: list[Callable[[State], object]] = []
        self.durable: bool = options["store"] is not None
        self.session_present: bool = False
        self.background: set[asyncio.Task[None]] = set()
        self._reach = reach
        self._auth = auth
        self._authenticated: asyncio.Future[None] | None = None
        self._backoff = backoff
        self._connect_timeout = connect_timeout
        self._goes_on: bool = options["version"] >= 5 and options["session_expiry"] > 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process: int = os.getpid()
        self._link: Link | None = None
        self._connack: asyncio.Future[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        # Set once nothing more will be tried; `_error` says why, unless the application wanted it.
        self._accepted = False
        self._ended = False
        self._closed = False
        self._error: MqttError | None = None
        # Whoever waits for the first connection is told, and the log has no need to.
        self._raises = False
        self._subscriptions: dict[int, Subscription] = {}

    @property
    def address(self) -> str:
        """Of the server."""
        return str(self._reach)

    def here(self) -> None:
        """Raises RuntimeError for a call that does not come from the client's event loop: nothing in
        here takes a lock, and futures of another loop would never be done."""
        if self._loop is not None and _running_loop() is not self._loop:
            if os.getpid() != self._process:
                raise ForkError("the client was made in the process that forked")
            raise RuntimeError(
                "the client belongs to the event loop that it was connected in, and this is another loop "
                "or thread: use asyncio.run_coroutine_threadsafe, or ternmq.blocking"
            )

    def open(self) -> None:
        """Begins to connect."""
        if self._loop is not None:
            raise RuntimeError("a client connects once: make a new one")
        self._loop = asyncio.get_running_loop()
        self.answers.start(self._loop)
        self.session.set_offline(True)
        log.debug("%s: connecting", self.address)
        self._connecting = self._loop.create_task(self._connect_first())

    async def opened(self) -> None:
        """Waits for the first connection, or raises why there will be none."""
        self._raises = True
        try:
            while not self._accepted:
                if self._ended:
                    raise _while_connecting(self.why())
                await self.answers.change()
        except BaseException:
            await self.stop(0, None)
            raise

    async def stop(self, reason_code: int, properties: dict[str, Any] | None) -> None:
        """Ends the connection for good, also when whoever asks for it is cancelled meanwhile."""
        self.here()
        try:
            await self._end_background()
            await self._give_up_connecting()
            link = self._link
            if link is not None:
                self._say_farewell(link, reason_code, properties)
                try:
                    await asyncio.shield(link.closed)
                finally:
                    link.abort()
        except asyncio.CancelledError:
            if self._connecting is not None:
                self._connecting.cancel()
            if self._link is not None and self.session.connected:
                self._say_farewell(self._link, reason_code, properties)
                self._link.abort()
            self._end(None)
            raise
        self._end(None)

    def _say_farewell(
        self, link: Link, reason_code: int, properties: dict[str, Any] | None
    ) -> None:
        self.session.disconnect(reason_code, properties)
        self._ended = True
        link.flush()
        link.close()

    async def subscribe(self, subscription: Subscription) -> None:
        """Opens its inbox and has the server fill it."""
        self.here()
        key, identifier = subscription.key, subscription.options[3]
        self.session.open_inbox(
            key, list(subscription.filters), identifier, subscription.queue, subscription.manual
        )
        self._subscriptions[key] = subscription
        try:
            codes = await self.in_time(self._subscribe(subscription), subscription.timeout)
            subscription.codes = tuple(ReasonCode(code) for code in codes)
            if all(code.is_error for code in subscription.codes):
                error = SubscribeError("the server refuses the subscription", codes[0])
                error.codes = subscription.codes
                raise error
        except BaseException as error:
            # Perhaps the server has it by now, or gets it yet.
            unwanted = self._close(subscription, FAILED)
            if not isinstance(error, SubscribeError):
                self._send_unsubscribe(unwanted)
            raise

    async def unsubscribe(self, subscription: Subscription, how: int) -> Sequence[ReasonCode]:
        """Closes its inbox; `how` is that of `close_inbox`."""
        self.here()
        filters = self._close(subscription, how)
        if self.paused:
            self.adjust_reading()
        token = 0 if how in (KEEP, KEEP_ALL) else self._send_unsubscribe(filters)
        if token == 0:
            return ()
        answer = self.answers.expect(token, False)
        if how == FAILED:
            # An exception is on its way, it is not to be held up.
            answer.add_done_callback(_look_at)
            return ()
        try:
            codes: list[int] = await self.in_time(answer, subscription.timeout)
        except ConnectionLostError:
            # The subscription has ended with the connection, and is not renewed with the next.
            return ()
        return tuple(ReasonCode(code) for code in codes)

    async def unsubscribe_from(
        self, filters: Sequence[str], timeout: float | None
    ) -> Sequence[ReasonCode]:
        """Has the server end the subscriptions to these filters, whoever made them."""
        self.here()
        for subscription in list(self._subscriptions.values()):
            # What is left is subscribed for again after a loss.
            left = [request for request in subscription.requests if request[0] not in filters]
            subscription.requests = left
            if not left:
                self._close(subscription, FINISHED)
        if self.paused:
            self.adjust_reading()
        codes = await self.in_time(self._unsubscribe_from(filters), timeout)
        return tuple(ReasonCode(code) for code in codes)

    def adjust_reading(self) -> None:
        """A full inbox pauses reading. But an answer that is awaited, and a server that reads
        nothing before it could write, are reasons to go on until it is full to the brim."""
        link = self._link
        if link is None:
            self.paused = False
            return
        crowding = self.session.crowding
        urgent = bool(self.answers.waiting) or link.draining
        self.paused = crowding == 2 or (crowding == 1 and not urgent)
        link.read(not self.paused)

    async def in_time(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        """Awaits it, but not for ever."""
        limit = self.timeout if timeout is OWN else timeout
        try:
            async with asyncio.timeout(limit):
                return await awaitable
        except MqttError:
            raise
        except TimeoutError:
            raise MqttTimeoutError(f"no answer within {limit} s") from None

    async def wait_until(self, connected: bool) -> bool:
        """Waits until there is a connection, or none; False when that will never be."""
        self._begun()
        while self.session.connected != connected:
            if self._closed:
                return not connected
            await self.answers.change()
        return True

    async def closed(self) -> MqttError | None:
        """Waits for the end, and returns what has brought it about."""
        self._begun()
        while not self._closed:
            await self.answers.change()
        return None if self._error is None else self._error.copy()

    async def room(self) -> None:
        """Waits until one more publish may be taken."""
        link = self._link
        if link is None or not link.flush():
            if link is not None and not link.writable:
                await self._drain(link)
            else:
                await self.answers.change()

    async def turn(self) -> None:
        """Sends what there is, and lets others go on; waits when the server doesn't keep up."""
        link = self._link
        if link is not None:
            link.flush()
            if not link.writable:
                await self._drain(link)
                return
        await TURN

    async def drained(self) -> None:
        """Waits until every publish so far has its answer and is sent."""
        self.here()
        left = dict(self.answers.waiting)
        while not self._ended:
            left = {t: f for t, f in left.items() if self.answers.waiting.get(t) is f}
            # What an earlier process has left in the outbox has nobody who waits for it.
            stored = self.durable and self.session.inflight
            if not left and not self.session.queued and not stored:
                break
            await self.answers.change()
        if self._link is not None:
            await self._drain(self._link, everything=True)

    def sent(self) -> asyncio.Future[PublishResult]:
        """What `publish_nowait` returns for QoS 0."""
        assert self._loop is not None
        done: asyncio.Future[PublishResult] = self._loop.create_future()
        done.set_result(SENT)
        return done

    def why(self) -> MqttError:
        """Why there is no connection."""
        if self._error is not None:
            return self._error.copy()
        return ConnectionLostError("the client is closed" if self._ended else "not connected")

    def _on_output(self) -> None:
        """All that comes up in this turn of the loop goes out in one write at its end."""
        self.here()
        if self._loop is not None and self._link is not None:
            self._loop.call_soon(self._link.flush)

    async def _drain(self, link: Link, *, everything: bool = False) -> None:
        drained = link.drain(everything=everything)
        if self.paused:
            self.adjust_reading()
        await drained

    async def _connect(self) -> None:
        assert self._loop is not None
        connack = self._connack = self._loop.create_future()
        link = Link(self.session, self._reach, self._handle, self._on_closed)
        try:
            async with asyncio.timeout(self._connect_timeout):
                if self._auth is not None:
                    self.session.set_authentication_data(await self._exchange(self._auth, None))
                self._link = link
                await self._reach.connect(link)
                await connack
        except BaseException as error:
            late = isinstance(error, (asyncio.CancelledError, TimeoutError))
            if late and self.session.connected:
                return  # CONNACK came in the same moment: who has given up ends it with DISCONNECT
            connack.cancel()
            link.abort()
            self._link = self._connack = None
            if isinstance(error, MqttError):
                raise _while_connecting(error) from error.__cause__
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError(f"{self.address}: no answer in time") from None
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise

    async def _connect_first(self) -> None:
        backoff = self._backoff
        try:
            await self._connect()
        except MqttError as error:
            if backoff is None or not backoff.first_connect or error.reason_code in _HOPELESS:
                self._end(error)
                return
            await self._connect_again(backoff)
        except Exception as error:  # such as a host name that is none
            self._end(self._failed(error))
        else:
            self.session.set_offline(backoff is not None or self.durable)

    async def _connect_again(self, backoff: Backoff) -> None:
        """Until there is a connection, or there is no hope."""
        attempt = 0
        while True:
            await asyncio.sleep(backoff.delay(attempt))
            attempt += 1
            try:
                await self._connect()
            except MqttError as error:
                if error.reason_code in _HOPELESS:
                    self._end(error)
                    return
                log.warning("%s: attempt %d: %s", self.address, attempt, self._said(error))
            except Exception as error:  # of Auth.exchange, or of a TLS context
                self._end(_while_connecting(self._failed(error)))
                return
            else:
                return

    def _failed(self, error: Exception) -> ConnectError:
        # Some have no text, such as a ConnectionResetError of asyncio.
        failed = ConnectError(f"{self.address}: {str(error) or type(error).__name__}")
        failed.__cause__ = error
        return failed

    def _said(self, error: MqttError) -> str:
        """Its text without the address, which stands before it in the log."""
        return str(error).removeprefix(f"{self.address}: ")

    async def _end_background(self) -> None:
        """Ends the tasks that serve handlers; called by one of them, all others."""
        tasks = self.background - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _give_up_connecting(self) -> None:
        while (connecting := self._connecting) is not None and not connecting.done():
            # Once the server has accepted, it ends by itself; cancelled, it would cut the connection
            # off, and the server would publish the will.
            if not self.session.connected:
                connecting.cancel()
            await asyncio.wait([connecting])

    def _handle(self, events: ev.Events) -> None:
        answers = self.answers
        for event in events:
            kind = event[0]
            if kind == ev.READY:
                subscription = self._subscriptions.get(event[1])
                if subscription is not None:
                    subscription.wake()
            elif kind == ev.PUBLISHED:
                self._on_published(event)
            elif kind == ev.CROWDED:
                self.adjust_reading()
            elif kind == ev.SUBSCRIBED or kind == ev.UNSUBSCRIBED:
                answers.resolve(event[1], event[2])
            elif kind == ev.DROPPED:
                _, token, connection_lost, text = event
                answers.reject(token, ConnectionLostError(text) if connection_lost else PublishError(text))
            elif kind == ev.CONNECTED:
                self._on_connected(event)
            elif kind == ev.REFUSED:
                self._error = ConnectError("the server refuses the connection", event[1], event[2])
            elif kind == ev.DISCONNECTED:
                self._error = _error_of(event)
            elif kind == ev.AUTHENTICATE:
                self._on_authenticate(event[1], event[2] or {})
        answers.changed()

    def _on_published(self, event: tuple[Any, ...]) -> None:
        _, token, reason, properties = event
        if reason == 0 and properties is None:
            self.answers.resolve(token, SENT)
        elif reason < 0x80:
            self.answers.resolve(token, PublishResult(reason, properties))
        else:
            error = PublishError("the server refuses the message", reason, properties)
            if token not in self.answers.waiting:
                log.error("%s: a message of the outbox: %s", self.address, error)
            self.answers.reject(token, error)

    def _on_connected(self, event: tuple[Any, ...]) -> None:
        _, session_present, _, _, properties = event
        self._error = None
        self.session_present = session_present
        if not session_present:
            for subscription in self._subscriptions.values():
                if subscription.codes:
                    self._subscribe_again(subscription)
        self._accepted = True
        connack, self._connack = self._connack, None
        if connack is not None and not connack.done():
            connack.set_result(None)
        if self._auth is not None and properties and "authentication_data" in properties:
            # The server's last word, by which it may have to prove itself.
            self._answer_in_background(properties["authentication_data"], False)
        log.info("%s: connected, session present: %s", self.address, session_present)
        self._tell(State("connected", session_present, None, properties))

    def _on_closed(self, events: ev.Events, error: Exception | None) -> None:
        """A connection has ended, or came to nothing."""
        self._link = None
        self.paused = False
        self._error = None
        self._handle(events)
        if isinstance(error, MqttError):
            self._error = error
        else:
            if self._error is None:
                self._error = ConnectionLostError("the connection was lost")
            self._error.__cause__ = error
        if self._authenticated is not None and not self._authenticated.done():
            self._authenticated.set_exception(self._error.copy())
        if self._connack is not None:
            if not self._connack.done():
                self._connack.set_exception(_while_connecting(self._error))
        elif self._ended:
            pass
        elif self._backoff is None or self._error.reason_code in _HOPELESS:
            self._end(self._error)
        else:
            assert self._loop is not None
            log.warning("%s: %s; connecting again", self.address, self._error)
            self._tell(State("lost", False, self._error))
            if self._goes_on:
                # Clean Start was for the application's beginning; what began then is to go on.
                self.session.set_clean_start(False)
            self._connecting = self._loop.create_task(self._connect_again(self._backoff))

    def _end(self, error: MqttError | None) -> None:
        """Nothing more will come or go."""
        self._ended = True
        if self._closed:
            return
        self._closed = True
        self._error = error
        if error is None:
            log.info("%s: closed", self.address)
        else:
            level = DEBUG if self._raises and not self._accepted else ERROR
            log.log(level, "%s: %s", self.address, self._said(error))
        self.session.set_offline(False)
        self.session.close_store()
        self.answers.reject_all(self.why)
        subscriptions, self._subscriptions = self._subscriptions, {}
        for subscription in subscriptions.values():
            subscription.end(error)
        self.answers.changed()
        self._tell(State("closed", False, error))
        self.listeners.clear()

    def _tell(self, state: State) -> None:
        for listener in list(self.listeners):
            try:
                listener(state)
            except (SystemExit, KeyboardInterrupt) as error:
                # Out of the loop, as from any callback of asyncio; but not through its transports.
                assert self._loop is not None
                self._loop.call_soon(_raise, error)
            except BaseException:
                log.exception("%s: on_state of %r", self.address, state)

    async def authenticate_again(self, timeout: float | None) -> None:
        """Runs the exchange on the connection that there is."""
        self.here()
        if self._auth is None:
            raise ValueError("auth: the client has none")
        if self._authenticated is not None:
            raise RuntimeError("an authentication goes on already")
        assert self._loop is not None
        self._authenticated = self._loop.create_future()
        try:
            async with asyncio.timeout(self.timeout if timeout is OWN else timeout):
                self.session.authenticate(
                    _RE_AUTHENTICATE, await self._exchange(self._auth, None)
                )
                await self._authenticated
        except TimeoutError as error:
            raise error if isinstance(error, MqttError) else MqttTimeoutError("no answer") from None
        finally:
            self._authenticated = None

    async def _exchange(self, auth: Auth, data: bytes | None) -> bytes | None:
        answer = auth.exchange(data)
        return answer if answer is None or isinstance(answer, bytes) else await answer

    def _on_authenticate(self, reason: int, properties: dict[str, Any]) -> None:
        self._answer_in_background(properties.get("authentication_data"), reason == _CONTINUE)

    def _answer_in_background(self, data: bytes | None, wanted: bool) -> None:
        async def answer() -> None:
            assert self._auth is not None
            try:
                said = await self._exchange(self._auth, data) if wanted or data else None
                if wanted:
                    self.session.authenticate(_CONTINUE, said)
                elif self._authenticated is not None and not self._authenticated.done():
                    self._authenticated.set_result(None)
            except Exception as error:
                log.exception("%s: authentication", self.address)
                if link is not None and link is self._link:
                    failed = ConnectError(f"{self.address}: authentication failed: {error}")
                    failed.__cause__ = error
                    link.abort(failed)

        link = self._link
        self.in_background(answer())

    def in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs it until it is done or the client ends."""
        assert self._loop is not None
        task = self._loop.create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return task

    def _begun(self) -> None:
        if self._loop is None:
            raise ConnectionLostError("not connected")
        self.here()

    async def _until_connected(self) -> None:
        while not self.session.connected:
            if self._ended or self._loop is None:
                raise self.why()
            await self.answers.change()

    async def _subscribe(self, subscription: Subscription) -> list[int]:
        while True:
            await self._until_connected()
            try:
                codes: list[int] = await self._send_subscribe(subscription)
                return codes
            except ConnectionLostError:
                if self._ended or self._backoff is None:
                    raise

    async def _unsubscribe_from(self, filters: Sequence[str]) -> list[int]:
        while True:
            await self._until_connected()
            try:
                token = self.session.unsubscribe(filters, None)
                codes: list[int] = await self.answers.expect(token, False)
                return codes
            except ConnectionLostError:
                if self._ended or self._backoff is None:
                    raise

    def _subscribe_again(self, subscription: Subscription) -> None:
        def judge(answer: asyncio.Future[Any]) -> None:
            if answer.cancelled() or answer.exception() is not None:
                return  # the connection was lost again, and the next one tries again
            subscription.codes = tuple(ReasonCode(code) for code in answer.result())
            if all(code.is_error for code in subscription.codes):
                error = SubscribeError("the server refuses the subscription", subscription.codes[0])
                error.codes = subscription.codes
                subscription.end(error)

        try:
            self._send_subscribe(subscription).add_done_callback(judge)
        except MqttError as error:
            subscription.end(error)

    def _send_subscribe(self, subscription: Subscription) -> asyncio.Future[Any]:
        token = self.session.subscribe(
            subscription.key, subscription.requests, *subscription.options
        )
        answer = self.answers.expect(token, False)
        if self.paused:
            self.adjust_reading()
        return answer

    def _send_unsubscribe(self, filters: list[str]) -> int:
        if not filters or not self.session.connected:
            return 0
        return self.session.unsubscribe(filters, None)

    def _close(self, subscription: Subscription, how: int) -> list[str]:
        self._subscriptions.pop(subscription.key, None)
        subscription.end(None)
        return self.session.close_inbox(subscription.key, how)


def _error_of(event: tuple[Any, ...]) -> MqttError | None:
    _, cause, reason, properties, text = event
    if cause == "local":
        return None
    if cause == "server":
        return ConnectionLostError(text, reason, properties)
    if cause == "error":
        return ProtocolError(text)
    return ConnectionLostError(text)


def _while_connecting(error: MqttError) -> MqttError:
    if isinstance(error, ConnectError):
        return error
    text = f"no connection: {error}"
    failed = ConnectError(text)
    failed.reason_code, failed.__cause__ = error.reason_code, error
    return failed


def _raise(error: BaseException) -> None:
    raise error


def _look_at(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for this answer; a failure is none to report."""
    if not answer.cancelled():
        answer.exception()
