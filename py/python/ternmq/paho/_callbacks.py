"""The callbacks of a client, and how what happened reaches them."""

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from .. import _events as ev
from .._ternmq import MQTTMessage, MQTTMessageInfo
from ._settings import LOGGING_LEVEL, Settings, SocketLike
from .enums import (
    CallbackAPIVersion,
    ConnackCode,
    LogLevel,
    MQTTErrorCode,
    MQTTProtocolVersion,
    _ConnectionState,
)
from .packettypes import PacketTypes
from .properties import Properties, of_native
from .reasoncodes import ReasonCode

F = TypeVar("F", bound=Callable[..., Any])

# Topics whose callbacks are remembered, for clients with callbacks by filter.
_MOST_MATCHING = 1024
# Seconds of callbacks, after which what they have dealt with is acknowledged and the server hears
# from us, before the rest of a batch goes on.
_PAUSE = 0.5


class ConnectFlags(NamedTuple):
    """What CONNACK says of the session."""

    session_present: bool


class DisconnectFlags(NamedTuple):
    """Who ended the connection."""

    is_disconnect_packet_from_server: bool


def convert_connack_rc_to_reason_code(connack_code: ConnackCode | int) -> ReasonCode:
    """The reason code of MQTT 5 that means what a return code of before means."""
    names = {
        ConnackCode.CONNACK_ACCEPTED: "Success",
        ConnackCode.CONNACK_REFUSED_PROTOCOL_VERSION: "Unsupported protocol version",
        ConnackCode.CONNACK_REFUSED_IDENTIFIER_REJECTED: "Client identifier not valid",
        ConnackCode.CONNACK_REFUSED_SERVER_UNAVAILABLE: "Server unavailable",
        ConnackCode.CONNACK_REFUSED_BAD_USERNAME_PASSWORD: "Bad user name or password",
        ConnackCode.CONNACK_REFUSED_NOT_AUTHORIZED: "Not authorized",
    }
    name = names.get(cast(ConnackCode, connack_code), "Unspecified error")
    return ReasonCode(PacketTypes.CONNACK, name)


def convert_disconnect_error_code_to_reason_code(rc: MQTTErrorCode) -> ReasonCode:
    """The reason code that tells why a connection ended."""
    names = {
        MQTTErrorCode.MQTT_ERR_SUCCESS: "Success",
        MQTTErrorCode.MQTT_ERR_KEEPALIVE: "Keep alive timeout",
        MQTTErrorCode.MQTT_ERR_PROTOCOL: "Protocol error",
    }
    return ReasonCode(PacketTypes.DISCONNECT, names.get(rc, "Unspecified error"))


# Return codes of MQTT 3 by the reason code that means the same.
_RETURN_CODES = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}


def _callback(name: str, text: str) -> Any:
    """A property that holds a callback; a subclass may have a method instead."""
    place = f"_{name}"

    def fget(self: Any) -> Any:
        return getattr(self, place)

    def fset(self: Any, func: Any) -> None:
        setattr(self, place, func)

    return property(fget, fset, doc=text)


