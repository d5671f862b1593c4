"""Connections that are lost and made again, and sessions that outlive them."""

import asyncio

import pytest
import ternmq
from peer import (
    CONNECT, DISCONNECT, PINGREQ, PUBACK, PUBLISH, PUBREC, Connection, Peer, ack, connack, packet, publish,
)
from ternmq import Backoff, Client, ReasonCode, blocking

AT_ONCE = Backoff(0, 0)


async def connected(peer: Peer, **options: object) -> tuple[Client, Connection]:
    client = Client(peer.url, **options)  # type: ignore[arg-type]
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    return client, server


async def test_subscriptions_are_renewed_and_messages_kept(peer: Peer) -> None:
    client, server = await connected(peer, reconnect=AT_ONCE, session_expiry=60)
    states: list[str] = []
    client.on_state(lambda state: states.append(state.name))
    subscribing = asyncio.create_task(client.subscribe("t", 1).__aenter__())
    await server.grant(1)
    subscription = await subscribing
    publishing = asyncio.create_task(client.publish("u", b"kept", qos=1))
    await server.expect(PUBLISH)
    server.cut()
    server = await peer.client()
    await server.accept()
    # The server has lost the session: the message is published anew, the subscription made anew.
    await server.expect(PUBLISH)
    await server.grant(1)
    server.cut()
    server = await peer.client()
    await server.accept(session_present=True)
    # The server goes on with the session: only the message is sent again.
    body = await server.expect(PUBLISH)
    assert body.endswith(b"kept")
    await server.send(ack(PUBACK, int.from_bytes(body[3:5])), publish("t", b"alive"))
    await publishing
    assert (await subscription.get(10)).payload == b"alive"
    assert states == ["lost", "connected", "lost", "connected"]
    await client.disconnect()


async def test_what_was_published_meanwhile_is_sent(peer: Peer) -> None:
    client, server = await connected(peer, reconnect=AT_ONCE)
    lost = asyncio.Event()
    client.on_state(lambda state: lost.set())
    server.cut()
    await lost.wait()
    tokens = [client.publish_nowait("t", str(qos), qos=qos) for qos in (0, 1)]
    subscribing = asyncio.create_task(client.subscribe("s").__aenter__())
    server = await peer.client()
    await server.accept()
    bodies = sorted([await server.expect(PUBLISH) for _ in tokens], key=lambda body: body[-1])
    await server.grant(0)
    await subscribing
    await server.send(ack(PUBACK, int.from_bytes(bodies[1][3:5])))
    await client.drain()
    assert all(token.done() for token in tokens)
    await client.disconnect()


async def test_a_session_of_its_own_goes_on(peer: Peer) -> None:
    client, server = await connected(peer, reconnect=AT_ONCE, session_expiry=60)
    server.cut()
    server = await peer.client()
    assert (await server.expect(CONNECT))[7] & 2 == 0  # no Clean Start
    await server.send(connack(session_present=True))
    await client.disconnect()


@pytest.mark.parametrize("reason", [ReasonCode.SESSION_TAKEN_OVER, ReasonCode.NOT_AUTHORIZED])
async def test_what_would_come_again_is_not_tried_again(peer: Peer, reason: ReasonCode) -> None:
    client, server = await connected(peer, reconnect=AT_ONCE)
    await server.send(packet(DISCONNECT << 4, bytes([reason])))
    ended: asyncio.Future[ternmq.State] = asyncio.get_running_loop().create_future()
    client.on_state(ended.set_result)
    state = await ended
    assert state.name == "closed" and state.error is not None
    assert state.error.reason_code is reason
    with pytest.raises(ternmq.ConnectionLostError):
        await client.publish("t")


@pytest.mark.parametrize(
    "hopeless",
    [
        ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.BANNED, ReasonCode.NOT_AUTHORIZED,
        ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode.BAD_AUTHENTICATION_METHOD,
    ],
)
async def test_a_refused_reconnection_is_the_end(peer: Peer, hopeless: ReasonCode) -> None:
    client, server = await connected(peer, reconnect=AT_ONCE)
    publishing = asyncio.create_task(client.publish("t", b"", qos=1))
    await server.expect(PUBLISH)
    server.cut()
    for code in (ReasonCode.SERVER_BUSY, hopeless):
        server = await peer.client()
        await server.expect(CONNECT)
        await server.send(connack(code=code))
    with pytest.raises(ternmq.ConnectError) as caught:
        await publishing
    assert caught.value.reason_code is hopeless


async def test_a_lost_connection_without_reconnect_is_raised_everywhere(peer: Peer) -> None:
    client, server = await connected(peer)
    subscribing = asyncio.create_task(client.subscribe("t").__aenter__())
    await server.grant(0)
    subscription = await subscribing
    waiting = [
        asyncio.create_task(subscription.get()),
        asyncio.create_task(subscription.get()),
        asyncio.create_task(client.publish("t", b"", qos=2)),
        asyncio.create_task(client.subscribe("u").__aenter__()),
    ]
    await server.expect(PUBLISH)
    server.cut()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, ternmq.ConnectionLostError)


