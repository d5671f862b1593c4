"""The embedded broker: quick to start, and gone without a trace when it stops."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import ternmq


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def test_it_listens_within_50_ms() -> None:
    waits = []
    for _ in range(10):
        start = time.perf_counter()
        with ternmq.Broker(port=0) as broker:
            socket.create_connection(("127.0.0.1", broker.port)).close()
            waits.append(time.perf_counter() - start)
    print(f"start and first connection: {min(waits) * 1000:.1f} ms at best")
    assert min(waits) < 0.050


def memory() -> int:
    """Of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_1000_brokers_leave_nothing_behind() -> None:
    def cycles(count: int) -> None:
        for _ in range(count):
            with ternmq.Broker() as broker:
                assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
                socket.create_connection(("127.0.0.1", broker.port)).close()

    # What an allocator keeps at hand it has then.
    cycles(200)
    before = descriptors(), threads(), threading.active_count()
    kept = memory()
    cycles(1000)
    assert (descriptors(), threads(), threading.active_count()) == before
    grown = (memory() - kept) / 1000
    print(f"grown by {grown:.0f} bytes a broker")
    assert grown < 1024


def test_ten_take_less_than_three_mib_each(tmp_path: Path) -> None:
    """In a process of its own, whose heap has no room that others have left."""
    told = tmp_path / "told.json"
    measure = Path(__file__).parents[2] / "tests/bench/python/embedded.py"
    subprocess.run([sys.executable, measure, "--rounds", "1", "--json", told], check=True)
    assert json.loads(told.read_text())["added memory"] < 3


def test_nothing_is_left_when_it_is_not_stopped() -> None:
    before = descriptors(), threads()
    broker = ternmq.Broker()
    broker.start()
    del broker
    assert (descriptors(), threads()) == before


def test_a_stopped_broker_starts_again_with_another_port_perhaps() -> None:
    broker = ternmq.Broker()
    for _ in range(2):
        broker.start()
        with pytest.raises(RuntimeError):
            broker.start()
        assert broker.port
        broker.stop()
        broker.stop()
    for attempt in (lambda: broker.url, lambda: broker.port, lambda: broker.publish("t")):
        with pytest.raises(RuntimeError):
            attempt()


def test_addresses_that_cannot_be_listened_on(broker: ternmq.Broker) -> None:
    with pytest.raises(OSError) as caught:
        ternmq.Broker(broker.port).start()
    assert caught.value.errno == 98
    with pytest.raises(ValueError):
        ternmq.Broker(host="localhost").start()
    with pytest.raises(ValueError, match="port must be"):
        ternmq.Broker(70_000).start()


async def test_connected_clients_are_told_that_it_stops() -> None:
    async with ternmq.Broker() as broker:
        client = ternmq.Client(broker.url)
        await client.connect()
        subscription = await client.subscribe("t")
    with pytest.raises(ternmq.ConnectionLostError) as caught:
        await subscription.get(10)
    assert caught.value.reason_code == ternmq.ReasonCode.SERVER_SHUTTING_DOWN


async def test_publishing_without_a_client(broker: ternmq.Broker) -> None:
    async with ternmq.Client(broker.url) as client:
        async with client.subscribe("b/#", 1) as subscription:
            broker.publish("b/live", b"1", qos=1)
            broker.publish("b/kept", "2", retain=True)
            got = {m.topic: m.payload for m in [await subscription.get(10) for _ in range(2)]}
            assert got == {"b/live": b"1", "b/kept": b"2"}
        async with client.subscribe("b/kept") as subscription:
            assert (await subscription.get(10)).retain
    with pytest.raises(ValueError):
        broker.publish("b/#")


async def test_a_remote_listener_lets_nobody_in_unless_told_so() -> None:
    async with ternmq.Broker(host="0.0.0.0") as broker:
        with pytest.raises(ternmq.ConnectError) as caught:
            await ternmq.Client(broker.url).connect()
        assert caught.value.reason_code == ternmq.ReasonCode.NOT_AUTHORIZED
    async with ternmq.Broker(host="0.0.0.0", anonymous=True) as broker:
        async with ternmq.Client(broker.url) as client:
            assert client.connected


def test_a_forked_process_is_told(broker: ternmq.Broker) -> None:
    child = os.fork()
    if child == 0:
        try:
            broker.publish("t")
        except ternmq.ForkError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_threads_may_share_a_broker(broker: ternmq.Broker) -> None:
    def publish() -> None:
        for _ in range(200):
            broker.publish("t", b"", retain=True)

    workers = [threading.Thread(target=publish) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_two_event_loops_and_uvloop(broker: ternmq.Broker) -> None:
    import uvloop

    async def talk() -> int:
        async with ternmq.Client(broker.url) as client, client.subscribe("l", 2) as subscription:
            for number in range(200):
                client.publish_nowait("l", bytes(number * 50), qos=number % 3)
            got = 0
            async for batch in subscription.batches(10):
                got += len(batch)
                if got == 200:
                    return got
        return 0

    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(talk()) == 200
