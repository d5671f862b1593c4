"""A forked process is told of what it can't use, and can make its own."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import ternmq
from ternmq.blocking import Client

# Seconds in which the child has to end, or it hangs.
PATIENCE = 20


def in_child(work: Callable[[], object]) -> str:
    """What `work` raises or returns in a forked process."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(here)
        try:
            said = repr(work())
        except BaseException as error:
            said = type(error).__name__
        os.write(there, said.encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        import select

        ready, _, _ = select.select([pipe], [], [], PATIENCE)
        said = pipe.read() if ready else "it hangs"
    if not ready:
        os.kill(child, 9)
    os.waitpid(child, 0)
    return said


@pytest.fixture
def client(broker: ternmq.Broker) -> Iterator[Client]:
    with Client(broker.url) as client:
        yield client


def test_everything_of_a_blocking_client(broker: ternmq.Broker, client: Client) -> None:
    with client.subscribe("a", qos=1) as subscription:
        # The server's answer is on its way, so that the child would have to wait for it.
        fault = broker.pause(packet="PUBACK", way="out")
        token = client.publish_nowait("a", b"1", qos=1)
        fault.wait()
        attempts: dict[str, Callable[[], object]] = {
            "connected": lambda: client.connected,
            "publish": lambda: client.publish("a", b"", qos=1),
            "publish_nowait": lambda: client.publish_nowait("a"),
            "subscribe": lambda: client.subscribe("b"),
            "drain": client.drain,
            "token": lambda: token.wait(None),
            "get": lambda: subscription.get(None),
            "iterator": lambda: next(iter(subscription)),
            "batches": lambda: next(subscription.batches()),
            "unsubscribe": subscription.unsubscribe,
            "disconnect": client.disconnect,
        }
        for name, attempt in attempts.items():
            assert in_child(attempt) == "ForkError", name
        fault.lift()
        # And nothing of it has harmed the parent.
        assert token.wait(5).reason_code == ternmq.ReasonCode.SUCCESS
        assert subscription.get(5).payload == b"1"


async def next_of(messages: AsyncIterator[object]) -> object:
    return await anext(messages)


def test_everything_of_an_asyncio_client(broker: ternmq.Broker) -> None:
    async def run() -> None:
        async with ternmq.Client(broker.url) as client, client.subscribe("a") as subscription:
            messages = aiter(subscription)

            def alone(step: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], object]:
                """On a loop of the child's own: that of the parent stays with it."""
                return lambda: asyncio.run(step())

            attempts: dict[str, Callable[[], object]] = {
                "publish": alone(lambda: client.publish("a")),
                "publish_nowait": lambda: client.publish_nowait("a"),
                "subscribe": alone(lambda: client.subscribe("b").__aenter__()),
                "iterator": alone(lambda: next_of(messages)),
                "get": alone(lambda: subscription.get()),
                "batches": alone(lambda: next_of(subscription.batches())),
                "unsubscribe": alone(lambda: subscription.unsubscribe()),
                "disconnect": alone(lambda: client.disconnect()),
            }
            for name, attempt in attempts.items():
                assert in_child(attempt) == "ForkError", name
            await client.publish("a", b"1")
            assert (await subscription.get(5)).payload == b"1"

    asyncio.run(run())


def test_everything_of_a_broker(broker: ternmq.Broker) -> None:
    fault = broker.drop("PUBACK")
    attempts: dict[str, Callable[[], object]] = {
        "publish": lambda: broker.publish("a"),
        "clients": broker.clients,
        "stats": broker.stats,
        "time": lambda: broker.time.advance(1),
        "fault": lambda: fault.wait(5, timeout=None),
        "cut": broker.cut,
        "restart": broker.restart,
        "stop": broker.stop,
    }
    for name, attempt in attempts.items():
        assert in_child(attempt) == "ForkError", name
    assert broker.clients() == {}


def test_a_child_makes_its_own(broker: ternmq.Broker, client: Client) -> None:
    def work() -> object:
        with Client(broker.url) as own, own.subscribe("a", qos=1) as subscription:
            own.publish("a", b"1", qos=1)
            return subscription.get(10).payload

    def work_with_asyncio() -> object:
        async def run() -> object:
            async with ternmq.Client(broker.url) as own, own.subscribe("a", qos=1) as subscription:
                await own.publish("a", b"1", qos=1)
                return (await subscription.get(10)).payload

        return asyncio.run(run())

    def work_with_a_broker() -> object:
        with ternmq.Broker() as own, Client(own.url) as client:
            return client.publish("a", b"1", qos=1, retain=True).reason_code.name

    assert in_child(work) == "b'1'"
    assert in_child(work_with_asyncio) == "b'1'"
    assert in_child(work_with_a_broker) == "'NO_MATCHING_SUBSCRIBERS'"
    client.publish("a", b"1", qos=1)


def connect_on_and_on(url: str) -> None:
    """Clients that come and go, without a client's own threads."""
    host, port = url.removeprefix("mqtt://").split(":")
    while True:
        crowd = [socket.create_connection((host, int(port))) for _ in range(50)]
        for number, client in enumerate(crowd):
            client.sendall(b"\x10\x0d\0\4MQTT\4\2\0\x3c\0\1" + bytes([65 + number]))
        for client in crowd:
            client.recv(4)
            client.close()


def test_a_fork_while_threads_of_the_broker_come_to_python() -> None:
    # Without waiting for them one child in a hundred hung in `fork`, before CPython 3.13.
    with ternmq.Broker(authenticate=lambda connecting: True, hook_threads=2) as broker:
        others = os.fork()
        if others == 0:
            connect_on_and_on(broker.url)
        try:
            for _ in range(600):
                assert in_child(lambda: "here") == "'here'"
        finally:
            os.kill(others, 9)
            os.waitpid(others, 0)


LEAVING = """
import os, sys, ternmq
from ternmq.blocking import Client

with ternmq.Broker() as broker, Client(broker.url) as client:
    client.on("h")(print)
    with client.subscribe("a", 1) as got, broker.subscribe("a") as seen, broker.drop("PINGREQ"):
        child = os.fork()
        if child == 0 and sys.argv[1] == "exit":
            sys.exit(3)
        if child != 0:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            client.publish("a", b"1", qos=1)  # the child has done no harm
            print(got.get(10).payload, seen.get(10).payload)
if child == 0:
    sys.exit(3)
"""


@pytest.mark.parametrize("how", ["exit", "end of the block"])
def test_a_child_leaves_the_blocks_it_was_born_in(how: str) -> None:
    command = [sys.executable, "-c", LEAVING, how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("3\nb'1' b'1'\n", "")


def test_a_child_leaves_an_asyncio_client(broker: ternmq.Broker) -> None:
    async def run() -> None:
        client = ternmq.Client(broker.url)
        async with client, client.subscribe("a") as subscription:
            for block in (subscription, client):
                leave = block.__aexit__
                assert in_child(lambda: asyncio.run(leave(None, None, None))) == "None"
            await client.publish("a", b"1")
            assert (await subscription.get(5)).payload == b"1"

    asyncio.run(run())
