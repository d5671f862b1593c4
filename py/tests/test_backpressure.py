"""Nobody reads: the server has to wait, and nothing is lost."""

import asyncio

import pytest
import ternmq
from peer import (
    DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Connection, Peer, ack,
    packet, publish,
)
from ternmq import Client


async def subscribed(
    peer: Peer, qos: int = 0, **options: object
) -> tuple[Client, ternmq.Subscription, Connection]:
    client = Client(peer.url, **options)  # type: ignore[arg-type]
    connecting = asyncio.create_task(client.connect())
    connection = await peer.client()
    await connection.accept()
    await connecting
    subscribing = asyncio.create_task(client.subscribe("t", qos).__aenter__())
    await connection.grant(qos)
    return client, await subscribing, connection


async def test_a_full_queue_pauses_the_socket_and_nothing_is_lost(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, queue=10)
    payload, total = bytes(1000), 40_000
    sending = asyncio.create_task(
        server.send(*(publish("t", n.to_bytes(4) + payload) for n in range(total)))
    )
    # 40 MB don't fit into the buffers of a connection: the server is still writing when the client
    # has long stopped reading.
    while not client._core.paused:
        await asyncio.sleep(0)
    assert not sending.done()
    assert subscription.waiting < 10 + 65536 // 1000 + 2
    number = 0
    async for message in subscription:
        assert int.from_bytes(message.payload[:4]) == number
        assert subscription.waiting < 10 + 65536 // 1000 + 2
        number += 1
        if number == total:
            break
    await sending
    await client.disconnect()


async def test_an_answer_behind_the_messages_is_seen(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, queue=2)
    await server.send(*(publish("t", b"") for _ in range(4)))
    while not client._core.paused:
        await asyncio.sleep(0)
    publishing = asyncio.create_task(client.publish("u", b"", qos=1))
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])
    await server.send(publish("t", b""), ack(PUBACK, id))
    await publishing
    assert subscription.waiting == 5
    # With nothing awaited any more, what comes then stays in the socket.
    await server.send(publish("t", b"late"))
    assert [(await subscription.get(10)).payload for _ in range(6)][-1] == b"late"
    await client.disconnect()


async def test_reading_stops_at_the_brim_even_for_an_answer(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, queue=2)
    publishing = asyncio.create_task(client.publish("u", b"", qos=1))
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])
    await server.send(*(publish("t", b"") for _ in range(16)))
    while not client._core.paused:
        await asyncio.sleep(0)
    await server.send(ack(PUBACK, id))
    await asyncio.sleep(0)
    assert not publishing.done() and subscription.waiting == 16
    for _ in range(16):
        await subscription.get(10)
    await publishing
    await client.disconnect()


async def test_a_paused_client_still_pings_and_is_not_taken_for_dead(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, queue=2, keepalive=1)
    await server.send(*(publish("t", b"") for _ in range(4)))
    await server.expect(PINGREQ)
    assert client._core.paused
    await server.expect(PINGREQ)
    await server.send(packet(PINGRESP << 4), packet(PINGRESP << 4), publish("t", b"end"))
    assert [(await subscription.get(10)).payload for _ in range(5)][-1] == b"end"
    await client.disconnect()


async def test_qos_1_is_acknowledged_when_the_next_message_is_asked_for(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, 1)
    await server.send(publish("t", b"1", 1, 11), publish("t", b"2", 1, 12))
    messages = aiter(subscription)
    await anext(messages)
    third = asyncio.create_task(server.expect(PUBACK))
    await asyncio.sleep(0)
    assert not third.done()
    await anext(messages)
    assert (await third)[:2] == (11).to_bytes(2)
    leaving = asyncio.create_task(subscription.unsubscribe())
    assert (await server.expect(PUBACK))[:2] == (12).to_bytes(2)
    await server.let_go()
    await leaving
    await client.disconnect()
    await server.expect(DISCONNECT)


async def test_qos_2_is_received_when_it_was_dealt_with(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, 2)
    await server.send(publish("t", b"1", 2, 21), publish("t", b"1", 2, 21), publish("t", b"2", 2, 22))
    assert [m.payload for m in await anext(subscription.batches())] == [b"1", b"2"]
    leaving = asyncio.create_task(subscription.unsubscribe())
    assert (await server.expect(PUBREC))[:2] == (21).to_bytes(2)
    assert (await server.expect(PUBREC))[:2] == (22).to_bytes(2)
    await server.let_go()
    await leaving
    await server.send(ack(PUBREL, 21), ack(PUBREL, 22))
    assert (await server.expect(PUBCOMP))[:2] == (21).to_bytes(2)
    assert (await server.expect(PUBCOMP))[:2] == (22).to_bytes(2)
    await client.disconnect()


async def test_a_body_that_fails_acknowledges_nothing(peer: Peer) -> None:
    client, _, server = await subscribed(peer, 1, session_expiry=60)
    seen: list[bytes] = []

    async def fail() -> None:
        async with client.subscribe("x", 1) as subscription:
            async for message in subscription:
                seen.append(message.payload)
                raise KeyError

    failing = asyncio.create_task(fail())
    await server.grant(1)
    await server.send(publish("x", b"1", 1, 1), publish("x", b"2", 1, 2))
    await server.let_go()
    await asyncio.wait([failing])
    assert isinstance(failing.exception(), KeyError) and seen == [b"1"]
    # Whoever subscribes next gets them again, and in their order.
    trying = asyncio.create_task(client.subscribe("x", 1).__aenter__())
    await server.grant(1)
    again = await trying
    assert [m.payload for m in await anext(again.batches())] == [b"1", b"2"]
    leaving = asyncio.create_task(again.unsubscribe())
    assert (await server.expect(PUBACK))[:2] == (1).to_bytes(2)
    assert (await server.expect(PUBACK))[:2] == (2).to_bytes(2)
    await server.let_go()
    await leaving
    await client.disconnect()


