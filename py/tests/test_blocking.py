"""The blocking client: the same promises without an event loop."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest
import ternmq
from peer import CONNECT, DISCONNECT, PUBACK, PUBLISH, Connection, Peer, ack, connack, packet, publish
from ternmq import ReasonCode, blocking
from ternmq.blocking import Client


def test_messages_of_every_qos(broker: ternmq.Broker, version: int) -> None:
    with Client(broker.url, version=version, client_id="c") as client:
        with client.subscribe("a/+", 2, timeout=10) as subscription:
            assert subscription.codes == (2,)
            for qos in (0, 1, 2):
                assert client.publish("a/b", str(qos), qos).reason_code == ReasonCode.SUCCESS
            got = [next(subscription) for _ in range(3)]
            assert [(m.topic, m.payload, m.qos) for m in got] == [
                ("a/b", b"0", 0), ("a/b", b"1", 1), ("a/b", b"2", 2),
            ]


def test_properties_and_retained_messages(broker: ternmq.Broker) -> None:
    will = ternmq.Will("will", b"gone")
    with Client(broker.url, will=will) as client:
        client.publish("r", b"kept", 1, True, user=[("k", "v")], content_type="text/plain", expiry=60)
        message = client.subscribe("r", retain_as_published=True).get(10)
        assert message.retain and message.user == [("k", "v")]
        assert message.content_type == "text/plain" and message.expiry is not None
        with client.subscribe("will", 1) as wills:
            with Client(broker.url, will=will) as other:
                other.disconnect(4)
            assert wills.get(10).payload == b"gone"


def test_batches_and_tokens(broker: ternmq.Broker) -> None:
    with Client(broker.url, inflight=5) as client:
        with client.subscribe("b", 1, timeout=10) as subscription:
            tokens = [client.publish_nowait("b", str(n), n % 3) for n in range(300)]
            client.drain()
            assert all(token.done for token in tokens)
            assert tokens[-1].wait(0).reason_code == ReasonCode.SUCCESS
            assert tokens[-1].wait().reason_code == ReasonCode.SUCCESS
            numbers: list[int] = []
            for batch in subscription.batches(50):
                assert 1 <= len(batch) <= 50
                numbers += [int(message.payload) for message in batch]
                if len(numbers) == 300:
                    break
            assert sorted(numbers) == list(range(300))


def test_the_outbox_has_a_limit(broker: ternmq.Broker) -> None:
    with Client(broker.url, inflight=1, outbox=5) as client:
        with pytest.raises(ternmq.QueueFullError):
            for _ in range(10_000):
                client.publish_nowait("f", b"", 1)
        client.publish("f", b"", 1)  # whoever waits gets room


def test_threads_share_a_client_and_a_subscription(broker: ternmq.Broker) -> None:
    with Client(broker.url) as client:
        jobs = client.subscribe("jobs", 1)
        seen: list[bytes] = []

        def work() -> None:
            for job in jobs:
                seen.append(job.payload)

        def send(first: int) -> None:
            for number in range(first, first + 50):
                client.publish("jobs", str(number), 1)

        workers = [threading.Thread(target=work) for _ in range(3)]
        senders = [threading.Thread(target=send, args=(n * 50,)) for n in range(3)]
        for thread in workers + senders:
            thread.start()
        for thread in senders:
            thread.join()
        while len(seen) < 150:
            assert any(worker.is_alive() for worker in workers)
        jobs.unsubscribe()
        for thread in workers:
            thread.join()
        assert sorted(seen, key=int) == [str(n).encode() for n in range(150)]


def test_waiting_leaves_other_threads_alone(broker: ternmq.Broker) -> None:
    with Client(broker.url) as client, client.subscribe("t") as subscription:
        waiting = threading.Event()

        def wait() -> None:
            waiting.set()
            assert subscription.get(30).payload == b"go"

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        client.publish("t", b"go")
        thread.join(10)
        assert not thread.is_alive()


def test_a_forked_process_is_told(broker: ternmq.Broker) -> None:
    with Client(broker.url) as client:
        child = os.fork()
        if child == 0:
            try:
                client.publish("t")
            except ternmq.ForkError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        client.publish("t", b"", 1)


def test_nothing_is_left_of_clients(broker: ternmq.Broker) -> None:
    with Client(broker.url):
        pass
    before = len(os.listdir("/proc/self/task"))
    clients = 20
    for _ in range(clients):
        with Client(broker.url) as client, client.subscribe("t", 1):
            client.publish("t", b"", 1)
    # A name resolver may still be there, for the next client; a thread of each client may not.
    assert len(os.listdir("/proc/self/task")) < before + clients // 2


def test_before_connecting_and_after() -> None:
    client = Client("mqtt://127.0.0.1:1", connect_timeout=5)
    for attempt in (lambda: client.publish("t"), lambda: client.subscribe("t")):
        with pytest.raises(ternmq.ConnectionLostError):
            attempt()
    with pytest.raises(ternmq.ConnectError):
        client.connect()
    client.disconnect()


def test_wrong_arguments(broker: ternmq.Broker) -> None:
    with pytest.raises(ValueError):
        Client("http://x")
    with pytest.raises(TypeError):
        Client(broker.url, ssl=None)  # type: ignore[call-arg]
    with Client(broker.url, version=4) as client:
        for wrong in (
            lambda: client.publish("a/#"),
            lambda: client.publish("a", qos=3),
            lambda: client.publish("a", expiry=1),
            lambda: client.subscribe("a/#/b"),
            lambda: client.subscribe("a", no_local=True),
            lambda: client.disconnect(4),
            lambda: client.publish("a", timeout=float("nan")),
        ):
            with pytest.raises(ValueError):
                wrong()
        assert client.connected


async def scripted(peer: Peer, client: Client) -> Connection:
    connecting = asyncio.create_task(asyncio.to_thread(client.connect))
    server = await peer.client()
    await server.accept()
    await connecting
    return server


async def fails(task: "asyncio.Task[object]", kind: type[ternmq.MqttError]) -> ternmq.MqttError:
    with pytest.raises(kind) as caught:
        await task
    return caught.value


def in_thread(function: Callable[..., object], *arguments: object) -> "asyncio.Task[object]":
    return asyncio.create_task(asyncio.to_thread(function, *arguments))


async def test_refusals_have_their_reason(peer: Peer) -> None:
    refused = in_thread(Client(peer.url).connect)
    server = await peer.client()
    await server.expect(CONNECT)
    await server.send(connack(code=ReasonCode.BANNED))
    assert (await fails(refused, ternmq.ConnectError)).reason_code is ReasonCode.BANNED

    client = Client(peer.url)
    server = await scripted(peer, client)
    publishing = in_thread(client.publish, "t", b"", 1)
    body = await server.expect(PUBLISH)
    await server.send(ack(PUBACK, int.from_bytes(body[3:5]), ReasonCode.QUOTA_EXCEEDED))
    assert (await fails(publishing, ternmq.PublishError)).reason_code is ReasonCode.QUOTA_EXCEEDED
    subscribing = in_thread(client.subscribe, "t")
    await server.grant(ReasonCode.NOT_AUTHORIZED)
    assert (await fails(subscribing, ternmq.SubscribeError)).reason_code is ReasonCode.NOT_AUTHORIZED
    await asyncio.to_thread(client.disconnect)
    assert await server.expect(DISCONNECT) == b""


async def test_answers_that_do_not_come(peer: Peer) -> None:
    with pytest.raises(ternmq.ConnectTimeoutError):
        await asyncio.to_thread(Client(peer.url, connect_timeout=0.05).connect)
    await peer.client()
    client = Client(peer.url, timeout=0.05)
    await scripted(peer, client)
    await fails(in_thread(client.publish, "t", b"", 1), ternmq.MqttTimeoutError)
    await fails(in_thread(client.subscribe, "t"), ternmq.MqttTimeoutError)
    token = client.publish_nowait("t", b"", 1)
    with pytest.raises(ternmq.MqttTimeoutError):
        token.wait(0)
    await fails(in_thread(client.drain), ternmq.MqttTimeoutError)
    await asyncio.to_thread(client.disconnect)


async def test_a_lost_connection_is_raised(peer: Peer) -> None:
    client = Client(peer.url)
    server = await scripted(peer, client)
    subscribing = asyncio.create_task(asyncio.to_thread(client.subscribe, "t"))
    await server.grant(0)
    subscription = await subscribing
    reading = in_thread(subscription.get)
    publishing = in_thread(client.publish, "t", b"", 1)
    await server.expect(PUBLISH)
    await server.send(packet(DISCONNECT << 4, bytes([ReasonCode.SERVER_BUSY])))
    for waiting in (reading, publishing):
        error = await fails(waiting, ternmq.ConnectionLostError)
        assert error.reason_code is ReasonCode.SERVER_BUSY
    assert not client.connected
    error = await asyncio.to_thread(client.closed, 10)
    assert error is not None and error.reason_code is ReasonCode.SERVER_BUSY


def test_a_body_that_fails_does_not_hold_up_the_others(broker: ternmq.Broker) -> None:
    with Client(broker.url, queue=4) as client, client.subscribe("good", 1) as good:
        for _ in range(3):
            with pytest.raises(KeyError), client.subscribe("bad", 1) as bad:
                client.publish("bad", b"x", qos=1)
                for _ in bad:
                    raise KeyError
            bad = client.subscribe("bad", 1)
            client.publish("bad", b"y", qos=1)
            assert bad.get(10).payload == b"y"
            del bad
        for number in range(20):
            client.publish("good", str(number), qos=1)
            assert good.get(10).payload == str(number).encode()


def test_a_thread_that_ends_holds_up_nothing(broker: ternmq.Broker) -> None:
    with Client(broker.url, queue=4) as client, client.subscribe("t", 1) as subscription:
        got: list[bytes] = []
        for number in range(20):
            client.publish("t", str(number), qos=1)
            thread = threading.Thread(target=lambda: got.append(subscription.get(10).payload))
            thread.start()
            thread.join()
        assert got == [str(number).encode() for number in range(20)]


def test_how_a_client_has_ended(broker: ternmq.Broker) -> None:
    with Client(broker.url, client_id="kept", session_expiry=60) as client:
        assert not client.session_present
        with pytest.raises(ternmq.MqttTimeoutError):
            client.closed(0.01)
    assert client.closed(10) is None
    with Client(broker.url, client_id="kept", clean_start=False) as client:
        assert client.session_present


async def test_reconnecting(peer: Peer) -> None:
    client = Client(peer.url, reconnect=ternmq.Backoff(0, 0))
    server = await scripted(peer, client)
    subscribing = asyncio.create_task(asyncio.to_thread(client.subscribe, "t", 1))
    await server.grant(1)
    subscription = await subscribing
    publishing = in_thread(client.publish, "u", b"kept", 1)
    await server.expect(PUBLISH)
    server.cut()
    server = await peer.client()
    await asyncio.to_thread(client.wait_until, False, 10)
    await server.accept()
    await asyncio.to_thread(client.wait_until, True, 10)
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])
    await server.grant(1)
    await server.send(ack(PUBACK, id), publish("t", b"alive"))
    await publishing
    assert (await asyncio.to_thread(subscription.get, 10)).payload == b"alive"
    await asyncio.to_thread(client.disconnect)


async def test_acknowledged_when_the_next_is_asked_for(peer: Peer) -> None:
    client = Client(peer.url)
    server = await scripted(peer, client)
    subscribing = asyncio.create_task(asyncio.to_thread(client.subscribe, "t", 1))
    await server.grant(1)
    subscription = await subscribing
    await server.send(publish("t", b"1", 1, 11), publish("t", b"2", 1, 12))

    def read() -> None:
        with subscription:
            assert subscription.get(10).payload == b"1"
            seen.set()
            go_on.wait()
            assert subscription.get(10).payload == b"2"

    seen, go_on = threading.Event(), threading.Event()
    reading = in_thread(read)
    await asyncio.to_thread(seen.wait)
    acknowledged = asyncio.create_task(server.expect(PUBACK))
    await asyncio.sleep(0)
    assert not acknowledged.done()
    go_on.set()
    assert (await acknowledged)[:2] == (11).to_bytes(2)
    assert (await server.expect(PUBACK))[:2] == (12).to_bytes(2)
    await server.let_go()
    await reading
    await asyncio.to_thread(client.disconnect)


async def test_what_nobody_subscribed_to_is_acknowledged(peer: Peer) -> None:
    client = Client(peer.url)
    server = await scripted(peer, client)
    await server.send(publish("t", b"1", 1, 11))
    assert (await server.expect(PUBACK))[:2] == (11).to_bytes(2)
    await asyncio.to_thread(client.disconnect)


async def test_an_acknowledgement_does_not_outlive_its_connection(peer: Peer) -> None:
    client = Client(peer.url, reconnect=ternmq.Backoff(0, 0))
    server = await scripted(peer, client)
    subscribing = asyncio.create_task(asyncio.to_thread(client.subscribe, "t", 1))
    await server.grant(1)
    subscription = await subscribing
    await server.send(publish("t", b"1", 1, 11))
    reader = ThreadPoolExecutor(1)  # what was read is acknowledged by the thread that has read it
    loop = asyncio.get_running_loop()
    assert (await loop.run_in_executor(reader, subscription.get, 10)).payload == b"1"
    server.cut()
    server = await peer.client()
    await server.accept()
    await server.grant(1)
    # The new message has come in when the answer behind it has.
    publishing = in_thread(client.publish, "u", b"", 1)
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])
    await server.send(publish("t", b"2", 1, 11), ack(PUBACK, id))
    await publishing
    assert (await loop.run_in_executor(reader, subscription.get, 10)).payload == b"2"
    publishing = in_thread(client.publish, "u", b"", 1)
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])  # and no PUBACK before it
    await server.send(ack(PUBACK, id))
    await publishing
    await asyncio.to_thread(client.disconnect)
    reader.shutdown()


def test_what_a_block_has_failed_at_comes_to_the_next_connection(broker: ternmq.Broker) -> None:
    session: dict[str, Any] = {"client_id": "c", "clean_start": False, "session_expiry": 60}
    with Client(broker.url, **session) as client:
        with pytest.raises(KeyError), client.subscribe("t", qos=1) as subscription:
            client.publish("t", b"again", qos=1)
            subscription.get(10)
            raise KeyError
    with Client(broker.url, **session) as client, client.subscribe("t", qos=1) as subscription:
        assert subscription.get(10).payload == b"again"


def test_a_program_that_ends_ends_the_clients_that_it_serves(broker: ternmq.Broker) -> None:
    code = (
        "import sys, ternmq\nfrom ternmq.blocking import Client\n"
        "client = Client(sys.argv[1], will=ternmq.Will('gone'))\n"
        "client.on('t')(print)\nclient.connect()\nclient.publish('done', b'', qos=1)\n"
    )
    subprocess.run([sys.executable, "-c", code, broker.url], check=True, timeout=20)
    broker.wait_for("done")
    broker.time.advance(minutes=5)  # whoever is still there is given up
    assert [message.topic for message in broker.messages] == ["done"]


def test_threads_publish_and_drain_together(broker: ternmq.Broker) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with Client(broker.url, outbox=100_000) as client, ThreadPoolExecutor(6) as pool:

            def work(thread: int) -> None:
                for n in range(600):
                    token = client.publish_nowait("t", str(n), 1)
                    if n % 100 == 99:
                        client.drain(20)
                        assert token.done

            list(pool.map(work, range(6)))
    finally:
        sys.setswitchinterval(interval)


async def test_draining_has_one_limit_for_all_messages(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(peer.url)
    server = await scripted(peer, client)
    first, second = [client.publish_nowait("t", b"", 1) for _ in range(2)]
    for _ in range(2):
        id = (await server.expect(PUBLISH))[3:5]
        if not first.done:
            await server.send(packet(PUBACK << 4, id))
            await asyncio.to_thread(first.wait, 10)
    # An hour goes by while it waits for the first one: there is nothing left for the second.
    clock = iter([0.0, 3600.0])
    monkeypatch.setattr(blocking, "monotonic", lambda: next(clock))
    async with asyncio.timeout(10):
        await fails(in_thread(client.drain, 3600), ternmq.MqttTimeoutError)
    assert not second.done
    client.disconnect()


async def test_draining_waits_for_what_publish_did_not_wait_for(peer: Peer) -> None:
    client = Client(peer.url)
    server = await scripted(peer, client)
    with pytest.raises(ternmq.MqttTimeoutError):
        client.publish("t", b"", 1, timeout=0)
    id = (await server.expect(PUBLISH))[3:5]
    await fails(in_thread(client.drain, 0), ternmq.MqttTimeoutError)
    draining = in_thread(client.drain, 10)
    await server.send(packet(PUBACK << 4, id))
    await draining
    client.disconnect()


def test_draining_waits_for_what_ctrl_c_left() -> None:
    came = threading.Event()
    urls: "Queue[str]" = Queue()

    async def interrupt() -> None:
        async with Peer() as peer:
            urls.put(peer.url)
            server = await peer.client()
            await server.accept()
            id = (await server.expect(PUBLISH))[3:5]
            os.kill(os.getpid(), signal.SIGINT)  # while `publish` waits, for it has sent this
            await asyncio.to_thread(came.wait, 10)
            await server.send(packet(PUBACK << 4, id))
            await server.expect(DISCONNECT)

    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(asyncio.run, interrupt())
        client = Client(urls.get(timeout=10))
        client.connect()
        with pytest.raises(KeyboardInterrupt):
            client.publish("t", b"", 1)
        with pytest.raises(ternmq.MqttTimeoutError):
            client.drain(0)
        came.set()
        client.drain(10)
        client.disconnect()
        playing.result()


async def test_what_is_finished_behind_an_unanswered_message_is_forgotten(peer: Peer) -> None:
    client = Client(peer.url)
    server = await scripted(peer, client)
    client.publish_nowait("t", b"never", 1)
    await server.expect(PUBLISH)
    for _ in range(4100):
        token = client.publish_nowait("t", b"", 1)
        id = (await server.expect(PUBLISH))[3:5]
        await server.send(packet(PUBACK << 4, id))
        while not token.done:
            pass
    assert len(client._tokens.unfinished()) < 100
    client.disconnect()
