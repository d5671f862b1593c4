"""Handlers, requests and acknowledging by hand, in both faces."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import ternmq
from peer import PUBACK, PUBLISH, Peer, publish
from ternmq import blocking


async def test_handlers(broker: ternmq.Broker, caplog: pytest.LogCaptureFixture) -> None:
    client = ternmq.Client(broker.url)
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    @client.on("plain/+", qos=1)
    def plain(message: ternmq.Message) -> None:
        got.put_nowait(("plain", message.payload))
        if message.payload == b"bad":
            raise KeyError("of the handler")

    @client.on([("async/#", 2)])
    async def slow(message: ternmq.Message) -> None:
        await asyncio.sleep(0)
        got.put_nowait(("async", message.payload))

    async with client:
        # They are subscribed by now.
        for payload in (b"1", b"bad", b"2"):
            await client.publish("plain/x", payload, qos=1)
        await client.publish("async/x/y", b"3", qos=2)
        said = sorted([await asyncio.wait_for(got.get(), 10) for _ in range(4)])
        assert said == [("async", b"3"), ("plain", b"1"), ("plain", b"2"), ("plain", b"bad")]

        late = asyncio.Event()
        client.on("late")(lambda message: late.set())
        while not late.is_set():
            await client.publish("late", b"")
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [KeyError]
    assert "plain/x" in caplog.text
    assert len(asyncio.all_tasks()) == 1


async def test_a_handler_that_is_refused_is_told(peer: Peer) -> None:
    client = ternmq.Client(peer.url)
    client.on("no")(print)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await server.grant(0x87)
    with pytest.raises(ternmq.SubscribeError):
        await connecting


async def test_a_handler_may_disconnect(broker: ternmq.Broker) -> None:
    client = ternmq.Client(broker.url)
    ended = asyncio.Event()

    @client.on("end")
    async def end(message: ternmq.Message) -> None:
        await client.disconnect()
        ended.set()

    await client.connect()
    await client.publish("end", b"")
    await asyncio.wait_for(ended.wait(), 10)
    assert not client.connected


def test_handlers_in_threads(broker: ternmq.Broker, caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())
    client = blocking.Client(broker.url)
    got: list[bytes] = []
    enough = threading.Event()

    @client.on("plain/+", qos=1)
    def plain(message: ternmq.Message) -> None:
        got.append(message.payload)
        if len(got) == 3:
            enough.set()
        if message.payload == b"bad":
            raise KeyError("of the handler")

    with client:
        for payload in (b"1", b"bad", b"2"):
            client.publish("plain/x", payload, qos=1)
        assert enough.wait(10)
        late = threading.Event()
        client.on("late")(lambda message: late.set())
        client.publish("late", b"")
        assert late.wait(10)
    assert got == [b"1", b"bad", b"2"]
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [KeyError]
    # Those of tests before may end meanwhile.
    assert set(threading.enumerate()) <= before


async def test_requests(broker: ternmq.Broker) -> None:
    async with ternmq.Client(broker.url) as server, ternmq.Client(broker.url) as client:

        @server.respond("svc/add", qos=1)
        async def add(message: ternmq.Message) -> str:
            return str(eval(message.payload))

        @server.respond("svc/silent")
        def silent(message: ternmq.Message) -> None:
            raise ValueError("no answer")

        # The responders are subscribed in the background here.
        async with server.subscribe("svc/#"):
            pass
        answers = await asyncio.gather(*(client.request("svc/add", f"{n}+1", 1) for n in range(50)))
        assert [answer.payload for answer in answers] == [b"%d" % (n + 1) for n in range(50)]
        with pytest.raises(ternmq.MqttTimeoutError):
            await client.request("svc/silent", timeout=0.05)
        with pytest.raises(ternmq.MqttTimeoutError):
            await client.request("svc/nobody", timeout=0.05)
        # The same responder is asked by threads.
        with blocking.Client(broker.url) as other:
            answer = await asyncio.to_thread(other.request, "svc/add", "2*3", 1, timeout=10)
            assert answer.payload == b"6"
    async with ternmq.Client(broker.url, version=4) as client:
        with pytest.raises(ValueError, match="request"):
            await client.request("svc/add")


def test_requests_in_threads(broker: ternmq.Broker) -> None:
    with blocking.Client(broker.url) as server, blocking.Client(broker.url) as client:
        server.respond("svc/echo", qos=1)(lambda message: message.payload)
        assert client.request("svc/echo", b"abc", 1, timeout=10).payload == b"abc"
        assert client.request("svc/echo", b"", 0, timeout=10).payload == b""
        with pytest.raises(ternmq.MqttTimeoutError):
            client.request("svc/nobody", timeout=0.05)


def answers_in_reverse(server: blocking.Client, foreign: list[str]) -> None:
    """To two requests, behind one that nobody has asked for."""
    with server.subscribe("svc", qos=1) as requests:
        foreign.append("ready")
        both = [requests.get(10) for _ in range(2)]
        topic = both[0].response_topic
        assert topic is not None and both[1].response_topic == topic
        server.publish(topic, b"foreign", 1, correlation_data=b"?")
        server.publish(topic, b"without", 1)
        for request in reversed(both):
            server.publish(topic, request.payload, 1, correlation_data=request.correlation_data)


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
async def test_each_request_gets_its_own_answer(broker: ternmq.Broker, face: str) -> None:
    ready: list[str] = []
    with blocking.Client(broker.url) as server:
        answering = asyncio.create_task(asyncio.to_thread(answers_in_reverse, server, ready))
        while not ready:
            await asyncio.sleep(0)
        if face == "asyncio":
            async with ternmq.Client(broker.url) as client:
                got = await asyncio.gather(*[client.request("svc", text, timeout=10) for text in "ab"])
        else:
            with blocking.Client(broker.url) as other:
                got = await asyncio.gather(
                    *[asyncio.to_thread(other.request, "svc", text, timeout=10) for text in "ab"]
                )
        await answering
    assert [message.payload for message in got] == [b"a", b"b"]


async def test_a_request_ends_with_its_client(broker: ternmq.Broker) -> None:
    for end in (ternmq.Broker.cut, None):
        client = ternmq.Client(broker.url)
        await client.connect()
        asking = asyncio.create_task(client.request("nobody", qos=1, timeout=None))
        await broker.wait_for_async("nobody", 10)
        await (client.disconnect() if end is None else asyncio.to_thread(end, broker))
        async with asyncio.timeout(10):
            with pytest.raises(ternmq.ConnectionLostError):
                await asking
        await client.disconnect()


def test_a_request_in_a_thread_ends_with_its_client(broker: ternmq.Broker) -> None:
    for end in (ternmq.Broker.cut, None):
        client = blocking.Client(broker.url)
        client.connect()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(client.request, "nobody", qos=1, timeout=3600)
            broker.wait_for("nobody", 10)
            client.disconnect() if end is None else end(broker)
            with pytest.raises(ternmq.ConnectionLostError):
                asking.result(10)
        client.disconnect()


async def test_an_answer_that_was_not_waited_for_is_no_unseen_exception(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    client = ternmq.Client(peer.url)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    asking = asyncio.create_task(client.request("t", qos=1))
    await server.grant(1)
    await server.expect(PUBLISH)
    server.cut()  # while it waits for PUBACK
    with pytest.raises(ternmq.ConnectionLostError):
        await asking
    del asking
    gc.collect()
    await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text
    await client.disconnect()


async def test_acknowledging_by_hand(peer: Peer) -> None:
    client = ternmq.Client(peer.url)
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.accept()
    await connecting
    subscription = client.subscribe("m", 1, ack="manual")
    entering = asyncio.create_task(subscription.__aenter__())
    await server.grant(1)
    await entering
    for id in (1, 2, 3):
        await server.send(publish("m", b"%d" % id, 1, id))
    first, second, third = [await subscription.get(10) for _ in range(3)]
    # In the order of the messages, whatever the order of the calls [MQTT-4.6.0-2].
    assert second.ack(0x83) and second.ack() is False
    assert first.ack()
    assert (await server.expect(PUBACK))[:2] == b"\0\1"
    assert await server.expect(PUBACK) == b"\0\2\x83"
    with pytest.raises(ValueError, match="reason_code"):
        third.ack(0x04)
    server.cut()
    while client.connected:
        await asyncio.sleep(0)
    assert third.ack() is False
    await client.disconnect()


async def test_what_was_not_acknowledged_by_hand_comes_again(broker: ternmq.Broker) -> None:
    options = {"client_id": "hand", "clean_start": False, "session_expiry": 60}
    async with ternmq.Client(broker.url, **options) as client:  # type: ignore[arg-type]
        async with client.subscribe("m", 1, ack="manual", keep=True) as subscription:
            for n in range(3):
                await client.publish("m", str(n), 1)
            got = [await subscription.get(10) for _ in range(3)]
            assert got[0].ack()
            with pytest.raises(RuntimeError):
                async with client.subscribe("other") as other:
                    await client.publish("other", b"")
                    (await other.get(10)).ack()
    with blocking.Client(broker.url, **options) as again:  # type: ignore[arg-type]
        with again.subscribe("m", 1, ack="manual", retain_handling=2) as rest:
            messages = [rest.get(10), rest.get(10)]
            assert [m.payload for m in messages] == [b"1", b"2"]
            assert messages[1].ack() and messages[0].ack() and not messages[0].ack()
    async with ternmq.Client(broker.url, **options) as client:  # type: ignore[arg-type]
        async with client.subscribe("m", 1, retain_handling=2) as subscription:
            with pytest.raises(ternmq.MqttTimeoutError):
                await subscription.get(0.05)


async def test_reading_with_a_limit(broker: ternmq.Broker) -> None:
    async with ternmq.Client(broker.url) as client, client.subscribe("t") as subscription:
        reader = subscription.messages(timeout=0.02)
        with pytest.raises(ternmq.MqttTimeoutError):
            await anext(reader)
        await client.publish("t", b"1")
        patient = subscription.messages(timeout=10)
        assert (await anext(patient)).payload == b"1"
        with pytest.raises(TimeoutError):
            await anext(subscription.batches(10, timeout=0.02))
    with blocking.Client(broker.url) as other, other.subscribe("t") as inbox:
        with pytest.raises(ternmq.MqttTimeoutError):
            next(inbox.messages(timeout=0.02))
        with pytest.raises(ternmq.MqttTimeoutError):
            next(inbox.batches(10, timeout=0.02))
        other.publish("t", b"2")
        assert next(inbox.messages(timeout=10)).payload == b"2"


def test_states_log_and_counters_in_threads(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ternmq.client")
    told: list[str] = []

    def listen(state: ternmq.State) -> None:
        told.append(state.name)
        raise KeyError(state.name)

    with ternmq.Broker() as broker:
        client = blocking.Client(broker.url, client_id="me")
        client.on_state(listen)
        with client:
            client.publish("a", b"", 1)
            assert client.client_id == "me" and client.stats["messages_sent"] == 1
    assert told == ["connected", "closed"]
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [KeyError] * 2
    texts = [r.getMessage() for r in caplog.records if not r.exc_info]
    assert texts[0].endswith("connected, session present: False") and texts[-1].endswith("closed")


def test_a_forked_asyncio_client_is_told(broker: ternmq.Broker) -> None:
    import os

    async def run() -> None:
        async with ternmq.Client(broker.url) as client, client.subscribe("f") as subscription:
            await client.publish("f", b"1")
            await subscription.get(10)
            child = os.fork()
            if child == 0:
                try:
                    client.publish_nowait("f", b"2")
                except ternmq.ForkError:
                    os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            await client.publish("f", b"3")
            assert (await subscription.get(10)).payload == b"3"

    asyncio.run(run())


async def test_a_handler_outlives_what_it_awaits_and_was_cancelled(
    broker: ternmq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()
    client = ternmq.Client(broker.url)

    @client.on("t", qos=1)
    async def handler(message: ternmq.Message) -> None:
        got.put_nowait(message.payload)
        if message.payload == b"1":
            other = asyncio.get_running_loop().create_future()
            other.cancel()
            await other

    async with client, asyncio.timeout(10):
        for payload in (b"1", b"2"):
            await client.publish("t", payload, qos=1)
            assert await got.get() == payload
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [asyncio.CancelledError]


async def test_nothing_is_kept_of_requests_that_nobody_has_answered(broker: ternmq.Broker) -> None:
    async with ternmq.Client(broker.url) as client:
        for _ in range(3):
            with pytest.raises(ternmq.MqttTimeoutError):
                await client.request("nobody", timeout=0.01)
        assert client._requests._waiting == {}
    with blocking.Client(broker.url) as other:
        with pytest.raises(ternmq.MqttTimeoutError):
            other.request("nobody", timeout=0.01)
        assert other._requests._waiting == {}