async def test_disconnecting_while_there_is_no_connection(peer: Peer) -> None:
    client, server = await connected(peer, reconnect=Backoff(60, 60))
    lost = asyncio.Event()
    client.on_state(lambda state: lost.set())
    server.cut()
    await lost.wait()
    token = client.publish_nowait("t", b"", qos=1)
    await client.disconnect()
    with pytest.raises(ternmq.ConnectionLostError):
        await token


async def test_messages_of_a_kept_session(broker: ternmq.Broker, version: int) -> None:
    options: dict[str, object] = {"client_id": "kept", "version": version}
    if version == 5:
        options["session_expiry"] = 3600
    async with Client(broker.url, clean_start=False, **options) as client:  # type: ignore[arg-type]
        async with client.subscribe("jobs/+", 1, keep=True):
            pass
    async with Client(broker.url) as other:
        for number in range(5):
            await other.publish(f"jobs/{number}", str(number), qos=1)
    async with Client(broker.url, clean_start=False, **options) as client:  # type: ignore[arg-type]
        # They may come before the application has subscribed again.
        async with client.subscribe("jobs/+", 1) as jobs:
            got = [int((await jobs.get(10)).payload) for _ in range(5)]
            assert got == [0, 1, 2, 3, 4]


async def test_messages_that_come_before_their_subscription(peer: Peer) -> None:
    client = Client(peer.url, clean_start=False, session_expiry=60)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept(session_present=True)
    await connecting
    await server.send(publish("a", b"1", 1, 1), publish("b", b"2", 1, 2), publish("a", b"0"))
    while client.stats["messages_received"] < 3:
        await asyncio.sleep(0)
    subscribing = asyncio.create_task(client.subscribe("b", 1).__aenter__())
    await server.grant(1)
    subscription = await subscribing
    assert (await subscription.get(10)).payload == b"2"
    subscribing = asyncio.create_task(client.subscribe("a", 1).__aenter__())
    await server.grant(1)
    subscription = await subscribing
    assert (await subscription.get(10)).payload == b"1"
    assert client.stats["messages_discarded"] == 1  # with QoS 0 nothing is kept for later
    await client.disconnect()


async def test_redelivered_messages_are_not_there_twice(peer: Peer) -> None:
    client, server = await connected(peer, reconnect=AT_ONCE, session_expiry=60)
    subscribing = asyncio.create_task(client.subscribe("t", 2).__aenter__())
    await server.grant(2)
    subscription = await subscribing
    await server.send(publish("t", b"1", 1, 1), publish("t", b"2", 2, 2))
    while subscription.waiting < 2:
        await asyncio.sleep(0)
    connected_again = asyncio.Event()
    client.on_state(lambda state: connected_again.set() if client.connected else None)
    server.cut()
    server = await peer.client()
    await server.accept(session_present=True)
    await connected_again.wait()
    await server.send(publish("t", b"1", 1, 1), publish("t", b"2", 2, 2), publish("t", b"end"))
    got = []
    async for message in subscription:
        got.append(message.payload)
        if message.payload == b"end":
            break
    assert sorted(got) == [b"1", b"2", b"end"]
    await client.disconnect()


def test_the_wait_doubles_up_to_the_maximum() -> None:
    waits = [Backoff(0.1, 1, jitter=0).delay(attempt) for attempt in range(6)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1, 1]
    jittered = [Backoff(0.1, 1, jitter=0.5).delay(10_000) for _ in range(20)]
    assert 1 <= min(jittered) < max(jittered) <= 1.5
    for wrong in [(-1, 1, 0), (2, 1, 0), (0, 1, -1)]:
        with pytest.raises(ValueError):
            Backoff(*wrong)


async def test_a_client_may_be_used_before_it_is_connected() -> None:
    with ternmq.Broker() as broker:
        url, port = broker.url, broker.port
    client = Client(url, reconnect=Backoff(0, 0.05, first_connect=True))
    client.open()
    token = client.publish_nowait("t", b"1", qos=1, retain=True)
    subscribing = asyncio.create_task(client.subscribe("t").__aenter__())
    await asyncio.sleep(0)
    async with ternmq.Broker(port):
        await token
        assert (await (await subscribing).get(10)).payload == b"1"
        await client.disconnect()


