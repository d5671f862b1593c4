"""What a test may let go wrong, seen by clients of ours and of another make."""

import asyncio
import queue
import time

import paho.mqtt.client as paho
import pytest
import ternmq
from paho.mqtt.enums import CallbackAPIVersion
from ternmq.blocking import Client


def enter(broker: ternmq.Broker, client_id: str, **options: object) -> Client:
    return Client(broker.url, client_id=client_id, keepalive=0, timeout=10, **options)  # type: ignore[arg-type]


def test_a_cut_after_the_third_puback_reaches_paho(broker: ternmq.Broker) -> None:
    lost: queue.Queue[object] = queue.Queue()
    acknowledged: queue.Queue[int] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, "p", protocol=paho.MQTTv5, reconnect_on_failure=False)
    client.on_disconnect = lambda c, u, flags, reason, properties: lost.put(reason)
    client.on_publish = lambda c, u, mid, reason, properties: acknowledged.put(mid)
    fault = broker.cut_after("PUBACK", "p", nth=3)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        infos = [client.publish("t", str(n), qos=1) for n in range(5)]
        fault.wait(timeout=10)
        lost.get(timeout=10)
        assert [acknowledged.get(timeout=10) for _ in range(3)] == [i.mid for i in infos[:3]]
        assert acknowledged.empty()
        client.loop_stop()
        client.reconnect()
        client.loop_start()
        for info in infos[3:]:
            info.wait_for_publish(10)
            assert info.is_published()
    finally:
        client.loop_stop()
    assert fault.hits == 1


async def test_lost_acknowledgements_are_no_loss(broker: ternmq.Broker) -> None:
    fault = broker.drop_acks(3, "c")
    backoff = ternmq.Backoff(0.01, 0.1)
    client = ternmq.Client(
        broker.url, client_id="c", clean_start=False, session_expiry=60, reconnect=backoff
    )
    async with client:
        tokens = [client.publish_nowait("t", b"x", qos=1) for _ in range(4)]
        await tokens[3]
        await asyncio.to_thread(fault.wait, 3)
        assert broker.cut("c") == 1
        async with asyncio.timeout(10):
            for token in tokens[:3]:
                await token


def test_who_comes_late_and_who_is_kept_waiting(broker: ternmq.Broker) -> None:
    with enter(broker, "c") as client:
        with broker.delay(50, "c", way="out"):
            begun = time.perf_counter()
            client.publish("t", b"", qos=1)
            assert time.perf_counter() - begun >= 0.05
        with broker.pause("c") as pause:
            with pytest.raises(ternmq.MqttTimeoutError):
                client.publish("t", b"", qos=1, timeout=0.05)
            pause.wait()
        client.publish("t", b"", qos=1, timeout=10)


async def test_a_damaged_packet_is_noticed_by_the_client(broker: ternmq.Broker) -> None:
    client = ternmq.Client(broker.url, client_id="c")
    await client.connect()
    broker.corrupt("PUBACK", "c")
    with pytest.raises(ternmq.MqttError):
        await client.publish("t", b"", qos=1)
    await client.disconnect()


def test_damage_at_a_place(broker: ternmq.Broker) -> None:
    with enter(broker, "c") as client, client.subscribe("t") as messages:
        broker.corrupt("publish", "c", at=10_000, mask=1, way="out")
        broker.publish("t", b"aa")
        assert messages.get(10).payload == b"a`"


def test_a_half_open_client_is_missed_by_its_keep_alive(broker: ternmq.Broker) -> None:
    will = ternmq.Will("gone", b"c")
    with enter(broker, "w") as witness, witness.subscribe("gone") as wills:
        client = Client(broker.url, client_id="c", keepalive=60, will=will)
        client.connect()
        assert broker.half_open("c") == 1
        with pytest.raises(ternmq.MqttTimeoutError):
            client.publish("t", b"", qos=1, timeout=0.05)
        assert broker.clients()["c"].connected
        broker.time.advance(seconds=91)
        assert wills.get(10).payload == b"c"
        assert "c" not in broker.clients()
        broker.lift_faults()


@pytest.mark.parametrize("packet", ["SUBSCRIBE", ("PUBLISH", "SUBSCRIBE")])
def test_a_packet_after_which_nothing_comes(broker: ternmq.Broker, packet: str | tuple[str, str]) -> None:
    client = Client(broker.url, client_id="c", keepalive=0, timeout=0.1)
    client.connect()
    fault = broker.half_open_after(packet, "c")
    with pytest.raises(ternmq.MqttTimeoutError):
        client.subscribe("t")
    fault.wait()
    assert broker.clients()["c"].subscriptions == 0
    assert broker.cut("c") == 1
    assert isinstance(client.closed(10), ternmq.ConnectionLostError)


