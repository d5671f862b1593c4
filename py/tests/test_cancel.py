"""Cancelling at every point where something is awaited leaves a client that works."""

import asyncio
import gc
from typing import Any

import pytest
import ternmq
from peer import CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, Peer, connack
from ternmq import Client


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_connecting(peer: Peer) -> None:
    task: asyncio.Task[object] = asyncio.create_task(Client(peer.url).connect())
    server = await peer.client()
    await server.expect(CONNECT)
    await cancel(task)
    await server.expect_end()


async def test_connecting_in_the_moment_of_connack(peer: Peer) -> None:
    client = Client(peer.url, will=ternmq.Will("gone"), reconnect=ternmq.Backoff())
    states: list[str] = []
    client.on_state(lambda state: states.append(state.name))
    task: asyncio.Task[object] = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.expect(CONNECT)
    server.writer.write(connack())  # which is read in the turn of the loop that cancels
    await cancel(task)
    await server.expect(DISCONNECT)  # and not an end that has the server publish the will
    await server.expect_end()
    assert states == ["connected", "closed"]


async def test_publishing_and_subscribing(peer: Peer) -> None:
    client = Client(peer.url)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    publishing: asyncio.Task[object] = asyncio.create_task(client.publish("t", b"", qos=1))
    await server.expect(PUBLISH)
    await cancel(publishing)
    subscribing: asyncio.Task[object] = asyncio.create_task(client.subscribe("s").__aenter__())
    await server.expect(SUBSCRIBE)
    await cancel(subscribing)
    # The server may have granted it: it is told that nobody wants it.
    await server.let_go()
    draining: asyncio.Task[object] = asyncio.create_task(client.drain())
    await asyncio.sleep(0)
    await cancel(draining)
    await client.disconnect()


async def test_no_message_is_lost_by_cancelling_a_reader(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client, client.subscribe("n", 1) as subscription:
        got: list[int] = []
        for number in range(50):
            reading: asyncio.Task[object] = asyncio.create_task(subscription.get())
            await asyncio.sleep(0)
            await cancel(reading)
            await client.publish("n", str(number), qos=1)
            async with asyncio.timeout(10):
                got.append(int((await subscription.get()).payload))
        assert got == list(range(50))


async def test_leaving_by_cancellation(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        inside = asyncio.Event()

        async def read() -> None:
            async with client.subscribe("x", 1) as subscription:
                inside.set()
                async for _ in subscription:
                    pass

        reading: asyncio.Task[object] = asyncio.create_task(read())
        await inside.wait()
        await cancel(reading)
        async with client.subscribe("x", 1) as subscription:
            await client.publish("x", b"still works", qos=1)
            assert (await subscription.get(10)).payload == b"still works"


async def test_a_whole_client(broker: ternmq.Broker) -> None:
    inside = asyncio.Event()

    async def run() -> None:
        async with Client(broker.url, client_id="c") as client:
            async with client.subscribe("x"):
                inside.set()
                await asyncio.get_running_loop().create_future()

    running: asyncio.Task[object] = asyncio.create_task(run())
    await inside.wait()
    await cancel(running)
    async with Client(broker.url, client_id="c") as client:
        await client.publish("x", qos=1)


async def test_an_exception_does_not_wait_for_unsuback(peer: Peer) -> None:
    client = ternmq.Client(peer.url, timeout=None)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting

    async def fail() -> None:
        async with client.subscribe("t", 1):
            raise KeyError("of the body")

    failing = asyncio.create_task(fail())
    await server.grant(1)
    async with asyncio.timeout(10):
        with pytest.raises(KeyError):
            await failing
    await server.expect(UNSUBSCRIBE)
    await client.disconnect()


async def test_nothing_is_kept_of_waits_that_came_to_nothing(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client, client.subscribe("t") as subscription:
        for _ in range(5):
            with pytest.raises(ternmq.MqttTimeoutError):
                await subscription.get(0.001)
        assert subscription._waiters == []
        assert client._core.answers._watchers == []


@pytest.mark.parametrize("turns", range(1, 10))
async def test_disconnecting(broker: ternmq.Broker, turns: int) -> None:
    client = Client(broker.url, client_id="c", reconnect=ternmq.Backoff(0.01))

    @client.on("handled")
    async def handle(message: ternmq.Message) -> None: ...

    await client.connect()
    waiting = asyncio.create_task((await client.subscribe("read")).get())
    disconnecting: asyncio.Task[object] = asyncio.create_task(client.disconnect())
    for _ in range(turns):
        await asyncio.sleep(0)
    disconnecting.cancel()
    await asyncio.wait([disconnecting])  # which may have been done before
    # Whoever waited no longer has ended it all the same.
    assert await client.closed(10) is None
    assert not client.connected
    async with asyncio.timeout(10):
        with pytest.raises(ternmq.MqttError, match="ended"):
            await waiting


async def test_a_request_before_the_server_is_ready_for_answers(peer: Peer) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    client = Client(peer.url, reconnect=ternmq.Backoff(0.01))
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    asking: asyncio.Task[object] = asyncio.create_task(client.request("ask"))
    await server.expect(SUBSCRIBE)
    await cancel(asking)
    await client.disconnect()
    await asyncio.sleep(0)
    del client, connecting, asking
    gc.collect()
    assert said == []