async def test_a_first_connection_that_fails_is_told_to_all(peer: Peer) -> None:
    client = Client(peer.url)
    client.open()
    with pytest.raises(RuntimeError):
        client.open()
    token = client.publish_nowait("t", b"1", qos=1)
    server = await peer.client()
    await server.expect(CONNECT)
    await server.send(connack(code=ReasonCode.BANNED))
    for waiting in (token, client.publish("t"), client.subscribe("t")):
        with pytest.raises(ternmq.ConnectError) as caught:
            await waiting
        assert caught.value.reason_code is ReasonCode.BANNED


async def test_giving_up_while_connecting() -> None:
    client = Client("mqtt://127.0.0.1:1", reconnect=Backoff(0, 0.01, first_connect=True))
    connecting = asyncio.create_task(client.connect())
    for _ in range(20):
        await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    with pytest.raises(ternmq.ConnectionLostError):
        await client.publish("t")


async def test_a_connection_that_is_lost_at_once(peer: Peer) -> None:
    client = Client(peer.url)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.expect(CONNECT)
    await server.send(connack(), packet(DISCONNECT << 4, bytes([ReasonCode.SERVER_BUSY])))
    await connecting  # it was made, and lost
    with pytest.raises(ternmq.ConnectionLostError) as caught:
        await client.publish("t")
    assert caught.value.reason_code is ReasonCode.SERVER_BUSY


async def test_a_connection_that_is_lost_at_once_is_made_again(peer: Peer) -> None:
    client = Client(peer.url, reconnect=AT_ONCE)
    connecting = asyncio.create_task(client.connect())
    for _ in range(3):
        server = await peer.client()
        await server.expect(CONNECT)
        await server.send(connack(), packet(DISCONNECT << 4, bytes([ReasonCode.SERVER_BUSY])))
    server = await peer.client()
    await server.accept()
    await connecting
    while not client.connected:
        await asyncio.sleep(0)
    await client.disconnect()


