"""The client: `import ternmq.paho.client as mqtt`.

Functions may be called from any thread, and from callbacks. Callbacks run in the thread of the loop,
and no lock is held meanwhile.
"""

# The modules that programs find here are of the API as well: `mqtt.ssl`, `mqtt.socket`, `mqtt.time`.
import base64 as base64
import collections as collections
import errno as errno
import hashlib as hashlib
import importlib
import logging as logging
import os as os
import platform as platform
import select as select
import socket as socket
import ssl as ssl
import string as string
import struct as struct
import threading as threading
import time as time
import urllib as urllib
import uuid as uuid
import warnings as warnings
from collections.abc import Callable
from collections.abc import Iterator as Iterator
from collections.abc import Sequence as Sequence
from errno import (
    EAGAIN as EAGAIN,
)
from typing import TYPE_CHECKING as TYPE_CHECKING
from typing import Any, Literal, Union, cast
from typing import NamedTuple as NamedTuple
from typing import overload as overload

from .._ternmq import (
    MQTTMessage as MQTTMessage,
    MQTTMessageInfo as MQTTMessageInfo,
)
from ._callbacks import (
    ConnectFlags as ConnectFlags,
    DisconnectFlags as DisconnectFlags,
    convert_connack_rc_to_reason_code as convert_connack_rc_to_reason_code,
    convert_disconnect_error_code_to_reason_code as convert_disconnect_error_code_to_reason_code,
)
from ._connection import (
    socks as _find_socks,
)
from ._loop import (
    Loop as Loop,
    _socketpair_compat as _socketpair_compat,
)
from ._settings import (
    LOGGING_LEVEL as LOGGING_LEVEL,
    MQTT_CLEAN_START_FIRST_ONLY as MQTT_CLEAN_START_FIRST_ONLY,
    CleanStartOption as CleanStartOption,
    PayloadType as PayloadType,
    SocketLike as SocketLike,
    WebSocketHeaders as WebSocketHeaders,
    check_qos as check_qos,
)
from ._settings import (
    base62 as _base62,
)
from ._settings import (
    encode_payload as _encode_payload,
)
from ._websocket import (
    WebsocketConnectionError as WebsocketConnectionError,
    _WebsocketWrapper as _WebsocketWrapper,
)
from .enums import (
    CallbackAPIVersion as CallbackAPIVersion,
    ConnackCode as ConnackCode,
    LogLevel as LogLevel,
    MessageState as MessageState,
    MessageType as MessageType,
    MQTTErrorCode as MQTTErrorCode,
    MQTTProtocolVersion as MQTTProtocolVersion,
    PahoClientMode as PahoClientMode,
    _ConnectionState as _ConnectionState,
)
from .matcher import (
    MQTTMatcher as MQTTMatcher,
)
from .packettypes import (
    PacketTypes as PacketTypes,
)
from .properties import (
    MalformedPacket as MalformedPacket,
    Properties as Properties,
    to_native as to_native,
)
from .reasoncodes import (
    ReasonCode as ReasonCode,
    ReasonCodes as ReasonCodes,
)
from .subscribeoptions import (
    SubscribeOptions as SubscribeOptions,
)

_socket = socket
time_func = time.monotonic
sockpair_data = b"0"
HTTPHeader = dict[str, str]

