"""A client of asyncio belongs to one event loop; anywhere else it says so."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import ternmq
from ternmq import Client

Use = Callable[[Client, ternmq.Subscription], Any]


async def _iterate(subscription: ternmq.Subscription) -> None:
    async for _ in subscription:
        pass


USES: dict[str, Use] = {
    "publish": lambda c, s: c.publish("t", b"", 1, timeout=10),
    "publish_nowait": lambda c, s: c.publish_nowait("t", b""),
    "subscribe": lambda c, s: c.subscribe("u").__aenter__(),
    "unsubscribe": lambda c, s: c.unsubscribe("u"),
    "end": lambda c, s: s.unsubscribe(),
    "iterate": lambda c, s: _iterate(s),
    "get": lambda c, s: s.get(10),
    "drain": lambda c, s: c.drain(10),
    "request": lambda c, s: c.request("t", timeout=10),
    "wait_until": lambda c, s: c.wait_until(False, 10),
    "closed": lambda c, s: c.closed(10),
    "disconnect": lambda c, s: c.disconnect(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_another_loop_is_told(broker: ternmq.Broker, use: Use) -> None:
    async with Client(broker.url) as client, client.subscribe("t") as subscription:

        async def elsewhere() -> None:
            done = use(client, subscription)
            if isinstance(done, Awaitable):
                await done

        def thread() -> None:
            asyncio.run(elsewhere())

        with pytest.raises(RuntimeError, match="another loop or thread"):
            await asyncio.to_thread(thread)
        # It was of no consequence here.
        await client.publish("t", b"here", 1)
        assert (await subscription.get(10)).payload == b"here"


async def test_a_thread_without_a_loop_is_told(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        with pytest.raises(RuntimeError, match="run_coroutine_threadsafe"):
            await asyncio.to_thread(client.publish_nowait, "t", b"")
        loop = asyncio.get_running_loop()

        def publish() -> None:
            asyncio.run_coroutine_threadsafe(client.publish("t", b"", 1), loop).result(10)

        await asyncio.to_thread(publish)
