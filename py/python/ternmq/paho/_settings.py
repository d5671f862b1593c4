"""What a client is told before it connects, under the names that programs reach for."""

import logging
import socket
import ssl
import string
import threading
import uuid
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from .._ternmq import MQTTMessageInfo, PahoSession
from ..values import Tls
from .enums import (
    CallbackAPIVersion,
    LogLevel,
    MQTTErrorCode,
    MQTTProtocolVersion,
    PahoClientMode,
    _ConnectionState,
)
from .matcher import MQTTMatcher
from .packettypes import PacketTypes
from .properties import Properties

if TYPE_CHECKING:
    from .client import Client

PayloadType = str | bytes | bytearray | int | float | None
CleanStartOption = bool | Literal[3]
WebSocketHeaders = dict[str, str] | Callable[[dict[str, str]], dict[str, str]]
MQTT_CLEAN_START_FIRST_ONLY: CleanStartOption = 3

LOGGING_LEVEL = {
    LogLevel.MQTT_LOG_DEBUG: logging.DEBUG,
    LogLevel.MQTT_LOG_INFO: logging.INFO,
    LogLevel.MQTT_LOG_NOTICE: logging.INFO,
    LogLevel.MQTT_LOG_WARNING: logging.WARNING,
    LogLevel.MQTT_LOG_ERR: logging.ERROR,
}

_Cs = _ConnectionState
# Nothing is being connected or tried again: what a connection is made of may change.
_IDLE = (_Cs.MQTT_CS_NEW, _Cs.MQTT_CS_CONNECT_ASYNC, _Cs.MQTT_CS_DISCONNECTING, _Cs.MQTT_CS_DISCONNECTED)


class SocketLike(Protocol):
    """What a client reads from and writes to."""

    def recv(self, buffer_size: int, /) -> bytes: ...
    def send(self, buffer: bytes, /) -> int: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...