async def test_a_body_that_fails_does_not_hold_up_the_others(broker: ternmq.Broker) -> None:
    # What is not acknowledged counts against Receive Maximum, which is the queue's size.
    async with Client(broker.url, queue=4) as client, client.subscribe("good", 1) as good:
        for _ in range(3):
            with pytest.raises(KeyError):
                async with client.subscribe("bad", 1) as bad:
                    await client.publish("bad", b"x", qos=1)
                    async for _ in bad:
                        raise KeyError
        for number in range(20):
            await client.publish("good", str(number), qos=1)
            assert (await good.get(10)).payload == str(number).encode()
        # They are kept for whoever subscribes next.
        async with client.subscribe("bad", 1) as bad:
            assert [(await bad.get(10)).payload for _ in range(3)] == [b"x"] * 3
        assert client.stats["messages_discarded"] == 0


async def test_publishing_waits_for_a_server_that_does_not_read(peer: Peer) -> None:
    client, _, server = await subscribed(peer, outbox_bytes=1 << 20)
    payload, published = bytes(10_000), 0

    async def flood() -> None:
        nonlocal published
        for _ in range(10_000):
            await client.publish("u", payload)
            published += 1

    flooding = asyncio.create_task(flood())
    while client._core._link is not None and client._core._link.writable:
        await asyncio.sleep(0)
    before = published
    for _ in range(100):
        await asyncio.sleep(0)
    assert published == before < 10_000 and not flooding.done()
    for _ in range(10_000):
        await server.expect(PUBLISH)
    await flooding
    await client.disconnect()


async def test_a_server_that_does_not_read_before_it_could_write_is_read_from(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, queue=10)
    await server.send(*(publish("t", b"") for _ in range(16)))
    async with asyncio.timeout(10):
        while not client._core.paused:
            await asyncio.sleep(0)
        await server.send(publish("t", b""))
        # More than the buffers of a connection hold, and nobody reads.
        publishing = asyncio.create_task(client.publish("big", bytes(30_000_000)))
        while subscription.waiting < 17:
            await asyncio.sleep(0)
        assert not publishing.done()
        await server.expect(PUBLISH)
        await publishing
    await client.disconnect()


@pytest.mark.parametrize("kind", ["messages", "batches"])
async def test_a_reader_that_finds_messages_gives_others_their_turn(
    broker: ternmq.Broker, kind: str
) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Client(broker.url) as client, client.subscribe("t") as subscription:
        for _ in range(640):
            client.publish_nowait("t")
        async with asyncio.timeout(10):
            while subscription.waiting < 640:
                await asyncio.sleep(0)
        task = asyncio.create_task(others())
        reader = subscription.messages() if kind == "messages" else subscription.batches(1)
        for _ in range(640):
            await anext(reader)
        assert turns >= 5
        task.cancel()


async def test_a_queue_is_full_with_as_many_messages_as_it_may_hold(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, queue=2)
    await server.send(publish("t", b"1"))
    await _waiting(subscription, 1)
    assert not client._core.paused
    await server.send(publish("t", b"2"))
    async with asyncio.timeout(10):
        while not client._core.paused:
            await asyncio.sleep(0)
    assert subscription.waiting == 2
    await client.disconnect()


async def test_what_nobody_has_read_is_counted_when_its_subscription_ends(peer: Peer) -> None:
    client, subscription, server = await subscribed(peer, 1)
    await server.send(*(publish("t", b"", n % 2, n) for n in range(1, 5)))
    await subscription.get(10)
    await _waiting(subscription, 3)
    leaving = asyncio.create_task(subscription.unsubscribe())
    assert [(await server.expect(PUBACK))[:2] for _ in range(2)] == [b"\0\1", b"\0\3"]
    await server.let_go()
    await leaving
    assert client.stats["messages_discarded"] == 3
    await client.disconnect()


async def test_of_what_bodies_that_fail_have_left_the_oldest_go_beyond_1000(peer: Peer) -> None:
    client, _, server = await subscribed(peer, queue=2000)

    async def fail() -> None:
        async with client.subscribe("x", 1) as subscription:
            await _waiting(subscription, 1002)
            raise KeyError

    failing = asyncio.create_task(fail())
    await server.grant(1)
    await server.send(*(publish("x", str(n).encode(), 1, n) for n in range(1, 1003)))
    # The session ends with the connection, so the server is not kept waiting for any of them.
    for _ in range(1002):
        await server.expect(PUBACK)
    await server.let_go()
    await asyncio.wait([failing])
    assert isinstance(failing.exception(), KeyError)
    assert (client.stats["unclaimed"], client.stats["messages_discarded"]) == (1000, 2)
    trying = asyncio.create_task(client.subscribe("x", 1).__aenter__())
    await server.grant(1)
    again = await trying
    assert again.waiting == 1000 and (await again.get(10)).payload == b"3"
    await client.disconnect()


async def _waiting(subscription: ternmq.Subscription, messages: int) -> None:
    async with asyncio.timeout(10):
        while subscription.waiting < messages:
            await asyncio.sleep(0)
