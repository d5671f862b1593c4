"""What `subscribe` takes, in both clients alike."""

import asyncio
from typing import Any

import pytest
import ternmq
from peer import PUBLISH, SUBSCRIBE, Peer, packet
from ternmq import ReasonCode, blocking

KEPT: dict[str, Any] = {"client_id": "kept", "session_expiry": 60}


def test_several_filters_with_a_qos_each(broker: ternmq.Broker, version: int) -> None:
    with blocking.Client(broker.url, version=version, client_id="c") as client:
        with client.subscribe(["a/+", ("b", 2), ("a/b", 0)], 1, timeout=10) as subscription:
            assert subscription.filters == ("a/+", "b", "a/b")
            assert subscription.codes == (1, 2, 0)
            assert repr(subscription) == "<Subscription a/+, b, a/b>"
            client.publish("a/b", b"1", 2)
            client.publish("b", b"2", 2)
            client.publish("a/c", b"3", 2)
            got = [(m.payload, m.qos) for m in (next(subscription) for _ in range(3))]
            assert got == [(b"1", 1), (b"2", 2), (b"3", 1)]
        with pytest.raises(ternmq.MqttTimeoutError):
            # Nothing came twice, and the end of the block has ended all three.
            subscription = client.subscribe("end", 1)
            client.publish("b", b"", 1)
            client.publish("end", b"", 1)
            assert subscription.get(10).topic == "end"
            subscription.get(0.01)