class Settings:
    """The options of a client, and the rest of its state."""

    def __init__(
        self,
        callback_api_version: CallbackAPIVersion,
        client_id: str | None,
        clean_session: bool | None,
        userdata: Any,
        protocol: MQTTProtocolVersion,
        transport: Literal["tcp", "websockets", "unix"],
        reconnect_on_failure: bool,
        manual_ack: bool,
    ) -> None:
        # First of all what closing needs, so that a client that was refused can be thrown away.
        self._sock: SocketLike | None = None
        self._sockpairR: socket.socket | None = None
        self._sockpairW: socket.socket | None = None
        self._registered_write = False
        self._session = PahoSession()
        self._connection_state()
        self._manual_ack = manual_ack
        self._transport = transport.lower()
        self._protocol = MQTTProtocolVersion(protocol)
        self._userdata = userdata
        self._keepalive = 60
        self._connect_timeout = 5.0
        self._client_mode = PahoClientMode.MQTT_CLIENT
        self._callback_api_version = callback_api_version
        self._clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY
        self._reconnect_on_failure = reconnect_on_failure
        self._name(client_id, clean_session)
        self._username: bytes | None = None
        self._password: bytes | None = None
        self._reconnect_min_delay: float = 1
        self._reconnect_max_delay: float = 120
        self._max_inflight_messages = 20
        self._max_queued_messages = 0
        self._will = False
        self._will_topic = b""
        self._will_payload: bytes | bytearray = b""
        self._will_qos = 0
        self._will_retain = False
        self._will_properties: Properties | None = None
        self._connect_properties: Properties | None = None
        self._on_message_filtered = MQTTMatcher()
        self._has_filters = False
        self._matching: dict[str, list[Any]] = {}
        self._host = ""
        self._port = 1883
        self._bind_address = ""
        self._bind_port = 0
        self._proxy: dict[str, Any] = {}
        self._ssl = False
        self._ssl_context: ssl.SSLContext | None = None
        self._tls_insecure = False
        self._logger: logging.Logger | None = None
        self._websocket_path = "/mqtt"
        self._websocket_extra_headers: WebSocketHeaders | None = None
        self.suppress_exceptions = False

    def _connection_state(self) -> None:
        self._state = _Cs.MQTT_CS_NEW
        self._mqttv5_first_connect = True
        self._reconnect_delay: float | None = None
        self._thread: threading.Thread | None = None
        self._thread_terminate = False
        # The thread that is in a loop, None for none.
        self._loop_owner: int | None = None
        # Taken from the session, and not sent yet.
        self._unsent: bytes | None = None
        # Sent with QoS 0, but `on_publish` has not been called.
        self._sent: deque[MQTTMessageInfo] = deque()
        # What came in and waits, because a callback before it has raised: a batch and a place in it.
        self._leftover: tuple[list[Any], int] | None = None
        self._woken = False
        self._eager = 0
        # Topics by alias, of this connection.
        self._aliases: dict[int, str] = {}
        self._write_mutex = threading.Lock()
        # No lock is held while callbacks run. These are here for programs that assign or take them.
        self._in_callback_mutex = threading.Lock()
        self._callback_mutex = threading.RLock()
        self._msgtime_mutex = threading.Lock()
        self._out_message_mutex = threading.RLock()
        self._in_message_mutex = threading.Lock()
        self._reconnect_delay_mutex = threading.Lock()
        self._mid_generate_mutex = threading.Lock()

    def _name(self, client_id: str | None, clean_session: bool | None) -> None:
        if self._transport not in ("websockets", "tcp", "unix"):
            raise ValueError(f'transport is "websockets", "tcp" or "unix", not {self._transport!r}')
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            if clean_session is not None:
                raise ValueError("clean_session is of MQTT 3; MQTT 5 has clean_start in connect()")
            clean_session = False
        elif clean_session is None:
            clean_session = True
        if not clean_session and not client_id and self._protocol != MQTTProtocolVersion.MQTTv5:
            raise ValueError("a session that is to go on needs a client_id")
        self._clean_session = clean_session
        if not client_id and self._protocol == MQTTProtocolVersion.MQTTv31:
            client_id = made_up_client_id()
        # paho-mqtt takes bytes as well, though its types don't say so.
        self._client_id = client_id.encode("utf-8") if isinstance(client_id, str) else client_id or b""

    # Properties that may change while there is no connection.

    def _check_idle(self, name: str) -> None:
        if self._state not in _IDLE:
            raise RuntimeError(f"{name} cannot change while there is a connection, or one is tried")

    @property
    def host(self) -> str:
        """The server's name or address, or the path of a Unix socket."""
        return self._host

    @host.setter
    def host(self, value: str) -> None:
        self._check_idle("host")
        if not value:
            raise ValueError("host must not be empty")
        self._host = value

    @property
    def port(self) -> int:
        """The server's port."""
        return self._port

    @port.setter
    def port(self, value: int) -> None:
        self._check_idle("port")
        if value <= 0:
            raise ValueError("port must be greater than 0")
        self._port = value

    @property
    def keepalive(self) -> int:
        """Keep Alive in seconds, 0 for none."""
        return self._keepalive

    @keepalive.setter
    def keepalive(self, value: int) -> None:
        self._check_idle("keepalive")
        if value < 0:
            raise ValueError("keepalive must not be negative")
        self._keepalive = value

    @property
    def transport(self) -> str:
        """`tcp`, `websockets` or `unix`."""
        return self._transport

    @transport.setter
    def transport(self, value: Literal["tcp", "websockets", "unix"]) -> None:
        self._check_idle("transport")
        self._transport = value

    @property
    def protocol(self) -> MQTTProtocolVersion:
        """The version of MQTT."""
        return self._protocol

    @property
    def connect_timeout(self) -> float:
        """Seconds that opening the connection may take."""
        return self._connect_timeout

    @connect_timeout.setter
    def connect_timeout(self, value: float) -> None:
        self._check_idle("connect_timeout")
        if value <= 0.0:
            raise ValueError("timeout must be a positive number")
        self._connect_timeout = value

    @property
    def username(self) -> str | None:
        """The user name."""
        return None if self._username is None else self._username.decode("utf-8")

    @username.setter
    def username(self, value: str | None) -> None:
        self._check_idle("username")
        self._username = None if value is None else value.encode("utf-8")

    @property
    def password(self) -> str | None:
        """The password."""
        return None if self._password is None else self._password.decode("utf-8")

    @password.setter
    def password(self, value: str | None) -> None:
        self._check_idle("password")
        self._password = None if value is None else value.encode("utf-8")

    @property
    def max_inflight_messages(self) -> int:
        """Messages with QoS above 0 that may wait for their acknowledgement at a time, 0 for any."""
        return self._max_inflight_messages

    @max_inflight_messages.setter
    def max_inflight_messages(self, value: int) -> None:
        self.max_inflight_messages_set(value)

    @property
    def max_queued_messages(self) -> int:
        """Messages with QoS above 0 that may be incomplete, 0 for any number."""
        return self._max_queued_messages

    @max_queued_messages.setter
    def max_queued_messages(self, value: int) -> None:
        self.max_queued_messages_set(value)

    @property
    def will_topic(self) -> str | None:
        """The topic of the will, None without one."""
        return self._will_topic.decode("utf-8") if self._will else None

    @property
    def will_payload(self) -> bytes | bytearray | None:
        """The payload of the will, None without one."""
        return self._will_payload if self._will else None

    @property
    def logger(self) -> logging.Logger | None:
        """Where the client logs to."""
        return self._logger

    @logger.setter
    def logger(self, value: logging.Logger | None) -> None:
        self._logger = value

    @property
    def callback_api_version(self) -> CallbackAPIVersion:
        """Which arguments callbacks get."""
        return self._callback_api_version

    # Setters.

    def max_inflight_messages_set(self, inflight: int) -> None:
        """Sets `max_inflight_messages`."""
        self._check_idle("max_inflight_messages")
        if inflight < 0:
            raise ValueError("inflight must not be negative")
        self._max_inflight_messages = inflight

    def max_queued_messages_set(self, queue_size: int) -> "Client":
        """Sets `max_queued_messages`; returns the client."""
        self._check_idle("max_queued_messages")
        if not isinstance(queue_size, int):
            raise TypeError("a queue size is an int")
        if queue_size < 0:
            raise ValueError("queue_size must not be negative")
        self._max_queued_messages = queue_size
        self._session.limit(queue_size)
        return cast("Client", self)

    def manual_ack_set(self, on: bool) -> None:
        """Whether the program acknowledges messages by `ack`."""
        self._manual_ack = on

    def username_pw_set(self, username: str | None, password: str | None = None) -> None:
        """Sets user name and password. None for no user name, and then no password either."""
        self._username = None if username is None else username.encode("utf-8")
        self._password = password.encode("utf-8") if isinstance(password, str) else password

    def user_data_set(self, userdata: Any) -> None:
        """Sets what callbacks get as their second argument."""
        self._userdata = userdata

    def user_data_get(self) -> Any:
        """What callbacks get as their second argument."""
        return self._userdata

    def reconnect_delay_set(self, min_delay: int = 1, max_delay: int = 120) -> None:
        """Seconds before connecting again: the first time, and at most. It doubles in between."""
        self._reconnect_min_delay = min_delay
        self._reconnect_max_delay = max_delay
        self._reconnect_delay = None

    def enable_bridge_mode(self) -> None:
        """Says to the server that this is a bridge, in a way that the standard doesn't know."""
        self._client_mode = PahoClientMode.MQTT_BRIDGE

    def enable_logger(self, logger: logging.Logger | None = None) -> None:
        """Logs to this logger, or to one of its own."""
        if logger is None:
            logger = self._logger or logging.getLogger("ternmq.paho.client")
        self.logger = logger

    def disable_logger(self) -> None:
        """Logs no more."""
        self._logger = None

    def will_set(
        self,
        topic: str,
        payload: PayloadType = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Sets what the server publishes when the connection ends without a DISCONNECT."""
        check_topic(topic)
        check_qos(qos)
        if properties is not None and properties.packetType != PacketTypes.WILLMESSAGE:
            raise ValueError("the properties of a will are Properties(PacketTypes.WILLMESSAGE)")
        self._will_payload = encode_payload(payload)
        self._will = True
        self._will_topic = topic.encode("utf-8")
        self._will_qos = qos
        self._will_retain = retain
        self._will_properties = properties

    def will_clear(self) -> None:
        """Takes the will back."""
        self._will = False
        self._will_topic, self._will_payload = b"", b""
        self._will_qos, self._will_retain = 0, False
        self._will_properties = None

    def proxy_set(self, **proxy_args: Any) -> None:
        """Connects by a proxy. The arguments are those of PySocks: proxy_type, proxy_addr, ..."""
        from ._connection import socks

        if socks() is None:
            raise ValueError("a proxy needs the package PySocks")
        if not valid_proxy(proxy_args):
            raise ValueError("proxy_type and proxy_addr are needed")
        self._proxy = proxy_args

    def ws_set_options(self, path: str = "/mqtt", headers: WebSocketHeaders | None = None) -> None:
        """The path of the WebSocket, and headers that are added, or what changes the usual ones."""
        self._websocket_path = path
        if headers is not None:
            self._websocket_extra_headers = headers

    def tls_set_context(self, context: ssl.SSLContext | None = None) -> None:
        """Connects by TLS with this context, or with a usual one."""
        if self._ssl_context is not None:
            raise ValueError("TLS is configured already")
        if context is None:
            # Python's own usual one writes secrets down where `SSLKEYLOGFILE` is set.
            context = Tls().context()
        self._ssl = True
        self._ssl_context = context
        # What the context says holds.
        if hasattr(context, "check_hostname"):
            self._tls_insecure = not context.check_hostname

    def tls_set(
        self,
        ca_certs: str | None = None,
        certfile: str | None = None,
        keyfile: str | None = None,
        cert_reqs: ssl.VerifyMode | None = None,
        tls_version: int | None = None,
        ciphers: str | None = None,
        keyfile_password: str | None = None,
        alpn_protocols: list[str] | None = None,
    ) -> None:
        """Connects by TLS. Without `ca_certs` those of the system count."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if tls_version is None else tls_version)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        if certfile is not None:
            context.load_cert_chain(certfile, keyfile, keyfile_password)
        if cert_reqs == ssl.CERT_NONE:
            context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if cert_reqs is None else cert_reqs
        if ca_certs is not None:
            context.load_verify_locations(ca_certs)
        else:
            context.load_default_certs()
        if alpn_protocols is not None:
            context.set_alpn_protocols(alpn_protocols)
        self.tls_set_context(context)
        self.tls_insecure_set(cert_reqs == ssl.CERT_NONE)

    def tls_insecure_set(self, value: bool) -> None:
        """Whether the server's certificate may be of another name. After `tls_set`."""
        if self._ssl_context is None:
            raise ValueError("call tls_set() or tls_set_context() before tls_insecure_set()")
        self._tls_insecure = value
        if hasattr(self._ssl_context, "check_hostname") and (
            value or self._ssl_context.verify_mode != ssl.CERT_NONE
        ):
            self._ssl_context.check_hostname = not value

    def _check_clean_session(self) -> bool:
        if self._protocol != MQTTProtocolVersion.MQTTv5:
            return self._clean_session
        if self._clean_start == MQTT_CLEAN_START_FIRST_ONLY and self._clean_start is not True:
            return self._mqttv5_first_connect
        return bool(self._clean_start)


def made_up_client_id() -> str:
    """For MQTT 3.1, where the client needs one, of at most 23 letters and digits."""
    digits = string.digits + string.ascii_lowercase + string.ascii_uppercase
    return base62(uuid.uuid4().int, digits, 22)


def base62(num: int, base: str = string.digits + string.ascii_letters, padding: int = 1) -> str:
    """A number in the digits of `base`, filled up in front."""
    out = ""
    while num:
        num, digit = divmod(num, len(base))
        out = base[digit] + out
    return out.rjust(padding, base[0])


def encode_payload(payload: PayloadType) -> bytes | bytearray:
    """A payload as bytes; numbers as their text."""
    if payload is None:
        return b""
    if isinstance(payload, str):
        return payload.encode("utf-8")
    if isinstance(payload, (int, float)):
        return str(payload).encode("ascii")
    if isinstance(payload, (bytes, bytearray)):
        return payload
    raise TypeError("payload must be str, bytes, bytearray, int, float or None")


def check_topic(topic: str | None) -> None:
    """ValueError for what is no topic name."""
    if not topic:
        raise ValueError("topic must not be empty")
    if "+" in topic or "#" in topic:
        raise ValueError("a topic name cannot have wildcards")
    if len(topic.encode("utf-8")) > 65535:
        raise ValueError("the topic name is too long")


def check_qos(qos: int) -> None:
    """ValueError for what is no QoS."""
    if qos not in (0, 1, 2):
        raise ValueError("qos must be 0, 1 or 2")


def valid_proxy(proxy: dict[str, Any]) -> bool:
    """Whether these arguments of PySocks name a proxy."""
    from ._connection import socks

    module = socks()
    kinds = () if module is None else (module.HTTP, module.SOCKS4, module.SOCKS5)
    address = proxy.get("proxy_addr")
    return proxy.get("proxy_type") in kinds and isinstance(address, str) and bool(address)


