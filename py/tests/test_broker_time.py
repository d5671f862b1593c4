"""A broker whose clock a test moves ahead."""

import time

import pytest
import ternmq
from ternmq.blocking import Client


def test_sessions_wills_and_messages_expire_at_once(broker: ternmq.Broker) -> None:
    will = ternmq.Will("wills", b"gone", delay=1800)
    away = Client(
        broker.url, client_id="away", clean_start=False, session_expiry=7200, will=will, keepalive=0
    )
    away.connect()
    assert broker.cut("away") == 1
    with Client(broker.url, client_id="here", keepalive=0) as here, here.subscribe("#") as messages:
        broker.publish("kept", b"x", retain=True, expiry=3600)
        assert messages.get(10).topic == "kept"
        begun = time.perf_counter()
        broker.time.advance(minutes=29)
        broker.time.advance(minutes=1)
        assert messages.get(10).payload == b"gone"
        broker.time.advance(hours=1)
        assert set(broker.clients()) == {"away", "here"}
        assert broker.stats()["retained_expired"] == 1
        broker.time.advance(hours=1)
        assert list(broker.clients()) == ["here"]
        assert time.perf_counter() - begun < 5
    away.disconnect()


async def test_a_client_that_pings_in_real_time_is_too_late(broker: ternmq.Broker) -> None:
    client = ternmq.Client(broker.url, client_id="c", keepalive=60)
    await client.connect()
    subscription = await client.subscribe("t")
    broker.time.advance(hours=2)
    with pytest.raises(ternmq.ConnectionLostError) as caught:
        await subscription.get(10)
    assert caught.value.reason_code == ternmq.ReasonCode.KEEP_ALIVE_TIMEOUT


def test_time_goes_forward(broker: ternmq.Broker) -> None:
    with pytest.raises(ValueError):
        broker.time.advance(-1)
    with pytest.raises(ValueError):
        broker.time.advance(float("nan"))
    broker.time.advance()
    broker.time.advance(days=1000)
