"""The socket of a client: opening it in all the ways there are, reading, writing, closing."""

import importlib
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from types import ModuleType
from typing import Any

from .. import _events as ev
from ._callbacks import _RETURN_CODES, Callbacks, _reason
from ._settings import SocketLike, made_up_client_id, valid_proxy
from ._websocket import _WebsocketWrapper
from .enums import LogLevel, MQTTErrorCode, MQTTProtocolVersion, PahoClientMode, _ConnectionState
from .packettypes import PacketTypes
from .properties import of_native, to_native

_Rc = MQTTErrorCode
_Cs = _ConnectionState

# Bytes that one read takes at most.
_READ = 64 << 10
# Publishes that go straight to the socket before an outer loop gets a turn.
_MOST_EAGER = 16
_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def socks() -> ModuleType | None:
    """PySocks, if it is installed."""
    try:
        return importlib.import_module("socks")
    except ImportError:
        return None


class Connection(Callbacks):
    """One connection after the other."""

    def reconnect(self) -> MQTTErrorCode:
        """Connects, again or for the first time, with what `connect_async` was given.

        Raises OSError when the connection can't be opened.
        """
        if not self._host:
            raise ValueError("host must not be empty")
        if self._port <= 0:
            raise ValueError("port must be greater than 0")
        self._shut()
        self._state = _Cs.MQTT_CS_CONNECTING
        self._aliases = {}
        self._leftover = None
        self._tell("on_pre_connect")
        self._configure()
        try:
            sock = self._create_socket()
        except BaseException:
            self._state = _Cs.MQTT_CS_CONNECTION_LOST
            raise
        sock.setblocking(False)
        self._sock = sock
        self._registered_write = False
        self._session.opened()
        if self._session.wants_close:
            raise ValueError("a client identifier is needed for a session that is to go on")
        self._first_bytes()
        self._easy_log(LogLevel.MQTT_LOG_DEBUG, "Sending CONNECT (k%d) client_id=%r", self._keepalive, self._client_id)
        self._call_socket_open(sock)
        return self._output()

    def _configure(self) -> None:
        will = None
        if self._will:
            properties = to_native(self._will_properties)
            will = (
                self._will_topic.decode("utf-8"), self._will_payload, self._will_qos, self._will_retain, properties,
            )
        v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        self._session.configure(
            int(self._protocol),
            self._client_id.decode("utf-8") if isinstance(self._client_id, bytes) else str(self._client_id),
            self._check_clean_session(),
            self._keepalive,
            None if self._username is None else self._username.decode("utf-8"),
            None if self._username is None else self._password,
            will,
            to_native(self._connect_properties) if v5 else None,
            self._max_inflight_messages or 65535,
        )

    def _first_bytes(self) -> None:
        """The CONNECT of a bridge says so in a bit that only some servers know."""
        if self._client_mode == PahoClientMode.MQTT_BRIDGE:
            connect = bytearray(self._session.take() or b"")
            level = connect.index(b"MQ") + (4 if self._protocol != MQTTProtocolVersion.MQTTv31 else 6)
            connect[level] |= 0x80
            self._unsent = bytes(connect)

    # Opening.

    def _create_socket(self) -> SocketLike:
        if self._transport == "unix":
            return self._create_unix_socket_connection()
        tcp: Any = self._create_socket_connection()
        try:
            # Small packets wait for nobody's acknowledgement of others, which takes 40 ms.
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl:
                tcp = self._ssl_wrap_socket(tcp)
            if self._transport == "websockets":
                tcp.settimeout(self._keepalive or self._connect_timeout)
                return _WebsocketWrapper(
                    socket=tcp,
                    host=self._host,
                    port=self._port,
                    is_ssl=self._ssl,
                    path=self._websocket_path,
                    extra_headers=self._websocket_extra_headers,
                )
        except BaseException:
            tcp.close()
            raise
        opened: SocketLike = tcp
        return opened

    def _create_unix_socket_connection(self) -> socket.socket:
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            unix.settimeout(self._connect_timeout)
            unix.connect(self._host)
        except BaseException:
            unix.close()
            raise
        return unix

    def _create_socket_connection(self) -> socket.socket:
        proxy = self._get_proxy()
        address, source = (self._host, self._port), (self._bind_address, self._bind_port)
        if proxy:
            module: Any = socks()
            opened: socket.socket = module.create_connection(
                address, timeout=self._connect_timeout, source_address=source, **proxy
            )
            return opened
        return socket.create_connection(address, timeout=self._connect_timeout, source_address=source)

    def _get_proxy(self) -> dict[str, Any] | None:
        """The proxy that was set, else that of the environment, else that of PySocks."""
        module: Any = socks()
        if module is None:
            return None
        if valid_proxy(self._proxy):
            return self._proxy
        if not urllib.request.proxy_bypass(self._host):
            named = urllib.parse.urlparse(urllib.request.getproxies().get("mqtt", ""))
            kinds = {"http": module.HTTP, "socks": module.SOCKS5, "socks5": module.SOCKS5, "socks4": module.SOCKS4}
            if named.scheme in kinds and named.hostname:
                return {"proxy_type": kinds[named.scheme], "proxy_addr": named.hostname, "proxy_port": named.port}
        default = module.get_default_proxy()
        if default is not None:
            names = ("proxy_type", "proxy_addr", "proxy_port", "proxy_rdns", "proxy_username", "proxy_password")
            found: dict[str, Any] = dict(zip(names, default, strict=False))
            if valid_proxy(found):
                return found
        return None

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        if self._ssl_context is None:
            raise ValueError("there is no SSL context: call tls_set() or tls_set_context()")
        # A name in the handshake is of use to servers also where the certificate's is not compared.
        wrapped = self._ssl_context.wrap_socket(
            tcp_sock, server_hostname=self._host, do_handshake_on_connect=False
        )
        try:
            wrapped.settimeout(self._keepalive or self._connect_timeout)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    # Closing.

    def _sock_close(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            self._call_socket_unregister_write(sock)
            self._call_socket_close(sock)
        finally:
            self._sock = None
            self._registered_write = False
            self._unsent = None
            sock.close()

    def _shut(self) -> list[Any]:
        """Closes what there is; returns what comes of it."""
        if self._sock is None:
            return []
        self._sock_close()
        announce = self.on_publish is not None
        return self._session.closed(time.monotonic(), self._manual_ack, announce) or []

    def _lose(self, rc: MQTTErrorCode) -> MQTTErrorCode:
        """The connection is over: says so to the program."""
        if self._sock is None:
            return _Rc.MQTT_ERR_NO_CONN
        self._tell_sent()
        happened = self._shut()
        lost: tuple[Any, ...] = (ev.DISCONNECTED, "lost", 0x80, None, "")
        ending = happened[-1] if happened else lost
        self._deliver([event for event in happened[:-1] if isinstance(event, tuple)])
        if ending[0] == ev.REFUSED:
            return self._refused(ending[1], ending[2])
        _, who, reason, found, text = ending
        from_server = who == "server"
        code = properties = None
        if who == "local":
            rc = _Rc.MQTT_ERR_SUCCESS
        elif who == "timeout":
            rc = _Rc.MQTT_ERR_KEEPALIVE
        elif who == "error":
            rc = _Rc.MQTT_ERR_PROTOCOL
            self._easy_log(LogLevel.MQTT_LOG_ERR, "the server broke the protocol: %s", text)
        elif from_server:
            code = _reason(PacketTypes.DISCONNECT, reason)
            properties = of_native(PacketTypes.DISCONNECT, found) if found else None
        return self._ended(rc, from_server, code, properties)

    def _ended(self, rc: MQTTErrorCode, from_server: bool = False, code: Any = None, properties: Any = None) -> MQTTErrorCode:
        if self._state in (_Cs.MQTT_CS_DISCONNECTING, _Cs.MQTT_CS_DISCONNECTED):
            self._state = _Cs.MQTT_CS_DISCONNECTED
            rc = _Rc.MQTT_ERR_SUCCESS
        else:
            self._state = _Cs.MQTT_CS_CONNECTION_LOST
        self._easy_log(LogLevel.MQTT_LOG_DEBUG, "the connection has ended: %s", rc)
        self._do_on_disconnect(from_server, rc, code, properties)
        return rc

    def _refused(self, reason: int, found: dict[str, Any] | None) -> MQTTErrorCode:
        """CONNACK has said no. MQTT 3 tries what may help."""
        if self._protocol == MQTTProtocolVersion.MQTTv311 and self._reconnect_on_failure:
            if _RETURN_CODES.get(reason) == 1:
                self._easy_log(LogLevel.MQTT_LOG_DEBUG, "the server does not know MQTT 3.1.1: trying 3.1")
                self._protocol = MQTTProtocolVersion.MQTTv31
                self._client_id = self._client_id or made_up_client_id().encode("ascii")
                return self.reconnect()
            if _RETURN_CODES.get(reason) == 2 and not self._client_id:
                self._easy_log(LogLevel.MQTT_LOG_DEBUG, "the server assigns no client identifier: making one up")
                self._client_id = made_up_client_id().encode("ascii")
                return self.reconnect()
        self._tell_connack(False, reason, found)
        if self._sock is not None:
            return _Rc.MQTT_ERR_SUCCESS  # a callback has connected anew
        v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        return self._ended(_Rc.MQTT_ERR_PROTOCOL if v5 else _Rc.MQTT_ERR_CONN_REFUSED)

    # Reading and writing.

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Reads from the socket what is there, and runs the callbacks for it.

        One call reads up to 64 KiB, however many packets that are; `max_packets` is of no use.
        """
        sock = self._sock
        if self._leftover is not None:
            items, place = self._leftover
            self._leftover = None
            self._deliver(items, place)
            return self._after_input()
        if sock is None:
            return _Rc.MQTT_ERR_NO_CONN
        self._eager = 0
        self._tell_sent()
        try:
            data = sock.recv(_READ)
        except _AGAIN:
            return _Rc.MQTT_ERR_SUCCESS
        except (OSError, ValueError) as error:
            self._easy_log(LogLevel.MQTT_LOG_ERR, "failed to receive on socket: %s", error)
            return self._lose(_Rc.MQTT_ERR_CONN_LOST)
        if not data:
            return self._lose(_Rc.MQTT_ERR_CONN_LOST)
        announce = self.on_publish is not None or self._do_on_publish_changed()
        items = self._session.feed(data, time.monotonic(), self._manual_ack, announce) or []
        if items:
            self._deliver(items)
        return self._after_input()

    def _do_on_publish_changed(self) -> bool:
        """Whether a program has put something of its own in the place of `_do_on_publish`."""
        return "_do_on_publish" in self.__dict__

    def _after_input(self) -> MQTTErrorCode:
        session = self._session
        if session.wants_close:
            return self._close_when_sent()
        if session.has_output or self._unsent is not None:
            return self._output(reading=True)
        return _Rc.MQTT_ERR_SUCCESS

    def _close_when_sent(self) -> MQTTErrorCode:
        rc = self._flush()
        if rc == _Rc.MQTT_ERR_AGAIN:
            self._call_socket_register_write()
            return _Rc.MQTT_ERR_SUCCESS
        return self._lose(_Rc.MQTT_ERR_CONN_LOST)

    def loop_write(self) -> MQTTErrorCode:
        """Sends what waits to be sent, as far as the socket takes it."""
        if self._sock is None:
            return _Rc.MQTT_ERR_NO_CONN
        self._eager = 0
        rc = self._flush()
        while self._sent and rc != _Rc.MQTT_ERR_CONN_LOST:
            self._tell_sent()
            rc = self._flush()
        if rc == _Rc.MQTT_ERR_CONN_LOST:
            return self._lose(rc)
        if rc == _Rc.MQTT_ERR_AGAIN:
            self._call_socket_register_write()
            return _Rc.MQTT_ERR_SUCCESS
        if self._session.wants_close:
            return self._lose(_Rc.MQTT_ERR_CONN_LOST)
        if not self.want_write():
            self._call_socket_unregister_write()
        return rc

    def want_write(self) -> bool:
        """Whether something waits to be sent."""
        return self._unsent is not None or self._session.has_output or bool(self._sent)

    def loop_misc(self) -> MQTTErrorCode:
        """Does what is due by time: Keep Alive. To be called about once a second."""
        if self._sock is None:
            return _Rc.MQTT_ERR_NO_CONN
        self._eager = 0
        session = self._session
        session.tick()
        if session.wants_close and not self.want_write():
            lost = self._lose(_Rc.MQTT_ERR_CONN_LOST)
            return _Rc.MQTT_ERR_CONN_LOST if lost == _Rc.MQTT_ERR_KEEPALIVE else lost
        if session.has_output:
            return self._output(reading=True)
        return _Rc.MQTT_ERR_SUCCESS

    def _breathe(self) -> None:
        self._session.breathe()
        self._flush()

    def _output(self, reading: bool = False) -> MQTTErrorCode:
        """There is something to send: sends it, or has it sent."""
        if self._session.in_callback:
            return _Rc.MQTT_ERR_SUCCESS  # whoever runs the callbacks sends behind them
        owner = self._loop_owner
        if owner is not None and owner != threading.get_ident():
            self._wake()
            return _Rc.MQTT_ERR_SUCCESS
        if owner is None and self._thread is None and self.on_socket_register_write is None:
            return self.loop_write()
        if owner is not None:
            return _Rc.MQTT_ERR_SUCCESS if not reading else self.loop_write()
        return self._output_for_outer_loop()

    def _output_for_outer_loop(self) -> MQTTErrorCode:
        """A loop of the program's own watches the socket. What the socket takes at once does not need
        it; callbacks are left to it, and every now and then it gets its turn."""
        plain = type(self._sock) is socket.socket
        if plain and self._unsent is None and self._eager < _MOST_EAGER and not self._session.wants_close:
            self._eager += 1
            self._flush()
            for info in self._sent:
                info._set_as_published()
        if self.want_write() or self._session.wants_close:
            self._call_socket_register_write()
        return _Rc.MQTT_ERR_SUCCESS

    def _wake(self) -> None:
        """Has the thread of the loop look again."""
        if not self._woken and self._sockpairW is not None:
            self._woken = True
            try:
                self._sockpairW.send(b"0")
            except OSError:
                pass  # it is full, so the loop will look; or the loop has ended

    def _flush(self) -> MQTTErrorCode:
        """Sends what the socket takes: AGAIN if it does not take all. One thread at a time does so;
        others leave theirs to it."""
        session = self._session
        while True:
            if not self._write_mutex.acquire(blocking=False):
                return _Rc.MQTT_ERR_SUCCESS
            try:
                rc = self._send_all()
            finally:
                self._write_mutex.release()
            # What came up while others found the mutex taken.
            if rc != _Rc.MQTT_ERR_SUCCESS or not session.has_output:
                return rc

    def _send_all(self) -> MQTTErrorCode:
        session, sock = self._session, self._sock
        if sock is None:
            return _Rc.MQTT_ERR_NO_CONN
        announce = self.on_publish is not None or self._do_on_publish_changed()
        while True:
            data = self._unsent
            if data is None:
                data = session.take()
                if data is None:
                    return _Rc.MQTT_ERR_SUCCESS
            try:
                count = sock.send(data)
            except _AGAIN:
                count = 0
            except (OSError, ValueError) as error:
                self._easy_log(LogLevel.MQTT_LOG_ERR, "failed to send on socket: %s", error)
                return _Rc.MQTT_ERR_CONN_LOST
            self._unsent = None if count == len(data) else data[count:]
            if count:
                sent = session.wrote(count, announce)
                if sent is not None:
                    self._sent.extend(sent)
            if self._unsent is not None:
                return _Rc.MQTT_ERR_AGAIN