def test_options_beside_qos_need_mqtt_5(broker: ternmq.Broker) -> None:
    with blocking.Client(broker.url, version=4) as client:
        for options in ({"identifier": 7}, {"user": {"a": "b"}}, {"no_local": True}):
            with pytest.raises(ValueError, match="MQTT 5"):
                client.subscribe("a", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options, error, match", [
    ({"filters": []}, ValueError, "filters"),
    ({"filters": ["a", 1]}, TypeError, "topic filter"),
    ({"filters": ["a", ("b", 3)]}, ValueError, "qos"),
    ({"filters": ["a", "b/#/c"]}, ValueError, "filter"),
    ({"identifier": 0}, ValueError, "identifier"),
    ({"identifier": 268_435_456}, ValueError, "identifier"),
    ({"identifier": -1}, ValueError, "identifier"),
    ({"identifier": "7"}, TypeError, "identifier"),
    ({"user": {"a": 1}}, TypeError, "user"),
    ({"user": 1}, TypeError, "user"),
    ({"ack": "never"}, ValueError, "ack"),
    ({"keep": "yes"}, TypeError, "keep"),
    ({"queue": 0}, ValueError, "queue"),
])
async def test_wrong_arguments(
    broker: ternmq.Broker, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    given = {"filters": "a"} | options
    client = blocking.Client(broker.url)
    await asyncio.to_thread(client.connect)
    with pytest.raises(error, match=match):
        await asyncio.to_thread(lambda: client.subscribe(**given))
    await asyncio.to_thread(client.disconnect)
    async with ternmq.Client(broker.url) as other:
        with pytest.raises(error, match=match):
            await other.subscribe(**given)


async def test_identifier_and_user_properties_reach_the_server(peer: Peer) -> None:
    asked: list[bytes] = []
    for face in ("asyncio", "blocking"):
        subscribing: asyncio.Task[Any]
        filters: list[str | tuple[str, int]] = ["t", ("u", 1)]
        if face == "asyncio":
            client = ternmq.Client(peer.url)
            connecting = asyncio.create_task(client.connect())
        else:
            other = blocking.Client(peer.url)
            connecting = asyncio.create_task(asyncio.to_thread(other.connect))
        server = await peer.client()
        await server.accept()
        await connecting
        if face == "asyncio":
            subscription = client.subscribe(filters, identifier=7, user=[("k", "v"), ("k", "w")])
            subscribing = asyncio.create_task(subscription.__aenter__())
        else:
            subscribing = asyncio.create_task(asyncio.to_thread(
                other.subscribe, filters, identifier=7, user=[("k", "v"), ("k", "w")]
            ))
        body = await server.expect(SUBSCRIBE)
        asked.append(body[2:])
        # The second filter is refused.
        await server.send(packet(0x90, body[:2] + bytes([0, 0, 0x87])))
        opened = await subscribing
        assert opened.codes == (ReasonCode.SUCCESS, ReasonCode.NOT_AUTHORIZED)
        await server.send(packet(PUBLISH << 4, b"\0\1t\2\x0b\7x"))
        if face == "asyncio":
            message = await opened.get(10)
            server.cut()
            await client.disconnect()
        else:
            message = await asyncio.to_thread(opened.get, 10)
            server.cut()
            await asyncio.to_thread(other.disconnect)
        assert (message.payload, message.subscription_ids) == (b"x", [7])
    properties = b"\x0b\7" + b"".join(b"\x26\0\1k\0\1" + value for value in (b"v", b"w"))
    filters_on_wire = b"\0\1t\0" + b"\0\1u\1"
    for said in asked:
        assert said[0] == len(properties) and said[-len(filters_on_wire):] == filters_on_wire
        assert sorted(said[1:1 + len(properties)]) == sorted(properties)


async def test_all_filters_refused(peer: Peer) -> None:
    client = blocking.Client(peer.url)
    connecting = asyncio.create_task(asyncio.to_thread(client.connect))
    server = await peer.client()
    await server.accept()
    await connecting
    subscribing = asyncio.create_task(asyncio.to_thread(client.subscribe, ["t", "u"]))
    body = await server.expect(SUBSCRIBE)
    await server.send(packet(0x90, body[:2] + bytes([0, 0x97, 0x87])))
    with pytest.raises(ternmq.SubscribeError) as error:
        await subscribing
    assert error.value.reason_code == ReasonCode.QUOTA_EXCEEDED
    assert error.value.codes == (ReasonCode.QUOTA_EXCEEDED, ReasonCode.NOT_AUTHORIZED)
    server.cut()
    await asyncio.to_thread(client.disconnect)


@pytest.mark.parametrize("fails", [False, True])
def test_a_kept_subscription_goes_on_with_the_server(broker: ternmq.Broker, fails: bool) -> None:
    with blocking.Client(broker.url, **KEPT) as client:
        try:
            with client.subscribe(["jobs", "more"], 1, keep=True) as jobs:
                for number in range(3):
                    client.publish("jobs", str(number), 1)
                assert jobs.get(10).payload == b"0"
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        # What was not read, and what comes meanwhile, is for whoever subscribes next.
        client.publish("jobs", b"3", 1)
        if not fails:
            with client.subscribe("jobs", 1, keep=True) as jobs:
                assert [jobs.get(10).payload for _ in range(3)] == [b"1", b"2", b"3"]
        client.publish("more", b"4", 1)
    broker.publish("jobs", b"5", qos=1)
    rest = [b"5"] if not fails else [b"0", b"1", b"2", b"3", b"5"]
    with blocking.Client(broker.url, clean_start=False, **KEPT) as client:
        jobs = client.subscribe("jobs", 1, keep=True)
        assert [jobs.get(10).payload for _ in rest] == rest
        assert client.subscribe("more", 1, keep=True).get(10).payload == b"4"
        jobs.unsubscribe()
        client.publish("jobs", b"6", 1)
        ends = client.subscribe(["jobs", "end"], 1)
        client.publish("end", b"", 1)
        assert ends.get(10).topic == "end"


@pytest.mark.parametrize("fails", [False, True])
async def test_a_kept_subscription_of_the_asyncio_client(
    broker: ternmq.Broker, fails: bool
) -> None:
    async with ternmq.Client(broker.url, **KEPT) as client:
        try:
            async with client.subscribe("jobs", 1, keep=True) as jobs:
                await client.publish("jobs", b"0", 1)
                assert (await jobs.get(10)).payload == b"0"
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await client.publish("jobs", b"1", 1)
        rest = [b"0", b"1"] if fails else [b"1"]
        async with client.subscribe("jobs", 1, keep=True) as jobs:
            assert [(await jobs.get(10)).payload for _ in rest] == rest
    broker.publish("jobs", b"2", qos=1)
    async with ternmq.Client(broker.url, clean_start=False, **KEPT) as client:
        async with client.subscribe("jobs", 1) as jobs:
            assert (await jobs.get(10)).payload == b"2"


def test_what_is_kept_without_a_session_that_lasts(broker: ternmq.Broker) -> None:
    with blocking.Client(broker.url, receive_maximum=3) as client:
        with client.subscribe("a", 1, keep=True):
            for number in range(3):
                client.publish("a", str(number), 1)
            with client.subscribe("b", 1) as other:
                client.publish("b", b"", 1)
        # Nobody holds the server up: it has its acknowledgements.
        for number in range(10):
            client.publish("a", b"more", 1)
        with client.subscribe("b", 1) as other:
            client.publish("b", b"", 1)
            assert other.get(10).topic == "b"
        with client.subscribe("a", 1) as again:
            assert [again.get(10).payload for _ in range(3)] == [b"0", b"1", b"2"]


def test_handlers_take_several_filters(broker: ternmq.Broker) -> None:
    client = blocking.Client(broker.url)
    seen: list[str] = []

    @client.on(["a", ("b", 2)], 1)
    def handler(message: ternmq.Message) -> None:
        seen.append(message.topic)

    @client.respond(["upper", "shout"])
    def answer(message: ternmq.Message) -> bytes:
        return message.payload.upper()

    with client:
        client.publish("a", b"", 1)
        client.publish("b", b"", 1)
        assert client.request("shout", b"x").payload == b"X"
        while len(seen) < 2:
            assert client.connected
    assert seen == ["a", "b"]


def test_how_many_messages_wait(broker: ternmq.Broker) -> None:
    with blocking.Client(broker.url) as client, client.subscribe("t", 1) as subscription:
        for _ in range(3):
            client.publish("t", b"", qos=1)
        with client.subscribe("behind"):
            assert subscription.waiting == 3
        subscription.get(10)
        assert subscription.waiting == 2
    assert subscription.waiting == 0


async def test_an_identifier_that_does_not_fit_the_topic_is_not_believed(peer: Peer) -> None:
    """It may be that of an earlier process with the same session."""
    client = ternmq.Client(peer.url)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    subscriptions = []
    for number, filter in enumerate(("a/#", "a/x", "b/#"), 1):
        subscribing = asyncio.create_task(client.subscribe(filter, identifier=number).__aenter__())
        await server.grant(0)
        subscriptions.append(await subscribing)

    async def got(topic: str, *identifiers: int) -> list[int]:
        properties = b"".join(bytes([0x0B, number]) for number in identifiers)
        body = len(topic).to_bytes(2) + topic.encode() + bytes([len(properties)]) + properties
        await server.send(packet(0x30, body))
        async with asyncio.timeout(10):
            while not any(one.waiting for one in subscriptions):
                await asyncio.sleep(0)
        numbers = [number for number, one in enumerate(subscriptions, 1) if one.waiting]
        for number in numbers:
            await subscriptions[number - 1].get(10)
        return numbers

    assert await got("a/x", 1) == [1]
    assert await got("a/x", 2) == [2]
    assert await got("a/x", 1, 2) == [1, 2]
    assert await got("b/x", 1) == [3]  # another subscription has that number now
    assert await got("a/x", 99) == [1, 2]  # nobody has it
    assert await got("a/x", 1, 99) == [1, 2]
    assert await got("a/x", 2, 3) == [1, 2]
    await client.disconnect()
