"""Compressed WebSockets (permessage-deflate): our clients and broker, and with each the package `websockets`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import ternmq
from peer import (
    CONNACK, CONNECT, DISCONNECT, PINGREQ, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, Connection, ack, connack,
    packet, publish,
)
from ternmq import Compression, Listener, blocking
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory,
)
from websockets.typing import Subprotocol

PAYLOAD = b"a reading of 20.5 degrees;" * 1000
Talk = Callable[..., Awaitable[None]]


class Web(Connection):
    """MQTT above a WebSocket of `websockets`, of which each packet is a message."""

    def __init__(self, socket: ClientConnection | ServerConnection) -> None:
        self.socket = socket
        self.reader = asyncio.StreamReader()
        self.feeding = asyncio.create_task(self._feed())

    async def _feed(self) -> None:
        async for message in self.socket:
            assert isinstance(message, bytes)
            self.reader.feed_data(message)
        self.reader.feed_eof()

    async def send(self, *packets: bytes) -> None:
        await self.socket.send(b"".join(packets))


class Counter:
    """A way to a port, which counts the bytes in each direction."""

    def __init__(self, port: int) -> None:
        self._to, self.bytes = port, [0, 0]

    async def __aenter__(self) -> "Counter":
        self._server = await asyncio.start_server(self._on_client, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(
            self._carry(reader, far_writer, 0), self._carry(far_reader, writer, 1), return_exceptions=True
        )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: int
    ) -> None:
        while data := await reader.read(65_536):
            self.bytes[way] += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()


def is_compressed(socket: ClientConnection | ServerConnection) -> bool:
    return any(extension.name == "permessage-deflate" for extension in socket.protocol.extensions)


def broker_of(compression: Compression | bool) -> ternmq.Broker:
    return ternmq.Broker(None, listeners=[Listener("ws", compression=compression)])


async def in_asyncio(url: str, compression: Compression | bool) -> None:
    async with ternmq.Client(url, compression=compression) as client:
        async with client.subscribe("t", qos=1) as subscription:
            for _ in range(3):
                await client.publish("t", PAYLOAD, qos=2)
                assert (await subscription.get(10)).payload == PAYLOAD


def _in_threads(url: str, compression: Compression | bool) -> None:
    with blocking.Client(url, compression=compression) as client:
        with client.subscribe("t", qos=1) as subscription:
            for _ in range(3):
                client.publish("t", PAYLOAD, qos=2)
                assert subscription.get(10).payload == PAYLOAD


async def in_threads(url: str, compression: Compression | bool) -> None:
    await asyncio.to_thread(_in_threads, url, compression)


@pytest.fixture(params=[in_asyncio, in_threads])
def talk(request: pytest.FixtureRequest) -> Talk:
    face: Talk = request.param
    return face


@pytest.mark.parametrize("client, server, compressed", [
    (True, True, True),
    (Compression(context=True), Compression(context=True, window_bits=9), True),
    (Compression(min_bytes=100_000), Compression(min_bytes=100_000), False),
    (True, False, False),
    (False, True, False),
])
async def test_both_sides_have_to_want_it(
    talk: Talk, client: Compression | bool, server: Compression | bool, compressed: bool
) -> None:
    with broker_of(server) as broker:
        async with Counter(broker.port) as counter:
            await talk(f"ws://127.0.0.1:{counter.port}/mqtt", client)
    for there in counter.bytes:
        assert (there < len(PAYLOAD)) == compressed, counter.bytes


async def test_tls_below_it_by_a_context(talk: Talk) -> None:
    ours = [Listener("wss", name="compressed", compression=True)]
    with ternmq.Broker(None, tls=True, listeners=ours) as broker:
        context = broker.client_context()
        port = int(broker.urls["compressed"].removesuffix("/mqtt").rpartition(":")[2])
        async with Counter(port) as counter:
            url = f"wss://127.0.0.1:{counter.port}/mqtt"
            if talk is in_asyncio:
                async with ternmq.Client(url, compression=True, tls=context) as client:
                    await client.publish("t", PAYLOAD, qos=1)
            else:
                await asyncio.to_thread(_publish, url, context)
    assert broker.messages[0].payload == PAYLOAD
    assert counter.bytes[0] < len(PAYLOAD) / 2


def _publish(url: str, context: Any) -> None:
    with blocking.Client(url, compression=True, tls=context) as client:
        client.publish("t", PAYLOAD, qos=1)


@pytest.mark.parametrize("ours", [
    True, Compression(context=True), Compression(window_bits=9, min_bytes=0), False,
])
@pytest.mark.parametrize("theirs", [
    ClientPerMessageDeflateFactory(client_max_window_bits=True),
    ClientPerMessageDeflateFactory(
        server_no_context_takeover=True, client_no_context_takeover=True, server_max_window_bits=9,
        client_max_window_bits=9,
    ),
])
async def test_a_client_by_websockets(
    ours: Compression | bool, theirs: ClientPerMessageDeflateFactory
) -> None:
    with broker_of(ours) as broker:
        async with Counter(broker.port) as counter:
            async with connect(
                f"ws://127.0.0.1:{counter.port}/mqtt", subprotocols=[Subprotocol("mqtt")],
                extensions=[theirs], compression=None,
            ) as socket:
                assert socket.subprotocol == "mqtt"
                assert is_compressed(socket) == bool(ours)
                other = Web(socket)
                await other.send(packet(CONNECT << 4, b"\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05other"))
                assert (await other.expect(CONNACK))[1] == 0
                await other.send(packet(SUBSCRIBE << 4 | 2, b"\x00\x01\x00\x00\x01t\x01"))
                await other.expect(SUBACK)
                for id in range(2, 5):
                    await other.send(publish("t", PAYLOAD, 1, id))
                    # In which order these two come is the broker's to say.
                    got = await either(other)
                    assert got.endswith(PAYLOAD)
                await other.send(packet(DISCONNECT << 4))
        assert [message.payload for message in broker.messages] == [PAYLOAD] * 3
    for there in counter.bytes:
        assert (there < len(PAYLOAD)) == bool(ours), counter.bytes


async def either(other: Connection) -> bytes:
    """PUBACK of ours and the PUBLISH to us, which is acknowledged, in any order; the body of the latter."""
    body = b""
    for _ in range(2):
        first = (await other.reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await other.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        content = await other.reader.readexactly(length)
        if first >> 4 == PUBLISH:
            body = content
            await other.send(ack(PUBACK, int.from_bytes(content[3:5])))
        else:
            assert first >> 4 == PUBACK
    return body


Server = tuple[int, "asyncio.Queue[Web]"]


@pytest.fixture(params=[False, True], ids=["context", "no context"])
async def other_server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A server by `websockets`, whose clients wait in a queue."""
    came: asyncio.Queue[Web] = asyncio.Queue()

    async def handler(socket: ServerConnection) -> None:
        other = Web(socket)
        came.put_nowait(other)
        await other.feeding

    none = request.param
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=none, client_no_context_takeover=none
    )
    async with serve(
        handler, "127.0.0.1", 0, subprotocols=[Subprotocol("mqtt")], extensions=[factory], compression=None
    ) as server:
        yield next(iter(server.sockets)).getsockname()[1], came


