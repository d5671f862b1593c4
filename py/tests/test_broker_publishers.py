"""Who has published a message, and what publishers are told of those who look on."""

import queue
import threading

import pytest
import ternmq
from ternmq.blocking import Client


@pytest.mark.parametrize("shards", [1, 3])
def test_a_message_tells_who_has_published_it(shards: int) -> None:
    told: queue.Queue[ternmq.Message] = queue.Queue()
    with ternmq.Broker(shards=shards, on_publish=told.put) as broker:
        for name in ("anna", "bert", "cleo", "dora"):
            with Client(broker.url, client_id=name) as client:
                for qos in (0, 1, 2):
                    client.publish(f"by/{name}", b"", qos=qos)
        will = ternmq.Will("by/will", b"")
        with Client(broker.url, client_id="will", will=will) as client:
            client.disconnect(4)
        broker.publish("by/nobody", b"")
        assert broker.wait_for("by/will").client_id == "will"
        assert broker.wait_for("by/nobody").client_id is None
        messages = broker.messages
        heard = [told.get(timeout=10) for _ in messages]
    for all in (messages, heard):
        assert len(all) == 14
        for message in all:
            name = message.topic.removeprefix("by/")
            assert message.client_id == (None if name == "nobody" else name)


def test_what_a_client_receives_does_not_tell(broker: ternmq.Broker) -> None:
    with Client(broker.url) as client, client.subscribe("t") as subscription:
        client.publish("t", b"x", retain=True)
        assert subscription.get(10).client_id is None
    assert broker.retained()["t"].client_id is None


@pytest.mark.parametrize("shards", [1, 3])
def test_who_looks_on_is_no_subscriber(shards: int) -> None:
    with ternmq.Broker(shards=shards, on_publish=lambda message: None) as broker:
        with Client(broker.url) as client:
            alone = client.publish("t", b"", qos=1)
            assert alone.reason_code == ternmq.ReasonCode.NO_MATCHING_SUBSCRIBERS
            with broker.subscribe("t") as subscription:
                heard = client.publish("t", b"1", qos=1)
                assert heard.reason_code == ternmq.ReasonCode.SUCCESS
                assert subscription.get(10).payload == b"1"
        assert [message.topic for message in broker.messages] == ["t", "t"]


def test_hooks_may_run_at_the_same_time() -> None:
    # Each waits for the other: one thread would wait for ever.
    together = threading.Barrier(2, timeout=10)

    def authenticate(client: ternmq.broker.Connecting) -> bool:
        together.wait()
        return True

    with ternmq.Broker(authenticate=authenticate, hook_threads=2) as broker:
        clients = [Client(broker.url, client_id=name) for name in ("a", "b")]
        for client in clients:
            client.open()
        for client in clients:
            client.wait_until(True, 20)
            client.disconnect()