async def test_a_state_callback_that_fails_stops_nothing(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail(state: ternmq.State) -> None:
        told.append(state.name)
        raise KeyError(state.name)

    client = Client(peer.url, reconnect=ternmq.Backoff(0, 0))
    end = client.on_state(fail)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    server.cut()
    server = await peer.client()
    await server.accept()
    while len(told) < 3:
        await asyncio.sleep(0)
    await client.disconnect()
    assert told == ["connected", "lost", "connected", "closed"]
    raised = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert raised == [KeyError] * 4
    end()


async def test_disconnecting_in_the_turn_of_the_connack_is_orderly(peer: Peer) -> None:
    client = Client(peer.url, reconnect=ternmq.Backoff(0, 0))
    told: list[str] = []
    leaving: list[asyncio.Task[None]] = []

    def leave(state: ternmq.State) -> None:
        told.append(state.name)
        if state.name == "connected":
            leaving.append(asyncio.create_task(client.disconnect()))

    client.on_state(leave)
    client.open()
    server = await peer.client()
    await server.accept()
    await server.expect(DISCONNECT)
    await server.expect_end()
    await leaving[0]
    assert told == ["connected", "closed"]


async def test_the_connection_can_be_waited_for(peer: Peer) -> None:
    client = Client(peer.url, reconnect=AT_ONCE, session_expiry=60)
    for wait in (client.wait_until(True), client.closed()):
        with pytest.raises(ternmq.ConnectionLostError):
            await wait
    client.open()
    with pytest.raises(ternmq.MqttTimeoutError, match="not connected within 0.01 s"):
        await client.wait_until(True, timeout=0.01)
    server = await peer.client()
    await server.accept()
    await client.wait_until(True, timeout=10)
    assert client.connected and not client.session_present
    lost = asyncio.create_task(client.wait_until(False))
    await asyncio.sleep(0)
    server.cut()
    await lost
    server = await peer.client()
    await server.accept(session_present=True)
    await client.wait_until(True, timeout=10)
    assert client.session_present
    with pytest.raises(ternmq.MqttTimeoutError, match="not closed within 0 s"):
        await client.closed(timeout=0)
    closing = asyncio.create_task(client.closed())
    await client.disconnect()
    assert await closing is None
    await client.wait_until(False)
    with pytest.raises(ternmq.MqttTimeoutError, match="not connected"):
        await client.wait_until(True)
    with pytest.raises(TypeError, match="connected"):
        await client.wait_until(1)  # type: ignore[arg-type]


async def test_what_has_ended_a_client_can_be_asked(peer: Peer) -> None:
    client, server = await connected(peer)
    await server.send(packet(DISCONNECT << 4, b"\x8b"))
    error = await client.closed(timeout=10)
    assert isinstance(error, ternmq.ConnectionLostError)
    assert error.reason_code == ReasonCode.SERVER_SHUTTING_DOWN


async def test_a_session_that_goes_on_is_not_subscribed_for_again(peer: Peer) -> None:
    client, server = await connected(peer, session_expiry=60, reconnect=AT_ONCE)
    entering = asyncio.ensure_future(client.subscribe("t", 1).__aenter__())
    await server.grant(1)
    await entering
    server.cut()
    server = await peer.client()
    await server.accept(session_present=True)
    await client.wait_until(True, 10)
    client.publish_nowait("t", b"x")
    await server.expect(PUBLISH)  # and no SUBSCRIBE, by which retained messages would come again
    await client.disconnect()


async def test_what_two_subscriptions_got_is_acknowledged_when_both_are_done(peer: Peer) -> None:
    client, server = await connected(peer)
    subscriptions = []
    for filter in ("a/#", "a/b"):
        entering = asyncio.ensure_future(client.subscribe(filter, 1).__aenter__())
        await server.grant(1)
        subscriptions.append(await entering)
    await server.send(publish("a/b", b"x", 1, 1))
    for expected, subscription in zip((PUBLISH, PUBACK), subscriptions, strict=True):
        messages = aiter(subscription)
        assert (await anext(messages)).payload == b"x"
        del messages  # that reader is gone, and another one asks
        with pytest.raises(ternmq.MqttTimeoutError):
            await subscription.get(0)
        if expected == PUBLISH:
            await client.publish("t")
        await server.expect(expected)
    await client.disconnect()


@pytest.mark.parametrize("blocks", [False, True], ids=["asyncio", "blocking"])
async def test_a_server_that_is_silent_is_missed_as_soon_as_keep_alive_asks_for(
    peer: Peer, blocks: bool
) -> None:
    if blocks:
        waiter = blocking.Client(peer.url, keepalive=1, reconnect=None)
        connecting = asyncio.create_task(asyncio.to_thread(waiter.connect))
        server = await peer.client()
        await server.accept()
        await connecting
        waiting = asyncio.create_task(asyncio.to_thread(waiter.closed, 10))
    else:
        client, server = await connected(peer, keepalive=1, reconnect=None)
        waiting = asyncio.create_task(client.closed(timeout=10))
    await server.expect(PINGREQ)
    assert isinstance(await waiting, ternmq.ConnectionLostError)  # and not in 20 seconds


async def test_what_two_subscriptions_got_with_qos_2_is_received_once_both_are_done(peer: Peer) -> None:
    client, server = await connected(
        peer, client_id="c", clean_start=False, session_expiry=60, reconnect=AT_ONCE
    )
    subscriptions = []
    for filter in ("a/#", "a/b"):
        entering = asyncio.ensure_future(client.subscribe(filter, 2).__aenter__())
        await server.grant(2)
        subscriptions.append(await entering)
    await server.send(publish("a/b", b"x", 2, 1))
    for subscription in subscriptions:
        assert (await subscription.get(10)).payload == b"x"
    server.cut()
    server = await peer.client()
    await server.accept(session_present=True)
    again = bytearray(publish("a/b", b"x", 2, 1))
    again[0] |= 8  # DUP
    await server.send(bytes(again), publish("a/b", b"y", 0))
    first, second = subscriptions
    assert (await first.get(10)).payload == b"y"  # and not x again: the session went on
    publishing = asyncio.ensure_future(client.publish("c", qos=1))
    body = await server.expect(PUBLISH)  # and no PUBREC before, for the second one is not done
    assert (await second.get(10)).payload == b"y"
    assert (await server.expect(PUBREC))[:2] == b"\0\1"
    await server.send(ack(PUBACK, int.from_bytes(body[3:5])))
    await publishing
    await client.disconnect()


async def test_a_filter_that_another_subscription_needs_stays(peer: Peer) -> None:
    client, server = await connected(peer)
    subscriptions = []
    for _ in range(2):
        entering = asyncio.ensure_future(client.subscribe("t", 1).__aenter__())
        await server.grant(1)
        subscriptions.append(await entering)
    assert await subscriptions[0].unsubscribe() == ()
    await client.publish("t")
    await server.expect(PUBLISH)  # and no UNSUBSCRIBE
    leaving = asyncio.ensure_future(subscriptions[1].unsubscribe())
    await server.let_go()
    assert len(await leaving) == 1
    await client.disconnect()


async def test_what_comes_again_before_its_subscription_is_there_once(peer: Peer) -> None:
    client = Client(peer.url, client_id="c", clean_start=False, session_expiry=60, reconnect=AT_ONCE)
    client.open()
    for times in (1, 2):
        server = await peer.client()
        await server.accept(session_present=True)
        await server.send(publish("t", b"x", 1, 1))
        while client.stats["messages_received"] < times:
            await asyncio.sleep(0)
        if times == 1:
            server.cut()
    entering = asyncio.ensure_future(client.subscribe("t", 1).__aenter__())
    await server.grant(1)
    subscription = await entering
    assert (await subscription.get(10)).payload == b"x"
    assert subscription.waiting == 0
    await client.disconnect()