@pytest.mark.parametrize("compression", [True, Compression(context=True), False])
async def test_a_server_by_websockets(
    other_server: Server, compression: Compression | bool
) -> None:
    port, came = other_server
    async with Counter(port) as counter:
        client = ternmq.Client(f"ws://127.0.0.1:{counter.port}/mqtt", compression=compression)
        connecting = asyncio.create_task(client.connect())
        other = await asyncio.wait_for(came.get(), 10)
        assert is_compressed(other.socket) == bool(compression)
        await other.expect(CONNECT)
        await other.send(connack())
        await connecting
        entering = asyncio.ensure_future(client.subscribe("t").__aenter__())
        await other.grant(0)
        subscription = await entering
        for _ in range(3):
            await client.publish("t", PAYLOAD)
            assert (await other.expect(PUBLISH)).endswith(PAYLOAD)
            await other.send(publish("t", PAYLOAD))
            assert (await subscription.get(10)).payload == PAYLOAD
        await client.disconnect()
        await other.expect(DISCONNECT)
    for there in counter.bytes:
        assert (there < len(PAYLOAD)) == bool(compression), counter.bytes


async def test_a_message_that_holds_too_much_ends_the_connection(other_server: Server) -> None:
    port, came = other_server
    client = ternmq.Client(f"ws://127.0.0.1:{port}/mqtt", compression=True, max_packet_size=65_536)
    connecting = asyncio.create_task(client.connect())
    other = await asyncio.wait_for(came.get(), 10)
    await other.expect(CONNECT)
    await other.send(connack())
    await connecting
    entering = asyncio.ensure_future(client.subscribe("t").__aenter__())
    await other.grant(0)
    subscription = await entering
    await other.send(packet(PINGREQ << 4) * 500_000)
    with pytest.raises(ternmq.ConnectionLostError):
        await subscription.get(10)
    await client.disconnect()


def test_only_websockets_have_it(talk: Talk) -> None:
    with pytest.raises(ValueError, match="compression: only WebSockets have it"):
        asyncio.run(_awaited(talk("mqtt://127.0.0.1", True)))
    with pytest.raises(TypeError, match="compression is bool or a ternmq.Compression, not int"):
        asyncio.run(_awaited(talk("ws://127.0.0.1", 15)))


async def _awaited(it: Awaitable[None]) -> None:
    await it
