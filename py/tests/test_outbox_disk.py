"""The file of an outbox on disks that fail, and processes that are killed at any moment."""

import asyncio
import itertools
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ternmq
from ternmq import blocking

KEEP = {"client_id": "o", "clean_start": False, "session_expiry": 600}

# Stands between the process and the system: notes each fdatasync, and fails where it is told to.
SHIM = Path(__file__).parents[2] / "tests/abi/programs/shim_sync.c"

# Publishes what it is told on its input, and says what became of it; nobody else is there.
TOLD = """
import asyncio, resource, sys, ternmq
from ternmq import blocking
file, face, sync = sys.argv[1:]
options = dict(client_id="o", clean_start=False, session_expiry=600, outbox_file=file,
               outbox_sync=sync == "sync", reconnect=ternmq.Backoff(5, 5, first_connect=True))

async def with_loop(orders):
    client = ternmq.Client("mqtt://127.0.0.1:1", **options)
    client.open()
    for order in orders:
        print(await attempt(lambda: client.publish("o", order * 100, 2)), client.stats["outbox_refused"], flush=True)

async def attempt(publish):
    try:
        result = publish()
        if asyncio.iscoroutine(result):
            await result
        return "taken"
    except ternmq.PublishError as error:
        return str(error).replace(" ", "_")

def orders():
    for line in sys.stdin:
        order = line.strip()
        if order.startswith("limit "):
            most = int(order.split()[1])
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        else:
            yield order

async def with_threads(orders):
    client = blocking.Client("mqtt://127.0.0.1:1", **options)
    client.open()
    for order in orders:
        print(await attempt(lambda: client.publish("o", order * 100, 2)), client.stats["outbox_refused"], flush=True)

asyncio.run((with_loop if face == "asyncio" else with_threads)(orders()))
"""


class Told:
    """A process that publishes."""

    def __init__(self, file: Path, face: str, sync: bool, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-c", TOLD, str(file), face, "sync" if sync else "no"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
        )

    def say(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def publish(self, payload: str) -> tuple[str, int]:
        assert self.process.stdout is not None
        self.say(payload)
        outcome, refused = self.process.stdout.readline().split()
        return outcome, int(refused)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        with self.process:
            pass


def left_in(file: Path) -> list[str]:
    """The first letters of what the next client sends."""
    payloads: list[str] = []
    with (
        ternmq.Broker() as broker,
        blocking.Client(broker.url) as reader,
        reader.subscribe("o", 2) as inbox,
        blocking.Client(broker.url, outbox_file=file, **KEEP) as client,  # type: ignore[arg-type]
    ):
        client.publish("o", b"end", 2)
        while "end" not in payloads:
            payloads.append(inbox.get(20).payload.decode())
    return [payload[0] for payload in payloads[:-1]]


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
def test_each_publish_is_synced_and_refused_where_the_disk_fails(tmp_path: Path, face: str) -> None:
    shim = tmp_path / "shim.so"
    compiler = shutil.which("cc")
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, SHIM, "-ldl"], check=True)
    syncs, broken = tmp_path / "syncs", tmp_path / "broken"
    env = {"LD_PRELOAD": str(shim), "SYNCS": str(syncs), "BROKEN": str(broken)}
    told = Told(tmp_path / "outbox", face, True, env)
    assert told.publish("a") == ("taken", 0)
    before = syncs.stat().st_size
    for n, payload in enumerate("bc", 1):
        assert told.publish(payload) == ("taken", 0)
        assert syncs.stat().st_size == before + n
    broken.touch()
    for n, payload in enumerate("de", 1):
        outcome, refused = told.publish(payload)
        assert "could_not_be_stored" in outcome and "Input/output" in outcome
        assert refused == n
    broken.unlink()
    assert told.publish("f") == ("taken", 2)
    told.kill()
    assert left_in(tmp_path / "outbox") == list("abcf")
    # Without the option nothing waits for the disk.
    syncs.write_bytes(b"")
    told = Told(tmp_path / "other", face, False, env)
    assert told.publish("a") == ("taken", 0)
    told.kill()
    assert syncs.stat().st_size == 0


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("face", ["asyncio", "blocking"])
def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path, face: str, sync: bool) -> None:
    told = Told(tmp_path / "outbox", face, sync)
    assert told.publish("a") == ("taken", 0)
    size = (tmp_path / "outbox").stat().st_size
    told.say(f"limit {size + 150}")
    assert told.publish("b") == ("taken", 0)
    for n, payload in enumerate("cd", 1):
        outcome, refused = told.publish(payload)
        assert "could_not_be_stored" in outcome and "large" in outcome
        assert refused == n
    told.say(f"limit {1 << 20}")
    assert told.publish("e") == ("taken", 2)
    told.kill()
    assert left_in(tmp_path / "outbox") == list("abe")


