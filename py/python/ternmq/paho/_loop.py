"""The loops: one turn, for ever, in a thread."""

import select
import socket
import threading
import time

from ._connection import Connection
from .enums import LogLevel, MQTTErrorCode, _ConnectionState

_Rc = MQTTErrorCode
_Cs = _ConnectionState

# Seconds between two looks at whether waiting to connect again is still wanted.
_LOOK = 0.1


class Loop(Connection):
    """Who calls `loop_read` and its kin when the program does not."""

    def loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        """Waits at most so many seconds for the socket, then reads, writes and does what is due."""
        if timeout < 0.0:
            raise ValueError("timeout must not be negative")
        if self._sockpairR is None:
            self._open_pair()
        return self._loop(timeout)

    def _loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        sock = self._sock
        if sock is None:
            return _Rc.MQTT_ERR_NO_CONN
        before, self._loop_owner = self._loop_owner, threading.get_ident()
        try:
            return self._turn(timeout)
        finally:
            self._loop_owner = before

    def _turn(self, timeout: float) -> MQTTErrorCode:
        sock = self._sock
        if sock is None:
            return _Rc.MQTT_ERR_NO_CONN
        if self._leftover is None and self.want_write() and self._unsent is None:
            rc = self.loop_write()
            if rc != _Rc.MQTT_ERR_SUCCESS or self._sock is None:
                return rc if self._sock is None else _Rc.MQTT_ERR_SUCCESS
        # What TLS or a WebSocket has read already, poll does not see.
        pending = getattr(sock, "pending", None)
        at_once = self._leftover is not None or (pending is not None and pending() > 0)
        due = self._session.timeout()
        if due is not None:
            timeout = min(timeout, max(due, 0.0))
        try:
            readable, writable = self._wait(0.0 if at_once else timeout)
        except (OSError, ValueError):
            # The socket was closed under us.
            return self._lose(_Rc.MQTT_ERR_CONN_LOST)
        if readable or at_once:
            rc = self.loop_read()
            if rc != _Rc.MQTT_ERR_SUCCESS or self._sock is None:
                return rc
        if writable or self.want_write():
            rc = self.loop_write()
            if rc != _Rc.MQTT_ERR_SUCCESS or self._sock is None:
                return rc
        return self.loop_misc()

    def _wait(self, timeout: float) -> tuple[bool, bool]:
        """Whether the socket can be read from, and written to. Ends early when there is something to
        send."""
        sock, pair = self._sock, self._sockpairR
        if sock is None:
            return False, False
        poll = select.poll()
        number = sock.fileno()
        if number < 0:
            raise ValueError("the socket is closed")
        writing = select.POLLOUT if self._unsent is not None else 0
        poll.register(number, select.POLLIN | writing)
        if pair is not None:
            poll.register(pair.fileno(), select.POLLIN)
        readable = writable = False
        for found, what in poll.poll(timeout * 1000):
            if found == number:
                readable = bool(what & ~select.POLLOUT)
                writable = bool(what & select.POLLOUT)
            elif pair is not None:
                self._hear(pair)
        return readable, writable

    def _hear(self, pair: socket.socket) -> None:
        """Takes the wake-up. In this order: who finds the flag set has put his output where the look
        that follows finds it."""
        try:
            pair.recv(10_000)
        except BlockingIOError:
            pass
        self._woken = False

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Runs the loop, and connects again after losses, until `disconnect` or `loop_stop`.

        OSError when the first connection can't be opened, unless `retry_first_connection` is set.
        """
        before, self._loop_owner = self._loop_owner, threading.get_ident()
        if self._sockpairR is None:
            self._open_pair()
        self._thread_terminate = False
        try:
            if self._state == _Cs.MQTT_CS_CONNECT_ASYNC:
                self._connect_first(retry_first_connection)
            return self._loop_on(timeout)
        finally:
            self._loop_owner = before

    def _connect_first(self, retry: bool) -> None:
        while not self._thread_terminate:
            try:
                self.reconnect()
                return
            except OSError:
                self._handle_on_connect_fail()
                if not retry:
                    raise
                self._easy_log(LogLevel.MQTT_LOG_DEBUG, "could not connect, trying again")
                self._state = _Cs.MQTT_CS_CONNECT_ASYNC
            self._reconnect_wait()

    def _loop_on(self, timeout: float) -> MQTTErrorCode:
        while True:
            rc = _Rc.MQTT_ERR_SUCCESS
            while rc == _Rc.MQTT_ERR_SUCCESS:
                rc = self._loop(timeout)
                if self._thread_terminate and self._session.idle and not self.want_write():
                    return _Rc.MQTT_ERR_NOMEM
            if self._is_over() or not self._reconnect_on_failure:
                return rc
            self._reconnect_wait()
            if self._is_over():
                return rc
            try:
                self.reconnect()
            except OSError:
                self._handle_on_connect_fail()
                self._easy_log(LogLevel.MQTT_LOG_DEBUG, "could not connect again")

    def _is_over(self) -> bool:
        return self._thread_terminate or self._state in (_Cs.MQTT_CS_DISCONNECTING, _Cs.MQTT_CS_DISCONNECTED)

    def _reconnect_wait(self) -> None:
        with self._reconnect_delay_mutex:
            delay = self._reconnect_delay
            delay = self._reconnect_min_delay if delay is None else min(delay * 2, self._reconnect_max_delay)
            self._reconnect_delay = delay
        until = time.monotonic() + delay
        while not self._is_over() and (left := until - time.monotonic()) > 0:
            if self._sockpairR is None:
                time.sleep(min(left, _LOOK))
                continue
            # disconnect() and loop_stop() wake us.
            found, _, _ = select.select([self._sockpairR], [], [], left)
            if found:
                self._hear(self._sockpairR)

    def loop_start(self) -> MQTTErrorCode:
        """Runs `loop_forever` in a thread."""
        if self._thread is not None:
            return _Rc.MQTT_ERR_INVAL
        self._open_pair()
        self._thread_terminate = False
        name = self._client_id.decode("utf-8", "replace") if isinstance(self._client_id, bytes) else ""
        self._thread = threading.Thread(
            target=self._thread_main, name=f"paho-mqtt-client-{name}", daemon=True
        )
        self._thread.start()
        return _Rc.MQTT_ERR_SUCCESS

    def loop_stop(self) -> MQTTErrorCode:
        """Ends the thread of `loop_start`, once everything is sent and acknowledged or the connection
        is lost. It does not disconnect."""
        thread = self._thread
        if thread is None:
            return _Rc.MQTT_ERR_INVAL
        self._thread_terminate = True
        self._woken = False
        self._wake()
        if threading.current_thread() is not thread:
            thread.join()
        return _Rc.MQTT_ERR_SUCCESS

    def _thread_main(self) -> None:
        try:
            self.loop_forever(retry_first_connection=True)
        finally:
            if self._thread is threading.current_thread():
                self._thread = None

    def _open_pair(self) -> None:
        """A fresh pair of sockets by which other threads wake the loop."""
        self._reset_sockets(sockpair_only=True)
        self._sockpairR, self._sockpairW = _socketpair_compat()
        self._woken = False

    def _reset_sockets(self, sockpair_only: bool = False) -> None:
        if not sockpair_only:
            self._sock_close()
        for one in (self._sockpairR, self._sockpairW):
            if one is not None:
                one.close()
        self._sockpairR = self._sockpairW = None


def _socketpair_compat() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that don't block."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    return reader, writer
