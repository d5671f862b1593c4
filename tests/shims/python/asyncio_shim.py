"""The shim of the asyncio face, ternmq.Client; tests/shims/README.md describes the lines."""

import asyncio
import sys

import ternmq
from line import Line, answer
from package import message_fields, message_properties, will

# Seconds: shorter than the runner's patience, so that the shim can still say what did not come.
PATIENCE = 10


class Shim:
    def __init__(self) -> None:
        self.client: ternmq.Client | None = None
        self.version = 5
        self.subscriptions: dict[tuple[str, ...], ternmq.Subscription] = {}
        self.readers: dict[tuple[str, ...], asyncio.Task[None]] = {}
        self.inbox: asyncio.Queue[ternmq.Message] = asyncio.Queue(1000)
        self.connected: asyncio.Queue[ternmq.State] = asyncio.Queue(10)
        self.lost: asyncio.Queue[ternmq.State] = asyncio.Queue(10)
        self.sent: list[asyncio.Future[ternmq.PublishResult]] = []

    async def act(self, line: Line) -> str:
        step = getattr(self, f"do_{line.verb}", None)
        if step is None:
            return answer("failed", ("what", f"unknown verb {line.verb}"))
        try:
            async with asyncio.timeout(PATIENCE):
                return await step(line)
        except TimeoutError:
            return "nothing"
        except (ternmq.MqttError, ValueError) as error:
            code = getattr(error, "reason_code", None)
            if code is not None and not isinstance(error, ternmq.ConnectionLostError):
                return answer("refused", ("reason", self.on_the_wire(code)))
            return answer("failed", ("what", repr(error)))

    def on_the_wire(self, code: int) -> int:
        """The number that CONNACK had: the client gives the codes of MQTT 5 for all versions."""
        old = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}
        return int(code) if self.version == 5 else old.get(code, int(code))

    async def do_connects(self, line: Line) -> str:
        self.version = line.number("version")
        properties = {
            name: line.number(name)
            for name in ("receive_maximum", "topic_alias_maximum", "maximum_packet_size")
            if line.raw(name) is not None
        }
        clean_start = line.number("clean_start", 1) == 1
        self.client = ternmq.Client(
            f"mqtt://{line.text('host')}:{line.text('port')}",
            client_id=line.text("client_id", ""),
            version=line.number("version"),
            clean_start=clean_start,
            session_expiry=line.number("session_expiry"),
            username=line.text("username"),
            password=line.raw("password"),
            keepalive=line.number("keep_alive", 60),
            will=will(line),
            properties=properties or None,
            # Who keeps a session wants to go on with it.
            reconnect=None if clean_start else ternmq.Backoff(0.01, 0.1),
        )
        self.client.on_state(self.note)
        await self.client.connect()
        return await self.do_reconnects(line)

    async def do_reconnects(self, line: Line) -> str:
        state = await self.connected.get()
        return answer("ok", ("session_present", int(state.session_present)))

    async def do_subscribes(self, line: Line) -> str:
        filters = line.filters()
        first = filters[0]
        subscription = await self.client.subscribe(
            [(f["filter"], f["qos"]) for f in filters],
            no_local=first.get("no_local") == 1,
            retain_as_published=first.get("retain_as_published") == 1,
            retain_handling=first.get("retain_handling", 0),
            identifier=first.get("subscription_id"),
        )
        names = tuple(f["filter"] for f in filters)
        if names in self.readers:
            # Every subscription has a queue of its own, and gets what matches: read one of them.
            self.readers[names].cancel()
        self.subscriptions[names] = subscription
        self.readers[names] = asyncio.create_task(self.read(subscription))
        return answer("ok", *(("code", int(code)) for code in subscription.codes))

    async def do_unsubscribes(self, line: Line) -> str:
        filters = tuple(f["filter"] for f in line.filters())
        own = self.subscriptions.pop(filters, None)
        codes = await (self.client.unsubscribe(filters) if own is None else own.unsubscribe())
        return answer("ok", *(("code", int(code)) for code in codes))

    async def do_publishes(self, line: Line) -> str:
        result = await self.client.publish(
            *line.message(), **message_properties(line), timeout=PATIENCE
        )
        return answer("ok", ("reason", int(result.reason_code)))

    async def do_sends(self, line: Line) -> str:
        future = self.client.publish_nowait(*line.message(), **message_properties(line))
        self.sent.append(future)
        return "ok"

    async def do_settles(self, line: Line) -> str:
        await asyncio.gather(*self.sent)
        self.sent.clear()
        return "ok"

    async def do_receives(self, line: Line) -> str:
        return answer("ok", *message_fields(await self.inbox.get()))

    async def do_loses(self, line: Line) -> str:
        state = await self.lost.get()
        return answer("ok", ("reason", int(state.error.reason_code or 0)))

    async def do_disconnects(self, line: Line) -> str:
        await self.client.drain()
        await self.client.disconnect(line.number("reason"))
        return "ok"

    async def read(self, subscription: ternmq.Subscription) -> None:
        try:
            async for message in subscription:
                await self.inbox.put(message)
        except ternmq.MqttError:
            pass  # `loses` tells

    def note(self, state: ternmq.State) -> None:
        (self.connected if state.name == "connected" else self.lost).put_nowait(state)


async def main() -> None:
    loop = asyncio.get_running_loop()
    story = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(story), sys.stdin)
    shim = Shim()
    while text := await story.readline():
        print(await shim.act(Line(text.decode())), flush=True)
    if shim.client is not None:
        await shim.client.disconnect()


asyncio.run(main())