(
    MQTT_ERR_AGAIN,
    MQTT_ERR_SUCCESS,
    MQTT_ERR_NOMEM,
    MQTT_ERR_PROTOCOL,
    MQTT_ERR_INVAL,
    MQTT_ERR_NO_CONN,
    MQTT_ERR_CONN_REFUSED,
    MQTT_ERR_NOT_FOUND,
    MQTT_ERR_CONN_LOST,
    MQTT_ERR_TLS,
    MQTT_ERR_PAYLOAD_SIZE,
    MQTT_ERR_NOT_SUPPORTED,
    MQTT_ERR_AUTH,
    MQTT_ERR_ACL_DENIED,
    MQTT_ERR_UNKNOWN,
    MQTT_ERR_ERRNO,
    MQTT_ERR_QUEUE_SIZE,
    MQTT_ERR_KEEPALIVE,
) = MQTTErrorCode
MQTTv31, MQTTv311, MQTTv5 = MQTTProtocolVersion
(
    CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE,
    SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH,
) = MessageType  # fmt: skip
MQTT_LOG_INFO, MQTT_LOG_NOTICE, MQTT_LOG_WARNING, MQTT_LOG_ERR, MQTT_LOG_DEBUG = LogLevel
(
    CONNACK_ACCEPTED,
    CONNACK_REFUSED_PROTOCOL_VERSION,
    CONNACK_REFUSED_IDENTIFIER_REJECTED,
    CONNACK_REFUSED_SERVER_UNAVAILABLE,
    CONNACK_REFUSED_BAD_USERNAME_PASSWORD,
    CONNACK_REFUSED_NOT_AUTHORIZED,
) = ConnackCode
(
    mqtt_ms_invalid, mqtt_ms_publish, mqtt_ms_wait_for_puback, mqtt_ms_wait_for_pubrec, mqtt_ms_resend_pubrel,
    mqtt_ms_wait_for_pubrel, mqtt_ms_resend_pubcomp, mqtt_ms_wait_for_pubcomp, mqtt_ms_send_pubrec, mqtt_ms_queued,
) = MessageState  # fmt: skip
MQTT_CLIENT, MQTT_BRIDGE = PahoClientMode

CallbackOnConnect_v1_mqtt3 = Callable[["Client", Any, dict[str, Any], MQTTErrorCode], None]
CallbackOnConnect_v1_mqtt5 = Callable[["Client", Any, dict[str, Any], ReasonCode, Properties | None], None]
CallbackOnConnect_v1 = Union[CallbackOnConnect_v1_mqtt3, CallbackOnConnect_v1_mqtt5]
CallbackOnConnect_v2 = Callable[["Client", Any, ConnectFlags, ReasonCode, Properties | None], None]
CallbackOnConnect = Union[CallbackOnConnect_v1_mqtt3, CallbackOnConnect_v1_mqtt5, CallbackOnConnect_v2]
CallbackOnConnectFail = Callable[["Client", Any], None]
CallbackOnDisconnect_v1_mqtt3 = Callable[["Client", Any, MQTTErrorCode], None]
CallbackOnDisconnect_v1_mqtt5 = Callable[["Client", Any, ReasonCode | int | None, Properties | None], None]
CallbackOnDisconnect_v1 = Union[CallbackOnDisconnect_v1_mqtt3, CallbackOnDisconnect_v1_mqtt5]
CallbackOnDisconnect_v2 = Callable[["Client", Any, DisconnectFlags, ReasonCode, Properties | None], None]
CallbackOnDisconnect = Union[
    CallbackOnDisconnect_v1_mqtt3, CallbackOnDisconnect_v1_mqtt5, CallbackOnDisconnect_v2
]
CallbackOnLog = Callable[["Client", Any, int, str], None]
CallbackOnMessage = Callable[["Client", Any, MQTTMessage], None]
CallbackOnPreConnect = Callable[["Client", Any], None]
CallbackOnPublish_v1 = Callable[["Client", Any, int], None]
CallbackOnPublish_v2 = Callable[["Client", Any, int, ReasonCode, Properties], None]
CallbackOnPublish = Union[CallbackOnPublish_v1, CallbackOnPublish_v2]
CallbackOnSocket = Callable[["Client", Any, SocketLike], None]
CallbackOnSubscribe_v1_mqtt3 = Callable[["Client", Any, int, tuple[int, ...]], None]
CallbackOnSubscribe_v1_mqtt5 = Callable[["Client", Any, int, list[ReasonCode], Properties], None]
CallbackOnSubscribe_v1 = Union[CallbackOnSubscribe_v1_mqtt3, CallbackOnSubscribe_v1_mqtt5]
CallbackOnSubscribe_v2 = Callable[["Client", Any, int, list[ReasonCode], Properties | None], None]
CallbackOnSubscribe = Union[CallbackOnSubscribe_v1_mqtt3, CallbackOnSubscribe_v1_mqtt5, CallbackOnSubscribe_v2]
CallbackOnUnsubscribe_v1_mqtt3 = Callable[["Client", Any, int], None]
CallbackOnUnsubscribe_v1_mqtt5 = Callable[["Client", Any, int, Properties, ReasonCode | list[ReasonCode]], None]
CallbackOnUnsubscribe_v1 = Union[CallbackOnUnsubscribe_v1_mqtt3, CallbackOnUnsubscribe_v1_mqtt5]
CallbackOnUnsubscribe_v2 = Callable[["Client", Any, int, list[ReasonCode], Properties | None], None]
CallbackOnUnsubscribe = Union[
    CallbackOnUnsubscribe_v1_mqtt3, CallbackOnUnsubscribe_v1_mqtt5, CallbackOnUnsubscribe_v2
]

