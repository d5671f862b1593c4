"""Who may come in and who may do what, decided by Python, and what Python is told."""

import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Callable

import aiomqtt
import pytest
import ternmq
from ternmq.blocking import Client
from ternmq.broker import Acting, Action, Connected, Connecting, Disconnected, Rule


def enter(broker: ternmq.Broker, client_id: str, **options: object) -> Client:
    return Client(broker.url, client_id=client_id, keepalive=0, timeout=10, **options)  # type: ignore[arg-type]


def refused(broker: ternmq.Broker, client_id: str, **options: object) -> int:
    with pytest.raises(ternmq.ConnectError) as caught:
        enter(broker, client_id, **options).connect()
    assert caught.value.reason_code is not None
    return caught.value.reason_code


def test_python_decides_who_comes_in(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Connecting] = []

    def authenticate(client: Connecting) -> bool | str | int | None:
        seen.append(client)
        match client.client_id:
            case "raises":
                raise OSError("the directory is not there")
            case "nonsense":
                return 3.5  # type: ignore[return-value]
            case "busy":
                return ternmq.ReasonCode.SERVER_BUSY
            case "renamed":
                return "admin"
            case "no opinion":
                return None
        return client.password == b"secret"

    with ternmq.Broker(authenticate=authenticate, users={"u": "p"}) as broker:
        with enter(broker, "good", username="x", password="secret") as client:
            client.publish("t", b"", qos=1)
        with enter(broker, "renamed"):
            assert broker.clients()["renamed"].username == "admin"
        with enter(broker, "no opinion", username="u", password="p"):
            pass
        assert refused(broker, "bad", username="x") == ternmq.ReasonCode.BAD_USER_NAME_OR_PASSWORD
        assert refused(broker, "nobody") == ternmq.ReasonCode.NOT_AUTHORIZED
        assert refused(broker, "busy") == ternmq.ReasonCode.SERVER_BUSY
        for client_id in ("raises", "nonsense"):
            assert refused(broker, client_id) == ternmq.ReasonCode.NOT_AUTHORIZED
        with enter(broker, "good", username="x", password="secret"):
            pass
    failed = [r for r in caplog.records if r.name == "ternmq.broker" and r.exc_info]
    assert len(failed) == 2
    assert "the directory is not there" in caplog.text and "Traceback" in caplog.text
    first = seen[0]
    assert (first.username, first.version, first.clean_start, first.listener) == ("x", 5, True, 0)
    assert first.peer is not None and first.peer.startswith("127.0.0.1:")
    assert "secret" not in repr(first)


async def test_python_decides_who_does_what() -> None:
    asked: list[tuple[Acting, Action]] = []

    def authorise(client: Acting, action: Action) -> bool | None:
        asked.append((client, action))
        if action.topic == "raises":
            raise ValueError
        return action.topic.startswith(client.client_id)

    async with ternmq.Broker(authorise=authorise, acl=[Rule.allow("free/#")]) as broker:
        async with ternmq.Client(broker.url, client_id="c") as client:
            await client.publish("free/x", b"", qos=1)
            await client.publish("c/x", b"", qos=1, retain=True)
            for topic in ("d/x", "raises"):
                with pytest.raises(ternmq.PublishError) as caught:
                    await client.publish(topic, b"", qos=1)
                assert caught.value.reason_code == ternmq.ReasonCode.NOT_AUTHORIZED
            with pytest.raises(ternmq.SubscribeError):
                await client.subscribe("#")
            await client.subscribe("c/#")
        assert set(broker.retained()) == set()
    client_, action = asked[0]
    assert (client_.client_id, client_.version) == ("c", 5)
    assert (action.kind, action.topic, action.qos, action.retain, action.will) == ("publish", "c/x", 1, True, False)


