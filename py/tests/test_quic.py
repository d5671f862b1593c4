"""QUIC in every face: our clients and our broker, and with both aioquic, which is of another make."""

import asyncio
import gc
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ternmq
import uvloop
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from peer import CONNACK, CONNECT, DISCONNECT, PUBLISH, Connection, connack, packet, publish
from ternmq import Backoff, Listener, Tls, blocking
from ternmq.broker import Disconnected

Face = Callable[..., list[tuple[int, int]]]


async def _talk(url: str, **options: Any) -> list[tuple[int, int]]:
    async with ternmq.Client(url, **options) as client:
        async with client.subscribe("t", qos=2) as subscription:
            for qos in range(3):
                # More than a datagram, a window and a read.
                await client.publish("t", bytes(300_000), qos=qos)
            got = [await subscription.get(20) for _ in range(3)]
            return [(message.qos, len(message.payload)) for message in got]


def with_asyncio(url: str, **options: Any) -> list[tuple[int, int]]:
    return asyncio.run(_talk(url, **options))


def with_uvloop(url: str, **options: Any) -> list[tuple[int, int]]:
    return uvloop.run(_talk(url, **options))


def with_threads(url: str, **options: Any) -> list[tuple[int, int]]:
    with blocking.Client(url, **options) as client:
        with client.subscribe("t", qos=2) as subscription:
            for qos in range(3):
                client.publish("t", bytes(300_000), qos=qos)
            got = [subscription.get(20) for _ in range(3)]
            return [(message.qos, len(message.payload)) for message in got]


@pytest.fixture(params=[with_asyncio, with_uvloop, with_threads])
def talk(request: pytest.FixtureRequest) -> Face:
    face: Face = request.param
    return face


@pytest.fixture
def server() -> Iterator[ternmq.Broker]:
    with ternmq.Broker(None, tls=True, listeners=[Listener("quic")]) as broker:
        yield broker


@pytest.fixture
def trusted(server: ternmq.Broker, tmp_path: Path) -> Tls:
    ca = tmp_path / "ca.pem"
    ca.write_text(server.ca)
    return Tls(ca=ca)


def test_messages_of_every_qos(talk: Face, server: ternmq.Broker, trusted: Tls) -> None:
    assert server.urls["quic"].startswith("quic://127.0.0.1:")
    expected = [(qos, 300_000) for qos in range(3)]
    assert talk(server.urls["quic"], tls=trusted) == expected
    named = server.urls["quic"].replace("127.0.0.1", "localhost").replace("quic:", "mqtt+quic:")
    assert talk(named, tls=trusted) == expected


def test_a_server_that_is_somebody_else(
    talk: Face, server: ternmq.Broker, trusted: Tls, tmp_path: Path
) -> None:
    url = server.urls["quic"]
    with pytest.raises(ternmq.ConnectError, match="unknown issuer"):
        talk(url)
    with pytest.raises(ternmq.ConnectError, match="elsewhere"):
        talk(url, tls=Tls(ca=trusted.ca, server_name="elsewhere"))
    assert talk(url, tls=Tls(verify=False))


def test_a_certificate_of_ones_own(talk: Face, tmp_path: Path) -> None:
    quic = Listener("quic", client_certificates="required", certificate_user="cn")
    with ternmq.Broker(None, tls=True, listeners=[quic]) as broker:
        names = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
        for name, text in zip(names, (broker.ca, *broker.client_certificate("sensor")), strict=True):
            name.write_text(text)
        ca, cert, key = names
        seen: list[str | None] = []

        async def look() -> None:
            async with ternmq.Client(broker.urls["quic"], tls=Tls(ca=ca, cert=cert, key=key), client_id="c"):
                seen.append(broker.clients()["c"].username)

        asyncio.run(look())
        assert seen == ["sensor"]
        assert talk(broker.urls["quic"], tls=Tls(ca=ca, cert=cert, key=key))
        with pytest.raises(ternmq.MqttError):
            talk(broker.urls["quic"], tls=Tls(ca=ca))


