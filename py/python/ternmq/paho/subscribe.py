"""Receiving without a client of one's own: connects, subscribes, disconnects."""

from collections.abc import Callable
from typing import Any, Literal

from . import client as paho
from .enums import CallbackAPIVersion, MQTTProtocolVersion, _ConnectionState
from .properties import Properties
from .publish import paho_error, set_up
from .reasoncodes import ReasonCode


def callback(
    callback: Callable[..., Any],
    topics: str | list[str],
    qos: int = 0,
    userdata: Any = None,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    tls: Any = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Literal["tcp", "websockets"] = "tcp",
    clean_session: bool = True,
    proxy_args: dict[str, Any] | None = None,
) -> None:
    """Subscribes, and calls `callback(client, userdata, message)` for each message, until that
    disconnects. MQTTException when the server refuses the connection."""
    if qos < 0 or qos > 2:
        raise ValueError("qos must be 0, 1 or 2")
    state = {
        "callback": callback,
        "topics": [topics] if isinstance(topics, str) else topics,
        "qos": qos,
        "userdata": userdata,
    }
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if protocol == paho.MQTTv5 else clean_session,
        userdata=state,
        protocol=protocol,
        transport=transport,
    )
    client.enable_logger()
    client.on_message = _on_message_callback
    client.on_connect = _on_connect
    set_up(client, will, auth, tls, proxy_args)
    client.connect(hostname, port, keepalive)
    client.loop_forever()


def simple(
    topics: str | list[str],
    qos: int = 0,
    msg_count: int = 1,
    retained: bool = True,
    hostname: str = "localhost",
    port: int = 1883,
    client_id: str = "",
    keepalive: int = 60,
    will: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    tls: Any = None,
    protocol: MQTTProtocolVersion = paho.MQTTv311,
    transport: Literal["tcp", "websockets"] = "tcp",
    clean_session: bool = True,
    proxy_args: dict[str, Any] | None = None,
) -> paho.MQTTMessage | list[paho.MQTTMessage]:
    """Waits for `msg_count` messages and returns them as a list, or one message for a count of 1.
    Retained messages don't count unless `retained` is set."""
    if msg_count < 1:
        raise ValueError("msg_count must be greater than 0")
    state: dict[str, Any] = {"retained": retained, "count": msg_count, "messages": []}
    callback(
        _on_message_simple, topics, qos, state, hostname, port, client_id, keepalive, will, auth, tls,
        protocol, transport, clean_session, proxy_args,
    )  # fmt: skip
    found: list[paho.MQTTMessage] = state["messages"]
    return found[0] if msg_count == 1 else found


def _on_connect(
    client: paho.Client, userdata: dict[str, Any], flags: Any, reason_code: ReasonCode, properties: Properties
) -> None:
    if reason_code.is_failure:
        client._state = _ConnectionState.MQTT_CS_DISCONNECTED
        raise paho_error(reason_code)
    for topic in userdata["topics"]:
        client.subscribe(topic, userdata["qos"])


def _on_message_callback(client: paho.Client, userdata: dict[str, Any], message: paho.MQTTMessage) -> None:
    userdata["callback"](client, userdata["userdata"], message)


def _on_message_simple(client: paho.Client, userdata: dict[str, Any], message: paho.MQTTMessage) -> None:
    if message.retain and not userdata["retained"]:
        return
    if len(userdata["messages"]) < userdata["count"]:
        userdata["messages"].append(message)
    if len(userdata["messages"]) == userdata["count"]:
        client.disconnect()