def test_rules_decide_and_change(broker: ternmq.Broker) -> None:
    acl = [
        Rule.deny("t/secret", subscribe=False),
        Rule.allow("t/#", user="u*"),
        Rule.allow("own/%c", qos=(0, 1)),
    ]
    with ternmq.Broker(users={"u1": "p"}, anonymous=True, acl=acl) as broker:
        with enter(broker, "c", username="u1", password="p") as user, enter(broker, "d") as nobody:
            user.publish("t/x", b"", qos=1)
            nobody.publish("own/d", b"", qos=1)
            for client, topic, qos in ((user, "t/secret", 1), (nobody, "t/x", 1), (nobody, "own/d", 2)):
                with pytest.raises(ternmq.PublishError):
                    client.publish(topic, b"", qos=qos)
            broker.set_acl([Rule.allow("t/secret")])
            user.publish("t/secret", b"", qos=1)
            broker.restart()
        with enter(broker, "e") as client, pytest.raises(ternmq.PublishError):
            client.publish("t/x", b"", qos=1)
    wrong: list[Callable[[], object]] = [
        lambda: Rule.allow("a/#/b"),
        lambda: Rule.allow("a", qos=(3,)),
        lambda: Rule.allow("a", address="nowhere"),
        lambda: Rule.allow("a", publish=False, subscribe=False),
    ]
    for make, field in zip(wrong, ("topics", "qos", "address", "never apply"), strict=True):
        with pytest.raises(ValueError, match=field):
            make()
    with pytest.raises(TypeError):
        ternmq.Broker(acl=["t/#"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        ternmq.Broker(on_connect=1)  # type: ignore[arg-type]


async def test_python_is_told_what_clients_do(caplog: pytest.LogCaptureFixture) -> None:
    told: queue.Queue[object] = queue.Queue()

    def raising(event: object) -> None:
        told.put(event)
        raise RuntimeError("not my day")

    async with ternmq.Broker(
        on_connect=raising, on_disconnect=told.put, on_subscribe=told.put, on_unsubscribe=told.put,
        on_session_end=told.put, on_publish=raising,
    ) as broker:
        async with aiomqtt.Client("127.0.0.1", broker.port, identifier="c") as client:
            connected = told.get(timeout=10)
            assert isinstance(connected, Connected)
            assert (connected.client_id, connected.version, connected.session_present) == ("c", 4, False)
            await client.subscribe("t", 1)
            assert repr(told.get(timeout=10)) == "Subscribed(client_id='c', filter='t', qos=1)"
            await client.publish("t", b"x", 1)
            message = told.get(timeout=10)
            assert isinstance(message, ternmq.Message) and message.payload == b"x"
            await client.unsubscribe("t")
            assert repr(told.get(timeout=10)) == "Unsubscribed(client_id='c', filter='t')"
        kinds = {type(told.get(timeout=10)).__name__ for _ in range(2)}
        assert kinds == {"Disconnected", "SessionEnded"}
        with enter(broker, "k") as kicked:
            assert isinstance(told.get(timeout=10), Connected)
            assert broker.kick("k")
            assert isinstance(kicked.closed(10), ternmq.ConnectionLostError)
        left = told.get(timeout=10)
        assert isinstance(left, Disconnected)
        assert (left.by, left.reason_code) == ("broker", ternmq.ReasonCode.ADMINISTRATIVE_ACTION)
        assert not broker.kick("k")
    assert "on_connect has failed" in caplog.text and "on_publish has failed" in caplog.text


def test_an_answer_of_authorise_that_is_none_denies(caplog: pytest.LogCaptureFixture) -> None:
    def authorise(client: Acting, action: Action) -> bool | None:
        return 1  # type: ignore[return-value]

    with ternmq.Broker(authorise=authorise) as broker, enter(broker, "c") as client:
        with pytest.raises(ternmq.PublishError):
            client.publish("t", b"", 1)
        assert client.connected
    assert "authorise returns True, False or None, not 1" in caplog.text


def test_what_on_publish_is_too_slow_for_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    # More than the 64 MiB that may wait.
    published, told = 80, 0
    go_on = threading.Event()

    def slow(message: ternmq.Message) -> None:
        nonlocal told
        told += 1
        go_on.wait(10)

    with ternmq.Broker(on_publish=slow, record=0) as broker:
        with enter(broker, "c") as client:
            for _ in range(published):
                client.publish("t", bytes(1 << 20), 1)
        go_on.set()
    lost = [r.args[0] for r in caplog.records if "on_publish is too slow" in r.getMessage() and r.args]
    assert lost and told + sum(int(str(count)) for count in lost) == published


def test_a_callback_may_use_the_broker_and_stop_it() -> None:
    stopped = threading.Event()

    def on_publish(message: ternmq.Message) -> None:
        if message.topic == "echo":
            broker.publish("answer", message.payload)
        else:
            broker.stop()
            stopped.set()

    def authenticate(client: Connecting) -> bool:
        return client.client_id not in broker.clients()

    broker = ternmq.Broker(on_publish=on_publish, authenticate=authenticate)
    broker.start()
    with enter(broker, "c") as client:
        client.publish("echo", b"x", qos=1)
    assert stopped.wait(10)
    assert [m.topic for m in broker.messages] == ["echo", "answer"]


def test_everything_is_told_before_stop_returns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ternmq.broker")
    got: list[bytes] = []
    with ternmq.Broker(on_publish=lambda message: got.append(message.payload)) as broker:
        for n in range(1000):
            broker.publish("t", str(n))
    assert got == [str(n).encode() for n in range(1000)]
    assert not caplog.records


def test_a_program_may_end_with_its_broker_running() -> None:
    program = """
import ternmq
from ternmq.blocking import Client
broker = ternmq.Broker(
    on_publish=lambda message: None, on_connect=lambda event: None, authenticate=lambda client: True
)
broker.start()
client = Client(broker.url)
client.connect()
for _ in range(200):
    client.publish_nowait("t", b"x", qos=1)
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