def test_nobody_listens(talk: Face, server: ternmq.Broker, trusted: Tls) -> None:
    url = server.urls["quic"]
    server.stop()
    with pytest.raises(ternmq.ConnectError, match="nobody listens|no answer in time"):
        talk(url, tls=trusted, connect_timeout=10)


async def test_a_server_that_goes_and_comes_back(server: ternmq.Broker, trusted: Tls) -> None:
    states: asyncio.Queue[ternmq.State] = asyncio.Queue()
    client = ternmq.Client(server.urls["quic"], tls=trusted, reconnect=Backoff(0.05, 0.2))
    client.on_state(states.put_nowait)
    async with client, client.subscribe("t", qos=1) as subscription:
        assert (await states.get()).name == "connected"
        await asyncio.to_thread(server.restart)
        lost = await asyncio.wait_for(states.get(), 20)
        assert lost.name == "lost" and lost.error is not None
        assert (await asyncio.wait_for(states.get(), 20)).name == "connected"
        await client.publish("t", b"again", qos=2)
        assert (await subscription.get(10)).payload == b"again"


async def test_the_end_of_a_server_is_an_error(server: ternmq.Broker, trusted: Tls) -> None:
    async with ternmq.Client(server.urls["quic"], tls=trusted) as client:
        async with client.subscribe("t") as subscription:
            await asyncio.to_thread(server.stop)
            with pytest.raises(ternmq.ConnectionLostError):
                await subscription.get(20)


def test_nothing_is_left(talk: Face, server: ternmq.Broker, trusted: Tls) -> None:
    talk(server.urls["quic"], tls=trusted)
    with pytest.raises(ternmq.ConnectError):
        talk(server.urls["quic"])
    # The client's thread goes once the server has the last word of the last connection.
    _until(lambda: "ternmq-quic" not in _threads(1))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        talk(server.urls["quic"], tls=trusted)
        with pytest.raises(ternmq.ConnectError):
            talk(server.urls["quic"])
    _until(lambda: "ternmq-quic" not in _threads(1))
    _until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_an_attempt_that_is_given_up_leaves_nothing(trusted: Tls) -> None:
    # Somebody who never answers.
    loop = asyncio.get_running_loop()
    silent, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    port = silent.get_extra_info("sockname")[1]
    before = len(os.listdir("/proc/self/fd"))
    client = ternmq.Client(f"quic://127.0.0.1:{port}", tls=trusted, connect_timeout=0.2)
    with pytest.raises(ternmq.ConnectTimeoutError):
        await client.connect()
    del client
    await asyncio.to_thread(_until, lambda: "ternmq-quic" not in _threads(1))
    await asyncio.to_thread(_until, lambda: len(os.listdir("/proc/self/fd")) <= before)
    silent.close()


LAST_WORDS = """
import asyncio, os, sys, ternmq
from ternmq import blocking
url, ca, face = sys.argv[1:]
options = {"tls": ternmq.Tls(ca=ca)}
async def main():
    async with ternmq.Client(url, **options) as client:
        await client.publish("last", bytes(100_000))
if face == "asyncio":
    asyncio.run(main())
else:
    with blocking.Client(url, **options) as client:
        client.publish("last", bytes(100_000))
os._exit(0)
"""


@pytest.mark.parametrize("face", ["asyncio", "threads"])
def test_a_process_that_ends_has_said_all(face: str, tmp_path: Path) -> None:
    ends: list[Disconnected] = []
    quic = [Listener("quic")]
    with ternmq.Broker(None, tls=True, listeners=quic, on_disconnect=ends.append) as broker:
        ca = tmp_path / "ca.pem"
        ca.write_text(broker.ca)
        command = [sys.executable, "-c", LAST_WORDS, broker.urls["quic"], str(ca), face]
        subprocess.run(command, check=True, timeout=60)
        assert len(broker.wait_for("last", 10).payload) == 100_000
        _until(lambda: bool(ends))
        assert (ends[0].by, ends[0].reason_code) == ("client", 0)


