"""The shim of gmqtt, a client of another make; tests/shims/README.md describes the lines."""

import asyncio
import logging

import gmqtt
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.storage import PersistentStorage
from line import Line, answer
from player import Player, play

# What stories call a property, gmqtt's name for it, and how its value is read.
PROPERTIES = {
    "payload_format": ("payload_format_id", lambda v: int(v, 0)),
    "message_expiry": ("message_expiry_interval", lambda v: int(v, 0)),
    "content_type": ("content_type", bytes.decode),
    "response_topic": ("response_topic", bytes.decode),
    "correlation": ("correlation_data", bytes),
    "subscription_id": ("subscription_identifier", lambda v: int(v, 0)),
    "session_expiry": ("session_expiry_interval", lambda v: int(v, 0)),
    "assigned_client_id": ("assigned_client_identifier", bytes.decode),
    "receive_maximum": ("receive_maximum", lambda v: int(v, 0)),
    "topic_alias": ("topic_alias", lambda v: int(v, 0)),
    "will_delay": ("will_delay_interval", lambda v: int(v, 0)),
}


class Shim(Player):
    ERRORS = (MQTTConnectError, OSError, ValueError)

    def __init__(self) -> None:
        self.client: gmqtt.Client | None = None
        # Its queue of what is not acknowledged: gmqtt has no completion of a single publish.
        self.unacknowledged = PersistentStorage()
        self.connected: asyncio.Queue = asyncio.Queue(10)
        self.answers: asyncio.Queue = asyncio.Queue(10)
        self.lost: asyncio.Queue = asyncio.Queue(10)
        self.inbox: asyncio.Queue = asyncio.Queue(1000)

    def refusal(self, error: Exception) -> int | None:
        return error._code if isinstance(error, MQTTConnectError) else None

    async def do_connects(self, line: Line) -> str:
        will = None
        if line.raw("will_topic") is not None:
            will = gmqtt.Message(
                line.text("will_topic"),
                line.raw("will_payload"),
                line.number("will_qos"),
                line.number("will_retain") == 1,
                **properties(line, "will."),
            )
        self.client = client = gmqtt.Client(
            line.text("client_id", ""),
            clean_session=line.number("clean_start", 1) == 1,
            will_message=will,
            persistent_storage=self.unacknowledged,
            **properties(line),
        )
        # -1 is for ever, and 0 is once: less than either is never.
        client.set_config({"reconnect_retries": -2})
        client.on_connect = lambda c, flags, code, p: self.connected.put_nowait((flags, p))
        client.on_message = lambda c, *message: self.inbox.put_nowait(message) or 0
        client.on_disconnect = lambda c, packet, *rest: self.lost.put_nowait(packet)
        client.on_subscribe = lambda c, mid, codes, p: self.answers.put_nowait(codes)
        client.on_unsubscribe = lambda c, mid, codes: self.answers.put_nowait(codes)
        if line.raw("username") is not None:
            client.set_auth_credentials(line.text("username"), line.text("password"))
        await client.connect(
            line.text("host"),
            line.number("port"),
            keepalive=line.number("keep_alive", 60),
            version=line.number("version"),
        )
        flags, received = await self.connected.get()
        return answer("ok", ("session_present", flags & 1), *property_fields(received))

    async def do_subscribes(self, line: Line) -> str:
        subscriptions = [
            gmqtt.Subscription(
                f["filter"],
                f["qos"],
                f.get("no_local") == 1,
                f.get("retain_as_published") == 1,
                f.get("retain_handling", 0),
            )
            for f in line.filters()
        ]
        self.client.subscribe(subscriptions, **properties(line))
        return answer("ok", *(("code", code) for code in await self.answers.get()))

    async def do_unsubscribes(self, line: Line) -> str:
        self.client.unsubscribe([f["filter"] for f in line.filters()])
        return answer("ok", *(("code", code) for code in await self.answers.get()))

    async def do_publishes(self, line: Line) -> str:
        self.client.publish(*line.message(), **properties(line))
        await self.unacknowledged.wait_empty()
        return "ok"

    async def do_sends(self, line: Line) -> str:
        self.client.publish(*line.message(), **properties(line))
        return "ok"

    async def do_settles(self, line: Line) -> str:
        await self.unacknowledged.wait_empty()
        return "ok"

    async def do_receives(self, line: Line) -> str:
        topic, payload, qos, received = await self.inbox.get()
        return answer(
            "ok",
            ("topic", topic),
            ("payload", bytes(payload)),
            ("qos", qos),
            ("retain", received["retain"]),
            ("dup", received["dup"]),
            *property_fields(received),
        )

    async def do_loses(self, line: Line) -> str:
        packet = await self.lost.get()
        return answer("ok", ("reason", packet[0] if packet else 0))

    async def do_disconnects(self, line: Line) -> str:
        await self.client.disconnect(line.number("reason"), **properties(line))
        return "ok"


def properties(line: Line, prefix: str = "") -> dict[str, object]:
    """The properties of a line as keyword arguments; before MQTT 5 gmqtt leaves them out."""
    found: dict[str, object] = {}
    for name, value in line.fields:
        attribute, read = PROPERTIES.get(name.removeprefix(prefix), (None, None))
        if attribute is not None and name.startswith(prefix):
            found[attribute] = read(value)
    if pairs := line.pairs(prefix + "user"):
        found["user_property"] = pairs
    return found


def property_fields(found: dict) -> list[tuple[str, object]]:
    """Properties that came, as the fields of an answer; each is a list, except those asked for."""
    fields: list[tuple[str, object]] = []
    for name, (attribute, _) in PROPERTIES.items():
        values = found.get(attribute, [])
        fields += [(name, one) for one in (values if isinstance(values, list) else [values])]
    return fields + [("user", f"{k}:{v}") for k, v in found.get("user_property", [])]


logging.disable()
play(Shim)
