"""Enhanced authentication: SCRAM as `scramp` has it, with users of our server."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ternmq
from broker import ROOT, Broker
from peer import CONNECT, Peer, connack, packet
from scramp import ScramClient, ScramException
from ternmq import blocking

METHOD = "SCRAM-SHA-256"
AUTH = 15


class Scram:
    """One user; counts what it was asked."""

    def __init__(self, password: str = "secret", user: str = "anna") -> None:
        self.user, self.password = user, password
        self.begun = self.proven = 0

    def __call__(self, data: bytes | None) -> bytes | None:
        if data is None:
            self.begun += 1
            self.client = ScramClient([METHOD], self.user, self.password)
            return str(self.client.get_client_first()).encode()
        if self.client.stage.name == "get_client_first":
            self.client.set_server_first(data.decode())
            return str(self.client.get_client_final()).encode()
        self.client.set_server_final(data.decode())
        self.proven += 1
        return None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = subprocess.run(
        [ROOT / "target/debug/ternmq", "passwd", "--iterations", "4096", "anna"],
        input="secret\n", stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    config: Path = tmp_path_factory.mktemp("users") / "ternmq.toml"
    config.write_text(made.stdout)
    broker = Broker("--config", str(config))
    yield f"mqtt://127.0.0.1:{broker.port}"
    broker.stop()


async def test_scram_and_again(server: str) -> None:
    scram = Scram()

    async def exchange(data: bytes | None) -> bytes | None:
        await asyncio.sleep(0)
        return scram(data)

    async with ternmq.Client(server, auth=ternmq.Auth(METHOD, exchange)) as client:
        await client.publish("a", b"", qos=1)
        assert (scram.begun, scram.proven) == (1, 1)
        await client.authenticate(10)
        assert (scram.begun, scram.proven) == (2, 2)
        await client.publish("a", b"", qos=1)


def test_scram_and_again_in_threads(server: str) -> None:
    scram = Scram()
    with blocking.Client(server, auth=ternmq.Auth(METHOD, scram)) as client:
        client.publish("a", b"", qos=1)
        client.authenticate(10)
        client.publish("a", b"", qos=1)
    assert (scram.begun, scram.proven) == (2, 2)


async def test_who_is_not_known_is_refused(server: str) -> None:
    for face in (ternmq.Client, blocking.Client):
        client: Any = face(server, auth=ternmq.Auth(METHOD, Scram("wrong")))
        with pytest.raises(ternmq.ConnectError) as caught:
            if face is blocking.Client:
                await asyncio.to_thread(client.connect)
            else:
                await client.connect()
        assert caught.value.reason_code == ternmq.ReasonCode.NOT_AUTHORIZED


async def impostor(peer: Peer) -> None:
    """Plays a server that knows nothing."""
    server = await peer.client()
    await server.expect(CONNECT)
    method = b"\x15" + len(METHOD).to_bytes(2) + METHOD.encode()
    nonsense = b"\x16" + (4).to_bytes(2) + b"what"
    body = bytes([0x18, len(method + nonsense)]) + method + nonsense
    await server.send(packet(AUTH << 4, body))
    await server.reader.read()


async def test_a_server_that_can_not_answer_is_left(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    for face in (ternmq.Client, blocking.Client):
        playing = asyncio.create_task(impostor(peer))
        client: Any = face(peer.url, auth=ternmq.Auth(METHOD, Scram()))
        with pytest.raises(ternmq.ConnectError, match="authentication failed") as caught:
            if face is blocking.Client:
                await asyncio.to_thread(client.connect)
            else:
                await client.connect()
        assert isinstance(caught.value.__cause__, ScramException)
        await playing
    assert any(record.exc_info for record in caplog.records)


async def test_each_connection_begins_anew(peer: Peer) -> None:
    """And the first data stands in each CONNECT."""
    counted = iter(range(100))

    def exchange(data: bytes | None) -> bytes | None:
        return b"try %d" % next(counted)

    auth = ternmq.Auth("M", exchange)
    for face in (ternmq.Client, blocking.Client):
        counted = iter(range(100))
        client: Any = face(peer.url, auth=auth, reconnect=ternmq.Backoff(0, 0))
        waits = face is ternmq.Client
        connecting = asyncio.create_task(
            client.connect() if waits else asyncio.to_thread(client.connect)
        )
        properties = b"\x15\0\1M"
        accepted = packet(2 << 4, bytes([0, 0, len(properties)]) + properties)
        for number in range(3):
            server = await peer.client()
            assert b"try %d" % number in await server.expect(CONNECT)
            await server.send(accepted)
            await connecting
            if number < 2:
                server.cut()
        await (client.disconnect() if waits else asyncio.to_thread(client.disconnect))
    assert connack()  # the peer's own words of acceptance name no method, so they would not do


async def test_what_is_missing_is_said(peer: Peer) -> None:
    with pytest.raises(TypeError):
        ternmq.Auth(1, lambda data: data)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ternmq.Auth("M", b"")  # type: ignore[arg-type]
    client = ternmq.Client(peer.url)
    connecting = asyncio.create_task(client.connect())
    await (await peer.client()).accept()
    await connecting
    with pytest.raises(ValueError, match="auth"):
        await client.authenticate()
    await client.disconnect()
