"""Messages from client to client through the embedded broker."""

import asyncio

import pytest
import ternmq
from ternmq import Client, ReasonCode


@pytest.mark.parametrize("subscribed", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
async def test_a_message_arrives_with_the_lower_qos(
    broker: ternmq.Broker, version: int, published: int, subscribed: int
) -> None:
    async with Client(broker.url, version=version, client_id="c") as client:
        async with client.subscribe("a/+", subscribed) as subscription:
            result = await client.publish("a/b", b"x", qos=published)
            assert result.reason_code == ReasonCode.SUCCESS
            message = await subscription.get(timeout=10)
            assert (message.topic, message.payload) == ("a/b", b"x")
            assert message.qos == min(published, subscribed)
            assert not message.retain and not message.dup
            assert subscription.codes == (subscribed,)


async def test_messages_keep_their_order(broker: ternmq.Broker, version: int) -> None:
    async with Client(broker.url, version=version, client_id="c") as client:
        async with client.subscribe("n", 2) as subscription:
            for number in range(500):
                client.publish_nowait("n", str(number), qos=number % 3)
            await client.drain()
            by_qos: dict[int, list[int]] = {0: [], 1: [], 2: []}
            seen = 0
            async for message in subscription:
                by_qos[message.qos].append(int(message.payload))
                seen += 1
                if seen == 500:
                    break
            for qos, numbers in by_qos.items():
                assert numbers == list(range(qos, 500, 3))


@pytest.mark.parametrize("size", [0, 1, 127, 4095, 4096, 70_000, 3_000_000])
async def test_payloads_of_all_sizes(broker: ternmq.Broker, size: int) -> None:
    payload = bytes(i % 251 for i in range(min(size, 1000))) * (size // 1000 or 1)
    async with Client(broker.url) as client, client.subscribe("big", 1) as subscription:
        await client.publish("big", payload, qos=1)
        message = await subscription.get(timeout=30)
        assert message.payload == payload
        view = memoryview(message)
        assert view.readonly and view == payload and bytes(message) == payload


@pytest.mark.parametrize(
    "payload",
    ["grün", b"gr\xc3\xbcn", bytearray(b"gr\xc3\xbcn"), memoryview(b"gr\xc3\xbcn")],
)
async def test_any_buffer_and_text_can_be_published(
    broker: ternmq.Broker, payload: str | bytes
) -> None:
    async with Client(broker.url) as client, client.subscribe("t") as subscription:
        await client.publish("t", payload)
        assert (await subscription.get(10)).payload.decode() == "grün"


async def test_retained_messages(broker: ternmq.Broker, version: int) -> None:
    async with Client(broker.url, version=version, client_id="c") as client:
        await client.publish("r", b"kept", qos=1, retain=True)
        async with client.subscribe("r", 1) as subscription:
            message = await subscription.get(10)
            assert message.retain and message.payload == b"kept"
            await client.publish("r", b"live", qos=1, retain=True)
            assert not (await subscription.get(10)).retain
        await client.publish("r", b"", qos=1, retain=True)
        async with client.subscribe("r", 1) as subscription:
            await client.publish("r", b"first", qos=1)
            assert (await subscription.get(10)).payload == b"first"


async def test_the_will_of_a_client_that_is_gone(broker: ternmq.Broker, version: int) -> None:
    will = ternmq.Will("will", b"gone", qos=1)
    async with Client(broker.url, version=version, client_id="watcher") as watcher:
        async with watcher.subscribe("will", 1) as wills:
            async with Client(broker.url, version=version, client_id="w", will=will):
                # Whoever takes over the client id ends the connection without a DISCONNECT.
                async with Client(broker.url, version=version, client_id="w"):
                    message = await wills.get(10)
                    assert (message.topic, message.payload, message.qos) == ("will", b"gone", 1)


async def test_properties_travel_with_a_message(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client, client.subscribe("p", 1) as subscription:
        await client.publish(
            "p", b"{}", qos=1, expiry=3600, content_type="application/json", response_topic="re",
            correlation_data=b"\0\1", user=[("a", "1"), ("a", "2")], payload_format=1,
        )
        message = await subscription.get(10)
        assert message.user == [("a", "1"), ("a", "2")]
        assert message.content_type == "application/json"
        assert message.response_topic == "re"
        assert message.correlation_data == b"\0\1"
        assert message.payload_format == 1
        assert message.expiry is not None and 3590 <= message.expiry <= 3600
        assert message.properties["user_property"] == [("a", "1"), ("a", "2")]
        await client.publish("p", b"", user={"k": "v"})
        message = await subscription.get(10)
        assert message.user == [("k", "v")]
        assert message.content_type is None and message.expiry is None


async def test_a_message_without_subscribers_says_so(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        result = await client.publish("nobody/listens", b"", qos=1)
        assert result.reason_code == ReasonCode.NO_MATCHING_SUBSCRIBERS
        assert not result.reason_code.is_error


async def test_each_overlapping_subscription_gets_a_message_once(
    broker: ternmq.Broker, version: int
) -> None:
    async with Client(broker.url, version=version, client_id="c") as client:
        async with (
            client.subscribe("a/#", 1) as broad,
            client.subscribe("a/b", 2) as narrow,
            client.subscribe("a/b", 0) as same,
            client.subscribe("z", 0) as other,
        ):
            for number in range(3):
                await client.publish("a/b", str(number), qos=1)
            await client.publish("z", b"end")
            assert (await other.get(10)).payload == b"end"
            for subscription in (broad, narrow, same):
                got = [(await subscription.get(10)).payload for _ in range(3)]
                assert got == [b"0", b"1", b"2"]
                assert subscription.waiting == 0


async def test_filters_of_one_subscription_with_a_qos_each(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        async with client.subscribe(["a", ("b", 2)], qos=1) as subscription:
            assert subscription.codes == (1, 2)
            await client.publish("a", b"", qos=2)
            await client.publish("b", b"", qos=2)
            assert [(await subscription.get(10)).qos for _ in range(2)] == [1, 2]


async def test_subscription_options(broker: ternmq.Broker) -> None:
    async with Client(broker.url, client_id="me") as me, Client(broker.url) as you:
        await you.publish("o", b"old", retain=True, qos=1)
        async with (
            me.subscribe("o", no_local=True, retain_handling=2, identifier=7) as mine,
            you.subscribe("o", retain_as_published=True) as yours,
        ):
            await me.publish("o", b"own", qos=1)
            await you.publish("o", b"foreign", qos=1, retain=True)
            message = await mine.get(10)
            assert message.payload == b"foreign" and message.subscription_ids == [7]
            got = [await yours.get(10) for _ in range(3)]
            assert [m.payload for m in got] == [b"old", b"own", b"foreign"]
            assert [m.retain for m in got] == [True, False, True]


async def test_batches(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client, client.subscribe("b", 1) as subscription:
        for number in range(300):
            client.publish_nowait("b", str(number), qos=1)
        numbers: list[int] = []
        async for batch in subscription.batches(50):
            assert 1 <= len(batch) <= 50
            numbers += [int(message.payload) for message in batch]
            if len(numbers) == 300:
                break
        assert numbers == list(range(300))
        with pytest.raises(ValueError):
            subscription.batches(0)


async def test_tasks_may_share_a_subscription(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client, client.subscribe("jobs", 1) as jobs:
        seen: list[bytes] = []

        async def work() -> None:
            async for job in jobs:
                seen.append(job.payload)
                await asyncio.sleep(0)
                if len(seen) >= 100:
                    await jobs.unsubscribe()

        async with asyncio.timeout(30):
            workers = [asyncio.create_task(work()) for _ in range(4)]
            for number in range(100):
                await client.publish("jobs", str(number), qos=1)
            await asyncio.gather(*workers)
        assert sorted(seen, key=int) == [str(n).encode() for n in range(100)]


async def test_unsubscribing_by_hand(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        subscription = await client.subscribe("h", 1)
        assert list(await subscription.unsubscribe()) == [ReasonCode.SUCCESS]
        assert [message async for message in subscription] == []
        with pytest.raises(RuntimeError):
            await subscription
        await client.publish("h", b"", qos=1)
        assert subscription.waiting == 0


async def test_publishing_without_waiting(broker: ternmq.Broker) -> None:
    async with Client(broker.url, inflight=5) as client, client.subscribe("f", 2) as subscription:
        tokens = [client.publish_nowait("f", b"", qos=qos) for qos in (0, 1, 2) * 20]
        assert tokens[0].done()
        await client.drain()
        assert all(token.done() for token in tokens)
        assert (await tokens[-1]).reason_code == ReasonCode.SUCCESS
        for _ in tokens:
            await subscription.get(10)


async def test_the_outbox_has_a_limit(broker: ternmq.Broker) -> None:
    async with Client(broker.url, inflight=1, outbox=10) as client:
        with pytest.raises(ternmq.QueueFullError):
            for _ in range(100):
                client.publish_nowait("f", b"", qos=1)
        # Whoever waits gets room.
        results = await asyncio.gather(*(client.publish("f", b"", qos=1) for _ in range(100)))
        assert len(results) == 100
        assert client.stats["publishes_refused"] > 0


async def test_states_are_reported(broker: ternmq.Broker) -> None:
    client = Client(broker.url)
    states: list[str] = []
    client.on_state(lambda state: states.append(state.name))
    forget = client.on_state(lambda state: states.append("never"))
    forget()
    async with client:
        assert client.connected and client.client_id
    assert not client.connected
    assert states == ["connected", "closed"]
