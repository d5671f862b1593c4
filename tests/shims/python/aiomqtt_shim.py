"""The shim of aiomqtt, a client of another make; tests/shims/README.md describes the lines."""

import asyncio

import aiomqtt
from line import Line, answer
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho_fields import options, properties, property_fields
from player import Player, play

VERSIONS = {
    3: aiomqtt.ProtocolVersion.V31,
    4: aiomqtt.ProtocolVersion.V311,
    5: aiomqtt.ProtocolVersion.V5,
}


class Shim(Player):
    ERRORS = (aiomqtt.MqttError, ValueError)

    def __init__(self) -> None:
        self.client: aiomqtt.Client | None = None
        self.version = 4
        self.reader: asyncio.Task[None] | None = None
        self.inbox: asyncio.Queue[aiomqtt.Message] = asyncio.Queue(1000)
        self.lost: asyncio.Queue[int] = asyncio.Queue(10)
        self.sent: list[asyncio.Task[None]] = []

    def refusal(self, error: Exception) -> int | None:
        return code_of(error) if isinstance(error, aiomqtt.MqttCodeError) else None

    async def do_connects(self, line: Line) -> str:
        self.version = line.number("version")
        clean = line.number("clean_start", 1) == 1
        client = aiomqtt.Client(
            line.text("host"),
            line.number("port"),
            protocol=VERSIONS[self.version],
            identifier=line.text("client_id", ""),
            username=line.text("username"),
            password=line.text("password"),
            keepalive=line.number("keep_alive", 60),
            will=self.will(line),
            clean_session=None if self.version == 5 else clean,
            clean_start=clean if self.version == 5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=self.properties(line, PacketTypes.CONNECT),
        )
        await client.__aenter__()
        self.client = client
        self.reader = asyncio.create_task(self.read())
        return "ok"

    async def do_subscribes(self, line: Line) -> str:
        filters = [
            (f["filter"], options(f) if self.version == 5 else f["qos"]) for f in line.filters()
        ]
        asked = self.properties(line, PacketTypes.SUBSCRIBE)
        codes = await self.client.subscribe(filters, properties=asked)
        return answer("ok", *(("code", getattr(code, "value", code)) for code in codes))

    async def do_unsubscribes(self, line: Line) -> str:
        await self.client.unsubscribe([f["filter"] for f in line.filters()])
        return "ok"

    async def do_publishes(self, line: Line) -> str:
        await self.publish(line)
        return "ok"

    async def do_sends(self, line: Line) -> str:
        self.sent.append(asyncio.create_task(self.publish(line)))
        return "ok"

    async def do_settles(self, line: Line) -> str:
        await asyncio.gather(*self.sent)
        self.sent.clear()
        return "ok"

    async def do_receives(self, line: Line) -> str:
        message = await self.inbox.get()
        fields = [
            ("topic", message.topic.value),
            ("payload", message.payload),
            ("qos", message.qos),
            ("retain", int(message.retain)),
        ]
        if self.version == 5:
            fields += property_fields(message.properties)
        return answer("ok", *fields)

    async def do_loses(self, line: Line) -> str:
        return answer("ok", ("reason", await self.lost.get()))

    async def do_disconnects(self, line: Line) -> str:
        self.reader.cancel()
        await self.client.__aexit__(None, None, None)
        return "ok"

    async def publish(self, line: Line) -> None:
        asked = self.properties(line, PacketTypes.PUBLISH)
        await self.client.publish(*line.message(), properties=asked)

    async def read(self) -> None:
        try:
            async for message in self.client.messages:
                await self.inbox.put(message)
        except aiomqtt.MqttError as error:
            await self.lost.put(code_of(error.__cause__))

    def will(self, line: Line) -> aiomqtt.Will | None:
        topic = line.text("will_topic")
        if topic is None:
            return None
        return aiomqtt.Will(
            topic,
            line.raw("will_payload"),
            line.number("will_qos"),
            line.number("will_retain") == 1,
            properties(line, PacketTypes.WILLMESSAGE, "will.") if self.version == 5 else None,
        )

    def properties(self, line: Line, packet: int) -> Properties | None:
        return properties(line, packet) if self.version == 5 else None


def code_of(error: BaseException | None) -> int:
    """The number of a failure: a reason code of MQTT, or one of paho's own errors."""
    code = getattr(error, "rc", 0)
    return getattr(code, "value", code) or 0


play(Shim)
