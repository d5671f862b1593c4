"""What is published goes into a file first, and survives the process."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import ternmq
from peer import CONNECT, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Peer, ack
from ternmq import blocking

KEEP = {"client_id": "o", "clean_start": False, "session_expiry": 600}
PROGRAM = """
import asyncio, sys, ternmq
from ternmq import blocking
url, file, face, count = sys.argv[1:]
options = dict(client_id="o", clean_start=False, session_expiry=600, outbox_file=file, inflight=5,
               reconnect=ternmq.Backoff(0.01, 0.01, first_connect=True), timeout=None)

async def publish():
    client = ternmq.Client(url, **options)
    client.open()
    for n in range(int(count)):
        await client.publish("o/%d" % (n % 3), str(n), qos=1 + n % 2)
        print(n, flush=True)
    await asyncio.Event().wait()

def publish_in_threads():
    client = blocking.Client(url, **options)
    client.open()
    for n in range(int(count)):
        client.publish("o/%d" % (n % 3), str(n), qos=1 + n % 2)
        print(n, flush=True)
    client.closed(60)

asyncio.run(publish()) if face == "asyncio" else publish_in_threads()
"""


def killed(
    url: str, file: Path, face: str, count: int, when: threading.Event | None = None
) -> None:
    """Publishes in a process, and kills that, as soon as all is in the file or at a given time."""
    command = [sys.executable, "-c", PROGRAM, url, str(file), face, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for n in range(count):
            assert process.stdout.readline() == f"{n}\n"
        if when is not None:
            assert when.wait(20)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
async def test_nothing_is_lost_when_the_process_is_killed(tmp_path: Path, face: str) -> None:
    file = tmp_path / "outbox"
    with ternmq.Broker() as nobody:
        port = nobody.url.rpartition(":")[2]
    # Nobody listens there: all of it is in the file alone.
    killed(f"mqtt://127.0.0.1:{port}", file, face, 300)
    with ternmq.Broker() as broker:
        async with ternmq.Client(broker.url) as reader, reader.subscribe("o/#", 2) as inbox:
            if face == "asyncio":
                async with ternmq.Client(broker.url, outbox_file=file, **KEEP) as client:  # type: ignore[arg-type]
                    await client.publish("o/0", "300", 1)
            else:
                with blocking.Client(broker.url, outbox_file=file, **KEEP) as other:  # type: ignore[arg-type]
                    other.publish("o/0", "300", 1)
                    got = [await inbox.get(10) for _ in range(300)]
            if face == "asyncio":
                got = [await inbox.get(10) for _ in range(300)]
            assert [int(m.payload) for m in got] == list(range(300))
            assert (await inbox.get(10)).payload == b"300"
    assert file.stat().st_size < 1 << 20
    with ternmq.Broker() as broker, blocking.Client(broker.url, outbox_file=file) as other:
        assert other.stats["messages_sent"] == 0


async def test_packet_ids_and_steps_are_kept(peer: Peer, tmp_path: Path) -> None:
    """A message of QoS 2 goes on where it was when its process died [MQTT-4.4.0-1]."""
    file = tmp_path / "outbox"
    dies = threading.Event()
    playing = asyncio.create_task(asyncio.to_thread(killed, peer.url, file, "asyncio", 4, dies))
    server = await peer.client()
    await server.accept()
    ids = [int.from_bytes((await server.expect(PUBLISH))[5:7]) for _ in range(4)]
    # 0 (QoS 1) is done, of 1 (QoS 2) only the end is missing, 2 and 3 have no answer.
    await server.send(ack(PUBACK, ids[0]), ack(PUBREC, ids[1]))
    assert int.from_bytes(await server.expect(PUBREL)) == ids[1]
    dies.set()
    await playing
    client = ternmq.Client(peer.url, outbox_file=file, **KEEP)  # type: ignore[arg-type]
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept(session_present=True)
    await connecting
    assert int.from_bytes(await server.expect(PUBREL)) == ids[1]
    again = [int.from_bytes((await server.expect(PUBLISH))[5:7]) for _ in range(2)]
    assert again == ids[2:]
    await server.send(ack(PUBCOMP, ids[1]), ack(PUBACK, ids[2]), ack(PUBREC, ids[3]))
    assert int.from_bytes(await server.expect(PUBREL)) == ids[3]
    draining = asyncio.create_task(client.drain())
    await server.send(ack(PUBCOMP, ids[3]))
    await draining
    leaving = asyncio.create_task(client.disconnect())
    await server.expect(DISCONNECT)
    await leaving
    assert CONNECT == 1


async def test_a_file_has_one_client_and_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "outbox"
    first = ternmq.Client("mqtt://127.0.0.1:1", outbox_file=file, outbox=3, inflight=1,
                          reconnect=ternmq.Backoff(10, 10, first_connect=True))
    for face in (ternmq.Client, blocking.Client):
        with pytest.raises(OSError, match="another client"):
            second = face("mqtt://127.0.0.1:1", outbox_file=str(file))
            second.connect()
    first.open()
    for _ in range(3):
        await first.publish("a", b"", 1)
    with pytest.raises(ternmq.MqttTimeoutError):
        await first.publish("a", b"", 1, timeout=0.05)
    with pytest.raises(ternmq.QueueFullError):
        first.publish_nowait("a", b"", 1)
    await first.disconnect()
    del first
    with pytest.raises(OSError):
        ternmq.Client("mqtt://h", outbox_file=tmp_path)
    file.write_bytes(b"this is something else")
    with pytest.raises(OSError, match="no outbox"):
        ternmq.Client("mqtt://h", outbox_file=file)
    assert os.path.exists(file)


async def test_what_the_server_refuses_is_logged(
    peer: Peer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = ternmq.Client(peer.url, outbox_file=tmp_path / "outbox")
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    result = await client.publish("a", b"", 1)
    assert result.reason_code == 0
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])
    await server.send(ack(PUBACK, id, 0x87))
    await client.drain()
    assert "NOT_AUTHORIZED" in caplog.text
    await client.disconnect()


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
async def test_leaving_waits_for_what_an_earlier_process_has_left(
    peer: Peer, tmp_path: Path, face: str
) -> None:
    file = tmp_path / "outbox"
    with ternmq.Broker() as nobody:
        url = nobody.url
    await asyncio.to_thread(killed, url, file, face, 2)
    options: dict[str, Any] = {"outbox_file": file, "inflight": 1, **KEEP}

    async def leave(timeout: float | None) -> None:
        async with ternmq.Client(peer.url, timeout=timeout, **options):
            pass

    def leave_in_threads(timeout: float | None) -> None:
        with blocking.Client(peer.url, timeout=timeout, **options):
            pass

    def begin(timeout: float | None) -> asyncio.Task[None]:
        if face == "asyncio":
            return asyncio.create_task(leave(timeout))
        return asyncio.create_task(asyncio.to_thread(leave_in_threads, timeout))

    # Without an answer it waits for as long as it may.
    leaving = begin(0.05)
    server = await peer.client()
    await server.accept()
    await server.expect(PUBLISH)
    await server.expect(DISCONNECT)
    server.cut()
    with pytest.raises(ternmq.MqttTimeoutError):
        await leaving

    leaving = begin(None)
    server = await peer.client()
    await server.accept(session_present=True)
    # The second one is not sent before the first has its answer.
    first = await server.expect(PUBLISH)
    await server.send(ack(PUBACK, int.from_bytes(first[5:7])))
    second = int.from_bytes((await server.expect(PUBLISH))[5:7])
    await server.send(ack(PUBREC, second))
    await server.expect(PUBREL)
    await server.send(ack(PUBCOMP, second))
    await server.expect(DISCONNECT)
    server.cut()
    await leaving


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
async def test_publishing_waits_for_room_in_the_file_and_not_for_an_answer(
    peer: Peer, tmp_path: Path, face: str
) -> None:
    options: dict[str, Any] = {"outbox_file": tmp_path / "outbox", "outbox": 1, "inflight": 1, "timeout": 10}
    client: Any = {"asyncio": ternmq.Client, "blocking": blocking.Client}[face](peer.url, **options, **KEEP)

    def call(name: str, *arguments: Any) -> "asyncio.Task[Any]":
        def in_thread() -> Any:
            loop.call_soon_threadsafe(begun.set)
            return getattr(client, name)(*arguments)

        async def wait() -> Any:
            if face == "blocking":
                return await asyncio.to_thread(in_thread)
            begun.set()
            return await getattr(client, name)(*arguments)

        begun.clear()
        return asyncio.create_task(wait())

    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    client.open()
    server = await peer.client()
    await call("publish", "a", b"1", 1)
    with pytest.raises(ternmq.QueueFullError):
        client.publish_nowait("a", b"2", 1)
    second = call("publish", "a", b"2", 1)
    await begun.wait()
    await server.accept()
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])
    await server.send(ack(PUBACK, id))
    assert (await server.expect(PUBLISH)).endswith(b"2")  # it never gets its answer
    assert (await second).reason_code == 0
    ending = call("disconnect")
    await server.expect(DISCONNECT)
    server.cut()
    await ending