_ERRORS = {
    MQTT_ERR_SUCCESS: "No error.",
    MQTT_ERR_NOMEM: "Out of memory.",
    MQTT_ERR_PROTOCOL: "A network protocol error occurred when communicating with the broker.",
    MQTT_ERR_INVAL: "Invalid function arguments provided.",
    MQTT_ERR_NO_CONN: "The client is not currently connected.",
    MQTT_ERR_CONN_REFUSED: "The connection was refused.",
    MQTT_ERR_NOT_FOUND: "Message not found (internal error).",
    MQTT_ERR_CONN_LOST: "The connection was lost.",
    MQTT_ERR_TLS: "A TLS error occurred.",
    MQTT_ERR_PAYLOAD_SIZE: "Payload too large.",
    MQTT_ERR_NOT_SUPPORTED: "This feature is not supported.",
    MQTT_ERR_AUTH: "Authorisation failed.",
    MQTT_ERR_ACL_DENIED: "Access denied by ACL.",
    MQTT_ERR_UNKNOWN: "Unknown error.",
    MQTT_ERR_ERRNO: "Error defined by errno.",
    MQTT_ERR_QUEUE_SIZE: "Message queue full.",
    MQTT_ERR_KEEPALIVE: "Client or broker did not communicate in the keepalive interval.",
}
_CONNACKS = {
    CONNACK_ACCEPTED: "Connection Accepted.",
    CONNACK_REFUSED_PROTOCOL_VERSION: "Connection Refused: unacceptable protocol version.",
    CONNACK_REFUSED_IDENTIFIER_REJECTED: "Connection Refused: identifier rejected.",
    CONNACK_REFUSED_SERVER_UNAVAILABLE: "Connection Refused: broker unavailable.",
    CONNACK_REFUSED_BAD_USERNAME_PASSWORD: "Connection Refused: bad user name or password.",
    CONNACK_REFUSED_NOT_AUTHORIZED: "Connection Refused: not authorised.",
}
_NO_TYPE = "topic must be a filter, a tuple or a list"

TopicOrTopics = (
    str | tuple[str, int] | tuple[str, SubscribeOptions] | list[tuple[str, int]] | list[tuple[str, SubscribeOptions]]
)


def error_string(mqtt_errno: MQTTErrorCode | int) -> str:
    """What an error code means."""
    return _ERRORS.get(cast(MQTTErrorCode, mqtt_errno), "Unknown error.")


def connack_string(connack_code: int | ReasonCode) -> str:
    """What a return code of CONNACK means."""
    if isinstance(connack_code, ReasonCode):
        return str(connack_code)
    return _CONNACKS.get(cast(ConnackCode, connack_code), "Connection Refused: unknown reason.")


def topic_matches_sub(sub: str, topic: str) -> bool:
    """Whether a topic filter matches a topic name."""
    matcher = MQTTMatcher()
    matcher[sub] = True
    return any(matcher.iter_match(topic))


def _force_bytes(s: str | bytes | bytearray) -> bytes | bytearray:
    return s.encode("utf-8") if isinstance(s, str) else s


