"""What an embedded broker hands out in its own process."""

import asyncio
import threading

import pytest
import ternmq
from ternmq.blocking import Client


def test_messages_are_kept_and_can_be_waited_for(broker: ternmq.Broker) -> None:
    with Client(broker.url) as client:
        client.publish("a/1", b"1", qos=1)
        client.publish("b", b"2", qos=1, retain=True, content_type="text/plain")
        client.publish("a/2", b"3", qos=1)
        assert [m.topic for m in broker.messages] == ["a/1", "b", "a/2"]
        assert broker.wait_for("b").content_type == "text/plain"
        assert [broker.wait_for("a/+").payload for _ in range(2)] == [b"1", b"3"]
        with pytest.raises(ternmq.MqttTimeoutError, match="nothing"):
            broker.wait_for("a/+", timeout=0.01)
        timer = threading.Timer(0.02, client.publish, ("late", b"4"))
        timer.start()
        assert broker.wait_for("late", timeout=10).payload == b"4"
        timer.join()
        with pytest.raises(ternmq.MqttTimeoutError, match="other"):
            client.publish("other", b"")
            broker.wait_for("a", timeout=0.2)
    assert broker.message_count == 5
    broker.clear_messages()
    assert broker.messages == []
    with pytest.raises(ValueError):
        broker.wait_for("a/#/b")


def test_the_record_is_bounded_and_outlives_a_restart() -> None:
    with ternmq.Broker(record=10) as broker:
        for n in range(100):
            broker.publish("t", str(n))
        assert broker.wait_for("t").payload == b"90"
        broker.restart()
        broker.publish("t", b"last")
        assert [m.payload for m in broker.messages][-2:] == [b"99", b"last"]
        assert broker.message_count == 101
    assert len(broker.messages) == 10
    with ternmq.Broker(record=0) as broker:
        broker.publish("t")
        assert broker.messages == []
    with pytest.raises(ValueError):
        ternmq.Broker(record=-1)


async def test_waiting_in_a_coroutine(broker: ternmq.Broker) -> None:
    waiting = asyncio.create_task(broker.wait_for_async("t", 10))
    async with ternmq.Client(broker.url) as client:
        await client.publish("t", b"x")
        assert (await waiting).payload == b"x"
    with pytest.raises(ternmq.MqttTimeoutError):
        await broker.wait_for_async("t", 0.01)
    waiting = asyncio.create_task(broker.wait_for_async("t", None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_subscribing_without_a_socket(broker: ternmq.Broker) -> None:
    broker.publish("s/kept", b"1", retain=True)
    with broker.subscribe("s/#") as messages, Client(broker.url) as client:
        first = messages.get(10)
        assert (first.topic, first.retain) == ("s/kept", True)
        client.publish("s/live", b"2", qos=2)
        live = messages.get(10)
        assert (live.payload, live.qos, live.retain) == (b"2", 2, False)
        with pytest.raises(ternmq.MqttTimeoutError):
            messages.get(0.01)
        broker.publish("s/more", b"3")
        assert [m.payload for m in next(messages.batches())] == [b"3"]
    with pytest.raises(EOFError):
        messages.get(10)
    narrow = broker.subscribe("n", queue=2, retained=False)
    for n in range(5):
        broker.publish("n", str(n))
    assert broker.message_count == 8
    assert [narrow.get(10).payload for _ in range(2)] == [b"0", b"1"]
    assert narrow.dropped == 3
    broker.stop()
    assert list(narrow) == []
    with pytest.raises(RuntimeError):
        broker.subscribe("n")


async def test_subscribing_in_a_coroutine(broker: ternmq.Broker) -> None:
    messages = broker.subscribe("s")
    broker.publish("s", b"1")
    broker.publish("s", b"2")
    got = []
    async for message in messages:
        got.append(message.payload)
        if len(got) == 2:
            messages.close()
    assert got == [b"1", b"2"]


async def test_leaving_a_loop_loses_nothing(broker: ternmq.Broker) -> None:
    messages = broker.subscribe("s")
    for n in range(200):
        broker.publish("s", str(n))
    got = []
    for stop in (3, 150):
        async for message in messages:
            got.append(int(message.payload))
            if len(got) == stop:
                break
    got += [int(messages.get(10).payload) for _ in range(50)]
    assert got == list(range(200))


async def test_a_busy_loop_gives_others_their_turn(broker: ternmq.Broker) -> None:
    messages = broker.subscribe("s")
    for n in range(1000):
        broker.publish("s", str(n))
    turns = read = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async for _ in messages:
        read += 1
        if read == 1000:
            break
    assert turns >= 10
    counting.cancel()


async def test_who_is_cancelled_has_taken_nothing(broker: ternmq.Broker) -> None:
    messages = broker.subscribe("s")

    async def read() -> ternmq.Message:
        return await anext(aiter(messages))

    for n in range(20):
        reading = asyncio.create_task(read())
        waiting = asyncio.create_task(broker.wait_for_async("s", None))
        await asyncio.sleep(0)
        await asyncio.to_thread(int)  # behind those that wait
        for task in (reading, waiting):
            task.cancel()
        if n % 2 == 0:
            broker.publish("s", str(n))
        for task in (reading, waiting):
            with pytest.raises(asyncio.CancelledError):
                await task
        if n % 2 == 1:
            broker.publish("s", str(n))
        assert messages.get(10).payload == str(n).encode()
        assert (await broker.wait_for_async("s", 10)).payload == str(n).encode()


async def test_waiting_in_a_coroutine_for_what_is_no_filter(broker: ternmq.Broker) -> None:
    with pytest.raises(ValueError):
        await broker.wait_for_async("a#", 10)


def test_retained_messages_are_listed(broker: ternmq.Broker) -> None:
    for n in range(3000):
        broker.publish(f"r/{n}", str(n), retain=True)
    assert len(broker.retained()) == 3000
    assert broker.retained("r/7")["r/7"].payload == b"7"
    broker.publish("r/7", b"", retain=True)
    assert broker.retained("r/7") == {}
    with pytest.raises(ValueError):
        broker.retained("r/#/x")