@pytest.mark.parametrize("face", [ternmq.Client, blocking.Client])
async def test_damage_is_set_aside_and_told_of(
    tmp_path: Path, face: type, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "outbox"
    told = Told(file, "asyncio", False)
    for payload in "abc":
        told.publish(payload)
    told.kill()
    bytes = bytearray(file.read_bytes())
    bytes[bytes.index(b"bbb")] ^= 1
    file.write_bytes(bytes)
    with caplog.at_level(logging.ERROR, "ternmq.client"):
        client = face("mqtt://127.0.0.1:1", outbox_file=file, reconnect=ternmq.Backoff(5, 5, first_connect=True))
        client.open()
    assert client.stats["outbox_damaged"] == 1
    assert client.stats["outbox_kept"] == 2
    assert f"{file}.damaged" in caplog.text
    assert (tmp_path / "outbox.damaged").read_bytes() == bytes
    ending = client.disconnect()
    if asyncio.iscoroutine(ending):
        await ending
    del client
    assert left_in(file) == list("ac")


# Begets publishers that are to be killed, each a process of its own: a fork costs milliseconds where an interpreter
# that starts and imports costs a tenth of a second of CPU, which is seconds on a machine that has much to do.
NURSERY = """
import asyncio, os, signal, socket, sys, ternmq
from ternmq import blocking
orders, file, face = socket.socket(fileno=int(sys.argv[1])), *sys.argv[2:4]
options = dict(client_id="o", clean_start=False, session_expiry=600, outbox_file=file, inflight=20,
               reconnect=ternmq.Backoff(0.01, 0.01, first_connect=True), timeout=None)

def messages(life):
    for n in range(int(sys.argv[4])):
        yield "o/%d" % (n % 2), "%s.%d" % (life, n), 1 + n % 2

async def publish(url, life):
    client = ternmq.Client(url, **options)
    client.open()
    for topic, payload, qos in messages(life):
        await client.publish(topic, payload, qos)
        print(payload, flush=True)
    await asyncio.Event().wait()

def publish_in_threads(url, life):
    client = blocking.Client(url, **options)
    client.open()
    for topic, payload, qos in messages(life):
        client.publish(topic, payload, qos)
        print(payload, flush=True)
    signal.pause()

while True:
    order, told, _, _ = socket.recv_fds(orders, 1024, 1)
    if not order:
        break
    process = os.fork()
    if process == 0:
        os.dup2(told[0], 1)
        os.close(told[0])
        orders.close()
        order = order.decode().split()
        asyncio.run(publish(*order)) if face == "asyncio" else publish_in_threads(*order)
    os.close(told[0])
    orders.sendall(b"%d" % process)
    os.waitpid(process, 0)
"""
KILLS = int(os.environ.get("TERNMQ_KILLS", "8"))
# A publisher says no more than that, and every so many lives all arrives: an outbox holds 10,000 messages, and who
# finds no room waits for a server, which each third one does not have.
MOST = 400
LIVES = 15


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
async def test_killed_at_any_moment(tmp_path: Path, face: str) -> None:
    """What `publish` has taken arrives in its order, with QoS 2 once. TERNMQ_KILLS says how often."""
    file, chance = tmp_path / "outbox", random.Random()
    with ternmq.Broker() as broker, ternmq.Broker() as absent:
        nobody = absent.url
        absent.stop()
        async with ternmq.Client(broker.url, queue=100_000) as reader, reader.subscribe("o/#", 2) as inbox:
            taken: list[str] = []
            with nursery(file, face) as orders:
                for life in range(KILLS):
                    # Each third one has no server.
                    url = nobody if life % 3 == 2 else broker.url
                    lines = chance.randrange(1, 300)
                    taken += await asyncio.to_thread(killed, orders, f"{url} {life}", lines)
                    if life % LIVES == LIVES - 1:
                        await drain(broker, file)
            await drain(broker, file, b"end")
            got: list[tuple[str, str]] = []
            while not got or got[-1][1] != "end":
                message = await inbox.get(20)
                got.append((message.topic, message.payload.decode()))
            once = [payload for topic, payload in got if topic == "o/1"]
            assert len(once) == len(set(once)), "QoS 2"
            assert set(taken) <= {payload for _, payload in got}
            assert len(taken) >= KILLS
            for topic in ("o/0", "o/1"):
                # What comes again is QoS 1, and stands where it came first.
                first = list(dict.fromkeys(payload for to, payload in got if to == topic and payload != "end"))
                assert first == sorted(first, key=lambda payload: [int(part) for part in payload.split(".")])


async def drain(broker: ternmq.Broker, file: Path, *more: bytes) -> None:
    async with ternmq.Client(broker.url, outbox_file=file, **KEEP) as client:  # type: ignore[arg-type]
        await client.drain()
        for payload in more:
            await client.publish("o/1", payload, 2)
        await client.drain()
        assert client.stats["outbox_kept"] == 0


@contextmanager
def nursery(file: Path, face: str) -> Iterator[socket.socket]:
    """Takes orders for publishers over this socket, until it is closed."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", NURSERY, str(theirs.fileno()), str(file), face, str(MOST)]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]), theirs, ours:
        theirs.close()
        yield ours


def killed(orders: socket.socket, order: str, lines: int) -> list[str]:
    """Has a publisher run, kills it when it has said so many lines, and gives all that it has said."""
    reads, writes = os.pipe()
    with open(reads, encoding="utf-8") as told:
        socket.send_fds(orders, [order.encode()], [writes])
        os.close(writes)
        process = int(orders.recv(16))
        said = list(itertools.islice(told, lines))
        os.kill(process, signal.SIGKILL)
        said += told
    return [line.strip() for line in said if line.endswith("\n")]