class Client(Loop):
    """A client, and its session. The manual says what differs from paho-mqtt.

    `client_id`: "" has the server assign one (MQTT 3.1: one is made up). `clean_session`: MQTT 3 only,
    True by default. `userdata`: what callbacks get as their second argument. `reconnect_on_failure`:
    whether `loop_forever` and `loop_start` connect again. `manual_ack`: messages are acknowledged by
    `ack`.
    """

    def __init__(
        self,
        callback_api_version: CallbackAPIVersion = CallbackAPIVersion.VERSION1,
        client_id: str | None = "",
        clean_session: bool | None = None,
        userdata: Any = None,
        protocol: MQTTProtocolVersion = MQTTv311,
        transport: Literal["tcp", "websockets", "unix"] = "tcp",
        reconnect_on_failure: bool = True,
        manual_ack: bool = False,
    ) -> None:
        if not isinstance(callback_api_version, CallbackAPIVersion):
            raise TypeError(
                "the first argument is a CallbackAPIVersion since paho-mqtt 2.0, see docs/migrations.rst there"
            )
        if callback_api_version == CallbackAPIVersion.VERSION1:
            text = "Callback API version 1 is deprecated, update to latest version"
            warnings.warn(text, category=DeprecationWarning, stacklevel=2)
        super().__init__(
            callback_api_version, client_id, clean_session, userdata, protocol, transport, reconnect_on_failure, manual_ack
        )

    def __del__(self) -> None:
        if "_sockpairW" in self.__dict__:
            self._reset_sockets()

    def reinitialise(self, client_id: str = "", clean_session: bool = True, userdata: Any = None) -> None:
        """Begins anew, as a client that was just made, with the transport and version it had."""
        self._reset_sockets()
        protocol = MQTTProtocolVersion(self._protocol)
        v5 = protocol == MQTTv5
        Loop.__init__(
            self,
            self._callback_api_version,
            client_id,
            None if v5 else clean_session,
            userdata,
            protocol,
            cast(Literal["tcp"], self._transport),
            self._reconnect_on_failure,
            self._manual_ack,
        )

    # Connecting.

    def connect(
        self,
        host: str,
        port: int = 1883,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        """Opens the connection and sends CONNECT. Whether the server accepts, `on_connect` tells."""
        self.connect_async(host, port, keepalive, bind_address, bind_port, clean_start, properties)
        return self.reconnect()

    def connect_async(
        self,
        host: str,
        port: int = 1883,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> None:
        """Says what `loop_start` or `loop_forever` is to connect to."""
        if not host:
            raise ValueError("host must not be empty")
        if port <= 0:
            raise ValueError("port must be greater than 0")
        if keepalive < 0:
            raise ValueError("keepalive must not be negative")
        if bind_port < 0:
            raise ValueError("bind_port must not be negative")
        if self._protocol != MQTTv5 and (clean_start != MQTT_CLEAN_START_FIRST_ONLY or properties is not None):
            self._easy_log(MQTT_LOG_WARNING, "clean_start and properties of connect() count with MQTT 5 only")
        self._host = host
        self._port = port
        self._keepalive = keepalive
        self._bind_address = bind_address
        self._bind_port = bind_port
        self._clean_start = clean_start
        self._connect_properties = properties
        self._state = _ConnectionState.MQTT_CS_CONNECT_ASYNC

    def connect_srv(
        self,
        domain: str | None = None,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        """Connects to the server that the SRV records of a domain name, by default this machine's."""
        dns = _find_dns()
        if dns is None:
            raise ValueError('No DNS resolver library found, try "pip install dnspython".')
        if domain is None:
            domain = socket.getfqdn()
            domain = domain[domain.find(".") + 1 :]
        service = f"{'_secure-mqtt' if self._ssl else '_mqtt'}._tcp.{domain}"
        try:
            records = list(dns.resolver.resolve(service, dns.rdatatype.SRV))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.NoNameservers) as error:
            raise ValueError(f"No answer/NXDOMAIN for SRV in {domain}") from error
        for record in sorted(records, key=lambda r: (r.priority, -r.weight)):
            host = str(record.target).rstrip(".")
            try:
                return self.connect(host, record.port, keepalive, bind_address, bind_port, clean_start, properties)
            except OSError as error:
                self._easy_log(MQTT_LOG_DEBUG, "%s:%d, of the SRV record: %s", host, record.port, error)
        raise ValueError("none of the hosts of the SRV records answers")

    def disconnect(
        self, reasoncode: ReasonCode | None = None, properties: Properties | None = None
    ) -> MQTTErrorCode:
        """Sends DISCONNECT behind all that waits to be sent, and closes the connection."""
        if self._sock is None:
            self._state = _ConnectionState.MQTT_CS_DISCONNECTED
            self._wake()
            return MQTT_ERR_NO_CONN
        v5 = self._protocol == MQTTv5
        reason = reasoncode.value if v5 and reasoncode is not None else 0
        self._state = _ConnectionState.MQTT_CS_DISCONNECTING
        self._session.disconnect(reason, to_native(properties) if v5 else None)
        self._easy_log(MQTT_LOG_DEBUG, "Sending DISCONNECT")
        self._output()
        return MQTT_ERR_SUCCESS

    def is_connected(self) -> bool:
        """Whether the server has accepted the connection, and it has not ended."""
        return self._state == _ConnectionState.MQTT_CS_CONNECTED

    def _connection_closed(self) -> bool:
        return self._state == _ConnectionState.MQTT_CS_NEW or (
            self._state in (_ConnectionState.MQTT_CS_DISCONNECTING, _ConnectionState.MQTT_CS_DISCONNECTED)
            and self._sock is None
        )

    def socket(self) -> SocketLike | None:
        """The socket, for a loop of the program's own."""
        return self._sock

    # Talking.

    def publish(
        self,
        topic: str,
        payload: PayloadType = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> MQTTMessageInfo:
        """Publishes. The `rc` of what it returns tells whether the message was taken; MQTT_ERR_NO_CONN
        with QoS above 0 means that it will be sent once there is a connection."""
        native = None
        if properties is not None and self._protocol == MQTTv5:
            topic = self._resolve(topic, properties)
            native = to_native(properties)
        if not topic:
            raise ValueError("topic must not be empty")
        if qos < 0 or qos > 2:
            raise ValueError("qos must be 0, 1 or 2")
        info = self._session.publish(topic, payload, qos, bool(retain), native)
        if self._traces():
            self._easy_log(MQTT_LOG_DEBUG, "Sending PUBLISH (q%d, r%d, m%d) %r", qos, retain, info.mid, topic)
        if self._sock is not None:
            self._output()
        return info

    def _resolve(self, topic: str | None, properties: Properties) -> str:
        """The topic that is meant by an alias. It travels in full: aliases end with the connection, and
        a message may have to be sent on another."""
        alias = getattr(properties, "TopicAlias", None)
        if alias is None:
            return topic or ""
        if topic:
            self._aliases[alias] = topic
            return topic
        return self._aliases.get(alias, "")

    def subscribe(
        self,
        topic: TopicOrTopics,
        qos: int = 0,
        options: SubscribeOptions | None = None,
        properties: Properties | None = None,
    ) -> tuple[MQTTErrorCode, int | None]:
        """Subscribes to a filter, or to a list of pairs of filter and QoS or options. Returns an error
        code, and the mid that `on_subscribe` will have."""
        wanted = self._filters(topic, qos, options)
        native = to_native(properties) if self._protocol == MQTTv5 else None
        rc, mid = self._session.subscribe(wanted, native)
        if mid is not None:
            self._easy_log(MQTT_LOG_DEBUG, "Sending SUBSCRIBE (m%d) %s", mid, wanted)
            self._output()
        return MQTTErrorCode(rc), mid

    def _filters(
        self, topic: Any, qos: int, options: SubscribeOptions | None
    ) -> list[tuple[str, int, bool, bool, int]]:
        v5 = self._protocol == MQTTv5
        if isinstance(topic, tuple):
            if v5:
                topic, options = topic
                if not isinstance(options, SubscribeOptions):
                    raise ValueError("options must be SubscribeOptions")
            else:
                topic, qos = topic
        if isinstance(topic, (bytes, str)):
            if v5:
                if options is None:
                    check_qos(qos)
                    options = SubscribeOptions(qos=qos)
                elif qos != 0:
                    raise ValueError("qos stands in options, not beside them")
                return [_filter(topic, options)]
            check_qos(qos)
            return [_filter(topic, qos)]
        if isinstance(topic, list):
            if not topic:
                raise ValueError("topic must not be an empty list")
            if not v5 and any(isinstance(option, SubscribeOptions) for _, option in topic):
                raise ValueError("SubscribeOptions are of MQTT 5; before, a list is of filters with QoS")
            return [_filter(one, option) for one, option in topic]
        raise ValueError(_NO_TYPE)

    def unsubscribe(
        self, topic: str | list[str], properties: Properties | None = None
    ) -> tuple[MQTTErrorCode, int | None]:
        """Unsubscribes from a filter or a list of them. Returns an error code, and the mid that
        `on_unsubscribe` will have."""
        if topic is None or topic == "" or topic == []:
            raise ValueError("topic must not be empty")
        if isinstance(topic, (str, bytes)):
            filters = [_text(topic)]
        elif isinstance(topic, list):
            filters = [_text(one) for one in topic]
        else:
            raise ValueError(_NO_TYPE)
        native = to_native(properties) if self._protocol == MQTTv5 else None
        rc, mid = self._session.unsubscribe(filters, native)
        if mid is not None:
            self._easy_log(MQTT_LOG_DEBUG, "Sending UNSUBSCRIBE (m%d) %s", mid, filters)
            self._output()
        return MQTTErrorCode(rc), mid

    def ack(self, mid: int, qos: int) -> MQTTErrorCode:
        """Acknowledges a message, where `manual_ack` is set."""
        if self._manual_ack and qos in (1, 2) and self._session.acknowledge(mid):
            return self._output()
        return MQTT_ERR_SUCCESS

    def drop_out_messages(self) -> list[MQTTMessage]:
        """Drops the messages with QoS above 0 that are not complete, and returns them."""
        dropped = []
        for mid, topic, payload, qos, retain in self._session.drop_out_messages():
            message = MQTTMessage(mid, topic.encode("utf-8"))
            message.payload, message.qos, message.retain = payload, qos, retain
            dropped.append(message)
        return dropped

    @property
    def _out_messages(self) -> dict[int, int]:
        """The mids of the messages with QoS above 0 that are not complete."""
        return {mid: mid for mid in self._session.pending()}


def _text(topic: str | bytes) -> str:
    if not topic:
        raise ValueError("topic must not be empty")
    return topic.decode("utf-8") if isinstance(topic, bytes) else topic


def _filter(topic: str | bytes, options: SubscribeOptions | int) -> tuple[str, int, bool, bool, int]:
    if not topic or not isinstance(topic, (str, bytes)):
        raise ValueError("topic must not be empty")
    if isinstance(options, SubscribeOptions):
        o = options
        return _text(topic), o.QoS, bool(o.noLocal), bool(o.retainAsPublished), o.retainHandling
    check_qos(options)
    return _text(topic), options, False, False, 0


def _find_dns() -> Any:
    """dnspython, if it is installed."""
    try:
        importlib.import_module("dns.resolver")
        return importlib.import_module("dns")
    except ImportError:
        return None


_LAZY = ("HAVE_DNS", "dns", "socks")
HAVE_DNS: bool
dns: Any
socks: Any


def __getattr__(name: str) -> Any:
    # Optional packages are looked for when somebody asks.
    if name == "HAVE_DNS":
        return _find_dns() is not None
    if name == "dns":
        return _find_dns()
    if name == "socks":
        return _find_socks()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
