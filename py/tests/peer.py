"""A raw server for tests: it reads and writes packets as the test tells it to."""

import asyncio
from typing import Self

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14


def packet(first: int, body: bytes = b"") -> bytes:
    """A packet with this first byte."""
    length, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(length) + body


def publish(topic: str, payload: bytes, qos: int = 0, id: int = 0, version: int = 5) -> bytes:
    body = len(topic).to_bytes(2) + topic.encode()
    if qos:
        body += id.to_bytes(2)
    return packet(PUBLISH << 4 | qos << 1, body + (b"\0" if version == 5 else b"") + payload)


def connack(session_present: bool = False, code: int = 0, version: int = 5) -> bytes:
    return packet(CONNACK << 4, bytes([session_present, code]) + (b"\0" if version == 5 else b""))


def ack(kind: int, id: int, code: int | None = None) -> bytes:
    flags = 2 if kind == PUBREL else 0
    return packet(kind << 4 | flags, id.to_bytes(2) + (b"" if code is None else bytes([code])))


class Connection:
    """A client of the peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def expect(self, kind: int) -> bytes:
        """The body of the next packet, which must be of this kind."""
        first = (await self.reader.readexactly(1))[0]
        assert first >> 4 == kind, f"packet type {first >> 4} instead of {kind}"
        length = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return await self.reader.readexactly(length)

    async def expect_end(self) -> None:
        """The client closes the connection and has sent nothing more."""
        assert await self.reader.read() == b""

    async def send(self, *packets: bytes) -> None:
        self.writer.write(b"".join(packets))
        await self.writer.drain()

    async def accept(self, session_present: bool = False, version: int = 5) -> bytes:
        """CONNECT and CONNACK; returns the body of CONNECT."""
        body = await self.expect(CONNECT)
        await self.send(connack(session_present, version=version))
        return body

    async def grant(self, *codes: int, version: int = 5) -> int:
        """SUBSCRIBE and SUBACK; returns the packet id."""
        id = int.from_bytes((await self.expect(SUBSCRIBE))[:2])
        properties = b"\0" if version == 5 else b""
        await self.send(packet(SUBACK << 4, id.to_bytes(2) + properties + bytes(codes)))
        return id

    async def let_go(self, code: int = 0) -> None:
        """UNSUBSCRIBE and UNSUBACK of MQTT 5."""
        id = (await self.expect(UNSUBSCRIBE))[:2]
        await self.send(packet(UNSUBACK << 4, id + bytes([0, code])))

    def cut(self) -> None:
        self.writer.transport.abort()


class Peer:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._clients: asyncio.Queue[Connection] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._on_client, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._all: list[Connection] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._all:
            connection.cut()

    async def client(self) -> Connection:
        """The next client that connects."""
        async with asyncio.timeout(10):
            return await self._clients.get()

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self._all.append(connection)
        self._clients.put_nowait(connection)
