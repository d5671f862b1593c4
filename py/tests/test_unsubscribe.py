"""Ending subscriptions by their filters, and what the server says to it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import ternmq
from peer import DISCONNECT, SUBSCRIBE, Connection, Peer, packet
from ternmq import Client, blocking

NONE = ternmq.ReasonCode.NO_SUBSCRIPTION_EXISTED
SESSION: dict[str, Any] = {"client_id": "c", "clean_start": False, "session_expiry": 60}


async def test_a_filter_that_nobody_here_has(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        assert await client.unsubscribe("a") == (NONE,)
        assert await client.unsubscribe(["a", "b/+"]) == (NONE, NONE)
    with blocking.Client(broker.url) as other:
        assert other.unsubscribe("a") == (NONE,)
        assert other.unsubscribe(["a", "b/+"]) == (NONE, NONE)


def test_the_same_answers_from_both_clients(broker: ternmq.Broker, version: int) -> None:
    async def play() -> list[Any]:
        async with Client(broker.url, version=version, client_id="c") as client:
            one, two = await client.subscribe("a"), await client.subscribe(["b", "c"])
            again = await client.subscribe("b")
            return [await one.unsubscribe(), await two.unsubscribe(), await again.unsubscribe(),
                    await again.unsubscribe(), await client.unsubscribe("b")]

    with blocking.Client(broker.url, version=version, client_id="c") as client:
        one, two, again = client.subscribe("a"), client.subscribe(["b", "c"]), client.subscribe("b")
        said = [one.unsubscribe(), two.unsubscribe(), again.unsubscribe(),
                again.unsubscribe(), client.unsubscribe("b")]
    assert said == asyncio.run(play())
    if version == 5:
        assert said == [(0,), (0,), (0,), (), (NONE,)]


async def test_what_an_earlier_process_has_subscribed_to(broker: ternmq.Broker) -> None:
    async with Client(broker.url, **SESSION) as client:
        await client.subscribe(["a", "b"])
    async with Client(broker.url, **SESSION) as client:
        assert await client.unsubscribe("a") == (0,)
    with blocking.Client(broker.url, **SESSION) as other:
        assert other.unsubscribe(["a", "b"]) == (NONE, 0)


async def test_a_subscription_ends_with_the_last_of_its_filters(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        both, one = await client.subscribe(["a", "b"]), await client.subscribe("a")
        assert await client.unsubscribe("a") == (0,)
        assert [m async for m in one] == []
        for topic in ("a", "b"):
            await client.publish(topic, b"", 1)
        assert (await both.get(10)).topic == "b"
        assert await client.unsubscribe(["b", "a"]) == (0, NONE)
        assert [m async for m in both] == []


def test_a_subscription_of_threads_ends_with_the_last_of_its_filters(broker: ternmq.Broker) -> None:
    with blocking.Client(broker.url) as client:
        both, one = client.subscribe(["a", "b"]), client.subscribe("a")
        assert client.unsubscribe("a") == (0,)
        assert list(one) == []
        for topic in ("a", "b"):
            client.publish(topic, b"", 1)
        assert both.get(10).topic == "b"
        assert client.unsubscribe(["b", "a"]) == (0, NONE)
        assert list(both) == []


@pytest.mark.parametrize("blocks", [False, True])
async def test_what_was_given_up_is_not_subscribed_to_again(peer: Peer, blocks: bool) -> None:
    make: Callable[..., Any] = blocking.Client if blocks else Client
    client = make(peer.url, reconnect=ternmq.Backoff(0, 0))

    def call(what: Callable[..., Any], *arguments: Any) -> "asyncio.Task[Any]":
        if blocks:
            return asyncio.create_task(asyncio.to_thread(what, *arguments))

        async def wait() -> Any:
            return await what(*arguments)

        return asyncio.create_task(wait())

    async def answered(task: "asyncio.Task[Any]", server: Connection) -> Any:
        await server.let_go()
        return await task

    connecting = call(client.connect)
    server = await peer.client()
    await server.accept()
    await connecting
    subscribing = call(client.subscribe, ["a", "b"])
    await server.grant(0, 0)
    subscription = await subscribing
    assert await answered(call(client.unsubscribe, "a"), server) == (0,)
    server.cut()
    server = await peer.client()
    await server.accept()
    id = await server.expect(SUBSCRIBE)
    assert b"b" in id and b"a" not in id
    await server.send(packet(0x90, id[:2] + b"\0\0"))
    assert await answered(call(client.unsubscribe, "b"), server) == (0,)
    del subscription
    ending = call(client.disconnect)
    assert await server.expect(DISCONNECT) == b""  # and no second UNSUBSCRIBE before it
    server.cut()
    await ending