class Callbacks(Settings):
    """What a client tells its program."""

    _on_log: Any = None
    _on_pre_connect: Any = None
    _on_connect: Any = None
    _on_connect_fail: Any = None
    _on_subscribe: Any = None
    _on_message: Any = None
    _on_publish: Any = None
    _on_unsubscribe: Any = None
    _on_disconnect: Any = None
    _on_socket_open: Any = None
    _on_socket_close: Any = None
    _on_socket_register_write: Any = None
    _on_socket_unregister_write: Any = None

    on_log = _callback("on_log", "`on_log(client, userdata, level, buf)`: something to be logged.")
    on_pre_connect = _callback("on_pre_connect", "`on_pre_connect(client, userdata)`: a connection is tried.")
    on_connect = _callback(
        "on_connect",
        "`on_connect(client, userdata, flags, reason_code, properties)`: CONNACK has come, accepting or not.",
    )
    on_connect_fail = _callback(
        "on_connect_fail", "`on_connect_fail(client, userdata)`: a connection could not be opened."
    )
    on_subscribe = _callback(
        "on_subscribe", "`on_subscribe(client, userdata, mid, reason_codes, properties)`: SUBACK has come."
    )
    on_message = _callback(
        "on_message",
        "`on_message(client, userdata, message)`: a message has come that no callback of `message_callback_add` "
        "is for.",
    )
    on_publish = _callback(
        "on_publish",
        "`on_publish(client, userdata, mid, reason_code, properties)`: a message is sent (QoS 0) or acknowledged.",
    )
    on_unsubscribe = _callback(
        "on_unsubscribe", "`on_unsubscribe(client, userdata, mid, reason_codes, properties)`: UNSUBACK has come."
    )
    on_disconnect = _callback(
        "on_disconnect",
        "`on_disconnect(client, userdata, flags, reason_code, properties)`: the connection has ended.",
    )
    on_socket_open = _callback("on_socket_open", "`on_socket_open(client, userdata, sock)`: watch it for reading.")
    on_socket_close = _callback("on_socket_close", "`on_socket_close(client, userdata, sock)`: stop watching it.")
    on_socket_register_write = _callback(
        "on_socket_register_write", "`on_socket_register_write(client, userdata, sock)`: watch it for writing."
    )
    on_socket_unregister_write = _callback(
        "on_socket_unregister_write",
        "`on_socket_unregister_write(client, userdata, sock)`: stop watching it for writing.",
    )

    def _decorator(self, name: str) -> Callable[[F], F]:
        def decorate(func: F) -> F:
            setattr(self, name, func)
            return func

        return decorate

    def log_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_log`."""
        return self._decorator("on_log")

    def pre_connect_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_pre_connect`."""
        return self._decorator("on_pre_connect")

    def connect_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_connect`."""
        return self._decorator("on_connect")

    def connect_fail_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_connect_fail`."""
        return self._decorator("on_connect_fail")

    def subscribe_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_subscribe`."""
        return self._decorator("on_subscribe")

    def message_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_message`."""
        return self._decorator("on_message")

    def publish_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_publish`."""
        return self._decorator("on_publish")

    def unsubscribe_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_unsubscribe`."""
        return self._decorator("on_unsubscribe")

    def disconnect_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_disconnect`."""
        return self._decorator("on_disconnect")

    def socket_open_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_socket_open`."""
        return self._decorator("on_socket_open")

    def socket_close_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_socket_close`."""
        return self._decorator("on_socket_close")

    def socket_register_write_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_socket_register_write`."""
        return self._decorator("on_socket_register_write")

    def socket_unregister_write_callback(self) -> Callable[[F], F]:
        """A decorator that sets `on_socket_unregister_write`."""
        return self._decorator("on_socket_unregister_write")

    def topic_callback(self, sub: str) -> Callable[[F], F]:
        """A decorator that adds a callback for a topic filter."""

        def decorate(func: F) -> F:
            self.message_callback_add(sub, func)
            return func

        return decorate

    def message_callback_add(self, sub: str, callback: Callable[..., Any]) -> None:
        """Calls `callback` in the place of `on_message` for what a topic filter matches."""
        if callback is None or sub is None:
            raise ValueError("sub and callback must both be given")
        with self._callback_mutex:
            self._on_message_filtered[sub] = callback
            self._has_filters = True
            self._matching = {}

    def message_callback_remove(self, sub: str) -> None:
        """Takes back what `message_callback_add` has added."""
        if sub is None:
            raise ValueError("sub must be given")
        with self._callback_mutex:
            try:
                del self._on_message_filtered[sub]
            except KeyError:
                pass
            self._matching = {}

    # From here on: how things get to them.

    def _easy_log(self, level: LogLevel, fmt: str, *args: Any) -> None:
        on_log = self.on_log
        if on_log is not None:
            self._run("on_log", on_log, level, fmt % args)
        if self._logger is not None:
            self._logger.log(LOGGING_LEVEL[level], fmt, *args)

    def _traces(self) -> bool:
        """Whether anybody wants to hear of each message."""
        logger = self._logger
        return self.on_log is not None or (logger is not None and logger.isEnabledFor(logging.DEBUG))

    def _run(self, name: str, callback: Callable[..., Any], *args: Any) -> None:
        """Calls it; what it raises is logged, and goes on unless `suppress_exceptions` is set."""
        try:
            callback(self, self._userdata, *args)
        except Exception as error:
            if not self._endures(name, error):
                raise

    def _endures(self, name: str, error: Exception) -> bool:
        """Logs what a callback has raised; whether that is all that happens."""
        if self._logger is not None:
            self._logger.error("%s has raised", name, exc_info=error)
        return self.suppress_exceptions

    def _tell(self, name: str, *args: Any) -> None:
        callback = getattr(self, name)
        if callback is None:
            return
        session = self._session
        nested = session.in_callback
        session.dispatching(True)
        try:
            self._run(name, callback, *args)
        finally:
            session.dispatching(nested)

    def _deliver(self, items: list[Any], start: int = 0) -> None:
        """Runs the callbacks of what came in, in order, from a place of the batch on."""
        session = self._session
        nested = session.in_callback
        session.dispatching(True)
        place = start
        pause = time.monotonic() + _PAUSE
        traces = self._traces()
        try:
            for place in range(start, len(items)):
                item = items[place]
                if type(item) is MQTTMessage:
                    if traces:
                        self._trace_message(item)
                    if not (self._has_filters and self._run_filtered(item)):
                        on_message = self.on_message
                        if on_message is not None:
                            # `_run` in place: a call less for each message.
                            try:
                                on_message(self, self._userdata, item)
                            except Exception as error:
                                if not self._endures("on_message", error):
                                    raise
                    if time.monotonic() > pause:
                        session.handled(place + 1)
                        self._breathe()
                        pause = time.monotonic() + _PAUSE
                    if self._state is _ConnectionState.MQTT_CS_DISCONNECTING:
                        # The rest is not for a program that has said goodbye; it is not acknowledged.
                        session.handled(place + 1)
                        return
                else:
                    self._deliver_event(item)
            place = len(items)
        except BaseException:
            # The message counts as dealt with once the program goes on with the loop.
            session.handled(place)
            self._leftover = (items, place + 1)
            raise
        finally:
            session.dispatching(nested)
        if session.owes:
            session.handled(place)

    def _breathe(self) -> None:
        """Lets the server hear from us between two callbacks."""
        raise NotImplementedError

    def _deliver_event(self, event: tuple[Any, ...]) -> None:
        kind = event[0]
        if kind == ev.PUBLISHED:
            _, mid, reason, properties, info = event
            self._published(mid, reason, properties)
            if info is not None:
                info._set_as_published()
        elif kind == ev.SUBSCRIBED:
            self._subscribed(event[1], event[2], event[3])
        elif kind == ev.UNSUBSCRIBED:
            self._unsubscribed(event[1], event[2], event[3])
        elif kind == ev.CONNECTED:
            self._connected(event[1], event[2], event[4])

    def _trace_message(self, message: MQTTMessage) -> None:
        self._easy_log(
            LogLevel.MQTT_LOG_DEBUG,
            "Received PUBLISH (d%d, q%d, r%d, m%d) %r (%d bytes)",
            message.dup, message.qos, message.retain, message.mid, message.topic, len(message.payload),
        )

    def _run_filtered(self, message: MQTTMessage) -> bool:
        """Calls the callbacks for filters that match; whether there are any."""
        found = self._callbacks_for(message.topic)
        for callback in found:
            self._run("a callback for a topic filter", callback, message)
        return bool(found)

    def _callbacks_for(self, topic: str) -> list[Any]:
        matching = self._matching
        found = matching.get(topic)
        if found is None:
            with self._callback_mutex:
                found = list(self._on_message_filtered.iter_match(topic))
            if len(matching) >= _MOST_MATCHING:
                matching.clear()
            matching[topic] = found
        return found

    def _is_v5(self) -> bool:
        return self._protocol == MQTTProtocolVersion.MQTTv5

    def _is_v2(self) -> bool:
        return self._callback_api_version == CallbackAPIVersion.VERSION2

    def _connected(self, session_present: bool, keep_alive: int, found: dict[str, Any] | None) -> None:
        self._mqttv5_first_connect = False
        self._keepalive = keep_alive
        self._reconnect_delay = None
        self._state = _ConnectionState.MQTT_CS_CONNECTED
        self._easy_log(LogLevel.MQTT_LOG_DEBUG, "Received CONNACK (%d, 0)", session_present)
        self._tell_connack(session_present, 0, found)

    def _tell_connack(self, session_present: bool, reason: int, found: dict[str, Any] | None) -> None:
        if self.on_connect is None:
            return
        properties = of_native(PacketTypes.CONNACK, found)
        code = _reason(PacketTypes.CONNACK, reason)
        if self._is_v2():
            self._tell("on_connect", ConnectFlags(session_present), code, properties)
            return
        flags = {"session present": int(session_present)}
        if self._is_v5():
            self._tell("on_connect", flags, code, properties)
        else:
            self._tell("on_connect", flags, _RETURN_CODES.get(reason, reason))

    def _subscribed(self, mid: int, codes: list[int], found: dict[str, Any] | None) -> None:
        self._easy_log(LogLevel.MQTT_LOG_DEBUG, "Received SUBACK (m%d)", mid)
        if self.on_subscribe is None:
            return
        if self._is_v5() or self._is_v2():
            properties = of_native(PacketTypes.SUBACK, found)
            self._tell("on_subscribe", mid, [_reason(PacketTypes.SUBACK, c) for c in codes], properties)
        else:
            self._tell("on_subscribe", mid, tuple(codes))

    def _unsubscribed(self, mid: int, codes: list[int], found: dict[str, Any] | None) -> None:
        self._easy_log(LogLevel.MQTT_LOG_DEBUG, "Received UNSUBACK (m%d)", mid)
        if self.on_unsubscribe is None:
            return
        properties = of_native(PacketTypes.UNSUBACK, found)
        reasons = [_reason(PacketTypes.UNSUBACK, code) for code in codes] if self._is_v5() else []
        if self._is_v2():
            self._tell("on_unsubscribe", mid, reasons, properties)
        elif self._is_v5():
            self._tell("on_unsubscribe", mid, properties, reasons[0] if len(reasons) == 1 else reasons)
        else:
            self._tell("on_unsubscribe", mid)

    def _published(self, mid: int, reason: int, found: dict[str, Any] | None) -> None:
        if self._is_v2():
            code = _reason(PacketTypes.PUBACK, reason)
            self._do_on_publish(mid, code, of_native(PacketTypes.PUBACK, found))
        else:
            self._do_on_publish(mid, None, None)

    def _tell_sent(self) -> None:
        """`on_publish` for what was sent with QoS 0."""
        sent = self._sent
        if not sent:
            return
        session = self._session
        nested = session.in_callback
        session.dispatching(True)
        code = properties = None
        if self._is_v2():
            # One for all: whoever changes them changes what the next callback gets.
            code, properties = _reason(PacketTypes.PUBACK, 0), Properties(PacketTypes.PUBACK)
        try:
            while sent:
                info: MQTTMessageInfo = sent.popleft()
                self._do_on_publish(info.mid, code, properties)
                info._set_as_published()
        finally:
            session.dispatching(nested)

    def _do_on_publish(
        self, mid: int, reason_code: ReasonCode | None, properties: Properties | None
    ) -> MQTTErrorCode:
        on_publish = self.on_publish
        if on_publish is not None:
            if self._is_v2():
                self._run("on_publish", on_publish, mid, reason_code, properties)
            else:
                self._run("on_publish", on_publish, mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _do_on_disconnect(
        self,
        packet_from_broker: bool,
        v1_rc: MQTTErrorCode,
        reason: ReasonCode | None = None,
        properties: Properties | None = None,
    ) -> None:
        if self.on_disconnect is None:
            return
        if self._is_v2():
            flags = DisconnectFlags(packet_from_broker)
            code = convert_disconnect_error_code_to_reason_code(v1_rc) if reason is None else reason
            given = Properties(PacketTypes.DISCONNECT) if properties is None else properties
            self._tell("on_disconnect", flags, code, given)
        elif self._is_v5():
            self._tell("on_disconnect", reason if packet_from_broker else v1_rc, properties)
        else:
            self._tell("on_disconnect", v1_rc)

    def _handle_on_connect_fail(self) -> None:
        self._tell("on_connect_fail")

    def _call_socket_open(self, sock: SocketLike) -> None:
        self._tell("on_socket_open", sock)

    def _call_socket_close(self, sock: SocketLike) -> None:
        self._tell("on_socket_close", sock)

    def _call_socket_register_write(self) -> None:
        sock = self._sock
        if sock is not None and not self._registered_write:
            self._registered_write = True
            self._tell("on_socket_register_write", sock)

    def _call_socket_unregister_write(self, sock: SocketLike | None = None) -> None:
        sock = sock or self._sock
        if sock is not None and self._registered_write:
            self._registered_write = False
            self._tell("on_socket_unregister_write", sock)


def _reason(packet_type: int, code: int) -> ReasonCode:
    """A reason code, also one that the standard doesn't give to the packet."""
    try:
        return ReasonCode(packet_type, identifier=code)
    except KeyError:
        return ReasonCode(packet_type, "Unspecified error")

