"""Publishing without a client of one's own: connects, publishes, disconnects."""

from collections.abc import Iterable
from typing import Any, Literal

from . import client as paho
from .enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion, _ConnectionState
from .properties import Properties
from .reasoncodes import ReasonCode

AuthParameter = dict[str, Any]
TLSParameter = Any
MessageDict = dict[str, Any]
MessageTuple = tuple[Any, ...]
MessagesList = list[MessageDict | MessageTuple]

_NAMES = ("topic", "payload", "qos", "retain", "properties")


def multiple(
    msgs: MessagesList,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: MessageDict | None = None,
    auth: AuthParameter | None = None,
    tls: TLSParameter | None = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Literal["tcp", "websockets"] = "tcp",
    proxy_args: Any | None = None,
) -> None:
    """Publishes messages: dicts, or tuples, of topic, payload, qos and retain. Returns when all are
    sent and acknowledged; MQTTException when the server refuses the connection."""
    if not isinstance(msgs, Iterable):
        raise TypeError("msgs must be a list or another iterable")
    if not msgs:
        raise ValueError("msgs must not be empty")
    waiting = [_arguments(message) for message in msgs]
    waiting.reverse()
    connect = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        userdata=waiting,
        protocol=protocol,
        transport=transport,
    )
    connect.enable_logger()
    connect.on_connect = _on_connect
    connect.on_publish = _on_publish
    set_up(connect, will, auth, tls, proxy_args)
    connect.connect(hostname, port, keepalive)
    connect.loop_forever()


def single(
    topic: str,
    payload: paho.PayloadType = None,
    qos: int = 0,
    retain: bool = False,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: MessageDict | None = None,
    auth: AuthParameter | None = None,
    tls: TLSParameter | None = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Literal["tcp", "websockets"] = "tcp",
    proxy_args: Any | None = None,
) -> None:
    """Publishes one message. See `multiple`."""
    message = {"topic": topic, "payload": payload, "qos": qos, "retain": retain}
    multiple(
        [message], hostname, port, client_id, keepalive, will, auth, tls, protocol, transport, proxy_args
    )


def set_up(
    client: paho.Client,
    will: MessageDict | None,
    auth: AuthParameter | None,
    tls: TLSParameter | None,
    proxy_args: Any | None,
) -> None:
    """Gives a client what the functions of this module and of `subscribe` take as dicts."""
    if proxy_args is not None:
        client.proxy_set(**proxy_args)
    if auth:
        username = auth.get("username")
        if not username:
            raise KeyError("auth has no username")
        client.username_pw_set(username, auth.get("password"))
    if will is not None:
        client.will_set(**will)
    if tls is not None:
        if isinstance(tls, dict):
            given = dict(tls)
            insecure = given.pop("insecure", False)
            client.tls_set(**given)
            if insecure:
                client.tls_insecure_set(insecure)
        else:
            client.tls_set_context(tls)


def _arguments(message: MessageDict | MessageTuple) -> dict[str, Any]:
    if isinstance(message, dict):
        return dict(message)
    if isinstance(message, (tuple, list)):
        return dict(zip(_NAMES, message, strict=False))
    raise TypeError("a message is a dict or a tuple")


def _on_connect(
    client: paho.Client, userdata: list[dict[str, Any]], flags: Any, reason_code: ReasonCode, properties: Properties
) -> None:
    if reason_code.is_failure:
        # What a refused client is good for is over.
        client._state = _ConnectionState.MQTT_CS_DISCONNECTED
        raise paho_error(reason_code)
    if userdata:
        _publish_next(client, userdata)


def _on_publish(
    client: paho.Client, userdata: list[dict[str, Any]], mid: int, reason_code: ReasonCode, properties: Properties
) -> None:
    if userdata:
        _publish_next(client, userdata)
    else:
        client.disconnect()


def _publish_next(client: paho.Client, waiting: list[dict[str, Any]]) -> None:
    info = client.publish(**waiting.pop())
    if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
        client.disconnect()
        raise ValueError(paho.error_string(info.rc))


def paho_error(reason_code: ReasonCode) -> Exception:
    """What these functions raise when the server refuses the connection."""
    from . import MQTTException

    return MQTTException(paho.connack_string(reason_code))