FORKED = """
import asyncio, os, sys, ternmq
url, ca = sys.argv[1:]
async def talk(name):
    async with ternmq.Client(url, tls=ternmq.Tls(ca=ca), client_id=name) as client:
        await client.publish(name, b"", qos=2)
async def main():
    async with ternmq.Client(url, tls=ternmq.Tls(ca=ca), client_id="first") as client:
        child = os.fork()
        if child == 0:
            asyncio.events._set_running_loop(None)
            asyncio.run(talk("child"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        await client.publish("parent", b"", qos=2)
asyncio.run(main())
"""


def test_a_child_has_connections_of_its_own(server: ternmq.Broker, trusted: Tls) -> None:
    command = [sys.executable, "-c", FORKED, server.urls["quic"], str(trusted.ca)]
    subprocess.run(command, check=True, timeout=60)
    assert [message.topic for message in server.messages] == ["child", "parent"]


def test_what_quic_does_not_have(talk: Face) -> None:
    with pytest.raises(ValueError, match="a ternmq.Tls, not an ssl.SSLContext"):
        talk("quic://127.0.0.1", tls=ssl.create_default_context())
    with pytest.raises(ValueError, match="no proxy carries QUIC"):
        talk("quic://127.0.0.1", proxy="http://127.0.0.1")
    with pytest.raises(ValueError, match="which is with TLS"):
        talk("quic://127.0.0.1", tls=False)
    with pytest.raises(ValueError, match="headers"):
        talk("quic://127.0.0.1", headers={"a": "b"})


async def test_a_client_of_another_make(server: ternmq.Broker, trusted: Tls) -> None:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["mqtt"])
    configuration.load_verify_locations(str(trusted.ca))
    port = int(server.urls["quic"].rpartition(":")[2])
    async with connect("127.0.0.1", port, configuration=configuration) as quic:
        other = Connection(*await quic.create_stream())
        hello = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + b"\x00\x05other"
        await other.send(packet(CONNECT << 4, hello))
        assert (await other.expect(CONNACK))[1] == 0
        await other.send(publish("by/aioquic", b"x"))
        await asyncio.to_thread(server.wait_for, "by/aioquic", 10)
        await other.send(packet(DISCONNECT << 4))


@pytest.fixture
async def other_server(
    server: ternmq.Broker, tmp_path: Path
) -> AsyncIterator[tuple[int, "asyncio.Queue[Connection]"]]:
    """A server by aioquic, with a certificate that the authority of ours has signed."""
    certificate = server._certificate
    assert certificate is not None
    (tmp_path / "chain.pem").write_bytes(certificate.chain)
    (tmp_path / "key.pem").write_bytes(certificate.key)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["mqtt"])
    configuration.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    came: asyncio.Queue[Connection] = asyncio.Queue()
    running = await serve(
        "127.0.0.1", 0, configuration=configuration, create_protocol=QuicConnectionProtocol,
        stream_handler=lambda reader, writer: came.put_nowait(Connection(reader, writer)),
    )
    transport: Any = running._transport
    yield transport.get_extra_info("sockname")[1], came
    running.close()


async def test_a_server_of_another_make(
    other_server: tuple[int, "asyncio.Queue[Connection]"], trusted: Tls
) -> None:
    port, came = other_server
    client = ternmq.Client(f"quic://127.0.0.1:{port}", tls=trusted)
    connecting = asyncio.create_task(client.connect())
    other = await asyncio.wait_for(came.get(), 10)
    await other.expect(CONNECT)
    await other.send(connack())
    await connecting
    await client.publish("t", b"x")
    assert (await other.expect(PUBLISH)).endswith(b"x")
    ending = asyncio.create_task(client.disconnect())
    await other.expect(DISCONNECT)
    await other.expect_end()
    await asyncio.wait_for(ending, 10)


def _threads(most: int) -> list[str]:
    """The engines of QUIC beyond the first `most`, of which the server has one."""
    engines: list[str] = []
    for task in os.listdir("/proc/self/task"):
        try:
            name = Path(f"/proc/self/task/{task}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if name == "ternmq-quic":
            engines.append(name)
    return engines[most:]


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    gc.collect()
    while not is_so():
        assert time.monotonic() < end, "it does not come about"
        os.sched_yield()