def test_the_next_connect_is_refused(broker: ternmq.Broker) -> None:
    broker.refuse_next(ternmq.ReasonCode.SERVER_BUSY, times=2)
    for version in (5, 4):
        with pytest.raises(ternmq.ConnectError) as caught:
            enter(broker, "c", version=version).connect()
        assert caught.value.reason_code in (ternmq.ReasonCode.SERVER_BUSY, 0x88)
    with enter(broker, "c"):
        pass


def test_wrong_faults(broker: ternmq.Broker) -> None:
    wrong = [
        lambda: broker.drop("PUBBACK"),
        lambda: broker.drop("PUBACK", nth=0),
        lambda: broker.drop("PUBACK", times=0),
        lambda: broker.drop("PUBACK", way="up"),  # type: ignore[arg-type]
        lambda: broker.delay(-1),
        lambda: broker.corrupt("PUBACK", at=-1),
        lambda: broker.corrupt("PUBACK", at=0, mask=0),
        lambda: broker.refuse_next(0),
    ]
    for attempt in wrong:
        with pytest.raises(ValueError):
            attempt()
    fault = broker.drop("PUBACK")
    with pytest.raises(ternmq.MqttTimeoutError):
        fault.wait(timeout=0.01)
    fault.lift()
    fault.lift()
    assert fault.hits == 0
    with ternmq.Broker(faults=False) as solid, pytest.raises(RuntimeError):
        solid.drop("PUBACK")


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
def test_faults_are_about_packets_whatever_carries_them(scheme: str) -> None:
    with ternmq.Broker(tls=True, ws=True) as broker:
        lost: queue.Queue[object] = queue.Queue()
        acknowledged: queue.Queue[int] = queue.Queue()
        transport = "websockets" if scheme.startswith("ws") else "tcp"
        client = paho.Client(CallbackAPIVersion.VERSION2, "p", transport=transport)  # type: ignore[arg-type]
        if scheme != "ws":
            client.tls_set_context(broker.client_context())
        client.on_disconnect = lambda *_: lost.put(None)
        client.on_publish = lambda c, u, mid, reason, properties: acknowledged.put(mid)
        dropped = broker.drop("PUBACK", "p", times=1)
        broker.cut_after("PUBACK", "p", nth=3)
        client.connect("127.0.0.1", int(broker.urls[scheme].rpartition(":")[2].removesuffix("/mqtt")))
        client.loop_start()
        infos = [client.publish("t", str(n), qos=1) for n in range(5)]
        lost.get(timeout=10)
        client.loop_stop()
        assert [acknowledged.get(timeout=10) for _ in range(2)] == [i.mid for i in infos[1:3]]
        assert acknowledged.empty()
        assert dropped.hits == 1
        assert b"".join(m.payload for m in broker.messages) == b"01234"


def test_what_subscribers_acknowledge_is_not_dropped_with_drop_acks(broker: ternmq.Broker) -> None:
    fault = broker.drop_acks()
    with Client(broker.url) as client:
        with client.subscribe("t", qos=2) as messages:
            for qos in (1, 2):
                broker.publish("t", b"x", qos)
                messages.get(10)
        # PUBACK, PUBREC and PUBCOMP were on their way before UNSUBSCRIBE.
        assert fault.hits == 0
        with pytest.raises(ternmq.MqttTimeoutError):
            client.publish("t", b"x", 1, timeout=0.01)
        fault.wait(1)
        client.disconnect()  # leaving would wait for the answer


async def test_a_fault_is_awaited_without_blocking_the_loop(broker: ternmq.Broker) -> None:
    fault = broker.drop("PUBLISH", times=2)
    async with ternmq.Client(broker.url) as client:
        waits = asyncio.create_task(fault.wait_async(2, 10))
        for _ in range(2):
            assert not waits.done()
            await client.publish("t", b"", qos=0)
        await waits
        assert fault.hits == 2
        await fault.wait_async(timeout=0)
        with pytest.raises(ternmq.MqttTimeoutError, match="2 times instead of 3"):
            await fault.wait_async(3, 0.01)
    for wrong, error in (("1", TypeError), (-1, ValueError)):
        with pytest.raises(error, match="hits"):
            await fault.wait_async(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout"):
        await fault.wait_async(1, "1")  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["lift", "lift_all", "restart"])
async def test_nobody_waits_for_a_fault_that_was_lifted(broker: ternmq.Broker, end: str) -> None:
    fault = broker.drop("PUBLISH")
    waits = [asyncio.create_task(fault.wait_async(1, None)), asyncio.create_task(asyncio.to_thread(fault.wait, 1, None))]
    await asyncio.sleep(0)
    ends = {"lift": fault.lift, "lift_all": broker.lift_faults, "restart": broker.restart}
    await asyncio.to_thread(ends[end])
    assert fault.hits == 0
    for wait in waits:
        with pytest.raises(ternmq.MqttTimeoutError):
            async with asyncio.timeout(10):
                await wait
