"""One connection of an asyncio client: the session's bytes go through an asyncio transport."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from ._events import Events
from ._reach import Reach
from ._ternmq import QuicConnection, Session
from .errors import ConnectionLostError

# The last bytes of a connection may take this long, in seconds.
_FLUSH_TIMEOUT = 5.0


class Link(asyncio.BufferedProtocol):
    """The protocol of one transport. It is used once."""

    def __init__(
        self,
        session: Session,
        reach: Reach,
        on_events: Callable[[Events], None],
        on_closed: Callable[[Events, Exception | None], None],
    ) -> None:
        self._session = session
        self._reach = reach
        self._quic: QuicConnection | None = None
        self._buffer = session.buffer
        self._feed = session.feed
        self._on_events = on_events
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.writable = True
        self._reading = True
        self._ending = False
        self._timer: asyncio.TimerHandle | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        self._drains: deque[asyncio.Future[None]] = deque()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, but do what they do.
        self._transport = cast(asyncio.Transport, transport)
        self._quic = self._reach.quic if self._reach.scheme == "quic" else None
        self._session.opened(self._reach.opening())

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        events = self._feed(nbytes)
        if events is not None:
            self._on_events(events)
            self._arm()  # CONNACK brings the deadline forward, from the timeout to Keep Alive
        if self._session.wants_close:
            self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(exc)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.flush()
        if self.writable:
            self._wake_drains()

    def flush(self) -> bool:
        """Hands to the transport what the session has to send, unless the transport is full. True
        when that was something."""
        if self._transport is None or not self.writable:
            return False
        data = self._session.take()
        if data is not None:
            self._transport.write(data)
        if self._session.wants_close:
            self.close()
        self._arm()
        return data is not None

    def drain(self, *, everything: bool = False) -> Coroutine[Any, Any, None]:
        """To be awaited until the transport takes more, or until it has sent `everything`. It counts
        as `draining` from now on."""
        self.flush()
        drained: asyncio.Future[None] | None = None
        transport = self._transport
        if everything and transport is not None:
            # TLS takes an empty buffer for a full one when the limit is 0, and would not tell when it
            # is empty: nothing would change then.
            tls = transport.get_extra_info("sslcontext") is not None
            transport.set_write_buffer_limits(high=int(tls), low=0)
            if transport.get_write_buffer_size() > 0:
                self.writable = False
        if transport is not None and not self.writable:
            drained = self._loop.create_future()
            self._drains.append(drained)
        return self._drained(drained, everything)

    async def _drained(self, drained: "asyncio.Future[None] | None", everything: bool) -> None:
        if drained is not None:
            try:
                await drained
            finally:
                if drained in self._drains:
                    self._drains.remove(drained)
        if everything and not self._drains and self._transport is not None:
            self._transport.set_write_buffer_limits()

    @property
    def draining(self) -> bool:
        """Whether somebody waits for the server to read."""
        return bool(self._drains)

    def read(self, reading: bool) -> None:
        """Reads from the socket, or leaves what comes in there."""
        if self._transport is None or reading == self._reading:
            return
        self._reading = reading
        self._session.set_reading(reading)
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self) -> None:
        """Sends what there is, then closes the transport; within a limited time.

        A WebSocket is over when both have sent their Close frame: then nobody has anything to say any
        more, and the transport goes at once. With TLS it would wait for an answer to its own farewell,
        which a server that has gone doesn't give, and not every proxy tells that it has gone.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._giving_up is None:
            self._giving_up = self._loop.call_later(_FLUSH_TIMEOUT, self._give_up)
        if not self.writable:
            return  # DISCONNECT is still to be sent: `resume_writing` comes here again
        farewell = self._session.farewell
        if self._quic is not None:
            # Its end comes when the server has the last byte, which the system does not see to.
            if not self._ending:
                self._ending = True
                transport.write_eof()
            self.read(True)
        elif farewell is None:
            transport.close()
        elif farewell:
            self.abort()
        else:
            self.read(True)

    def _give_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def abort(self, error: Exception | None = None) -> None:
        """Closes the transport at once."""
        if self._transport is not None:
            self._transport.abort()
            self._finish(error)

    def _arm(self) -> None:
        """Sees to it that the session gets its `tick` in time. A timer that fires early does no
        harm, so it is only moved when it would be late: traffic moves the deadline on and on."""
        timeout = self._session.timeout()
        if timeout is None:
            return
        when = self._loop.time() + timeout
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer.when() <= when + 0.05:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._transport is None:
            return
        events = self._session.tick()
        if events is not None:
            self._on_events(events)
        self.flush()

    def _finish(self, error: Exception | None) -> None:
        """The connection is over: said once, also when the transport says so later."""
        if self._transport is None:
            return
        self._transport = None
        for timer in (self._timer, self._giving_up):
            if timer is not None:
                timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)
        self._wake_drains()
        why = self._session.failure or (self._quic and self._quic.error)
        if error is None and why is not None:
            error = ConnectionLostError(why)
        # With the last one of a process its thread ends.
        self._quic = self._reach.quic = None
        self._on_closed(self._session.closed() or [], error)

    def _wake_drains(self) -> None:
        while self._drains:
            drained = self._drains.popleft()
            if not drained.done():
                drained.set_result(None)
