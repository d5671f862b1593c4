"""What the embedded broker says and does, to the last field: nothing else would notice a slip in one of them."""

import ssl
import threading
from pathlib import Path

import pytest
import ternmq
from ternmq.blocking import Client
from ternmq.broker import Acting, Action, Disconnected, Rule


def enter(broker: ternmq.Broker, client_id: str, **options: object) -> Client:
    return Client(broker.url, client_id=client_id, timeout=10, **options)  # type: ignore[arg-type]


def test_a_fault_is_about_one_client_and_one_way(broker: ternmq.Broker) -> None:
    with enter(broker, "c") as client, enter(broker, "d") as other, client.subscribe("t", 1) as messages:
        with broker.drop("PUBLISH", "c", way="in") as fault:
            other.publish("t", b"out to c", qos=1)
            assert messages.get(10).payload == b"out to c"
            assert fault.hits == 0
        with broker.drop("PUBLISH", "c", way="out") as fault:
            client.publish("t", b"in from c", qos=1)
            assert broker.wait_for("t").payload == b"out to c" and fault.hits == 1


def test_the_others_stay_when_one_is_cut_off(broker: ternmq.Broker) -> None:
    with enter(broker, "c") as client, enter(broker, "d") as other, enter(broker, "e") as third:
        assert broker.cut("c") == 1
        assert isinstance(client.closed(10), ternmq.ConnectionLostError)
        assert broker.half_open("d") == 1
        third.publish("t", b"", qos=1)
        with pytest.raises(ternmq.MqttTimeoutError):
            other.publish("t", b"", qos=1, timeout=0.01)
        assert broker.cut() == 2
        assert isinstance(third.closed(10), ternmq.ConnectionLostError)
        assert isinstance(other.closed(10), ternmq.ConnectionLostError)


def test_lifting_one_fault_leaves_the_others(broker: ternmq.Broker) -> None:
    first, second = broker.drop("PUBACK"), broker.drop("PUBLISH")
    first.lift()
    with enter(broker, "c") as client:
        client.publish("t", b"", qos=0)
        second.wait(1, 10)
        broker.lift_faults()
        client.publish("t", b"", qos=1)


def test_what_is_known_of_a_client(broker: ternmq.Broker) -> None:
    options = {"clean_start": False, "session_expiry": 60}
    with enter(broker, "c", keepalive=17, username="u", **options) as client:
        client.subscribe("t/#", 1, keep=True, ack="manual")
        client.subscribe("u", keep=True)
        client.publish("x", b"", qos=1)
        for _ in range(3):
            broker.publish("t/1", b"", qos=1)
        with enter(broker, "d") as other:  # behind those three
            other.publish("t/1", b"", qos=1)
        info = broker.clients()["c"]
        assert (info.connected, info.version, info.keepalive, info.username) == (True, 5, 17, "u")
        assert (info.subscriptions, info.inflight, info.received, info.sent) == (2, 4, 1, 4)
    with enter(broker, "old", version=3), enter(broker, "usual", version=4, keepalive=0) as last:
        assert [broker.clients()[name].version for name in ("old", "usual")] == [3, 4]
        assert broker.clients()["usual"].keepalive == 0
        last.publish("t/1", b"", qos=1)
    away = broker.clients()["c"]
    assert (away.connected, away.version, away.keepalive, away.username) == (False, None, None, None)
    assert (away.queued, away.inflight) == (1, 4)


def test_what_is_retained_says_so(broker: ternmq.Broker) -> None:
    with broker.subscribe("r") as live:
        broker.publish("r", b"1", retain=True)
        assert live.get(10).retain  # as it was published
    assert broker.retained()["r"].retain


def test_closing_ends_the_waits_of_all_threads(broker: ternmq.Broker) -> None:
    messages = broker.subscribe("t")
    count = 20
    here = threading.Barrier(count + 1)
    ended: list[BaseException] = []

    def wait() -> None:
        here.wait()
        try:
            messages.get(None)
        except EOFError as error:
            ended.append(error)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    here.wait()
    messages.close()
    for thread in threads:
        thread.join(10)
    assert len(ended) == count


def may_publish(client: Client, topic: str, retain: bool = False) -> bool:
    try:
        client.publish(topic, b"", qos=1, retain=retain)
    except ternmq.PublishError as error:
        assert error.reason_code == ternmq.ReasonCode.NOT_AUTHORIZED
        return False
    return True


def test_rules_about_retained_messages_and_about_nobody() -> None:
    rules = [Rule.allow("kept", retain=True), Rule.allow("live", retain=False), Rule.allow("open", user="")]
    with ternmq.Broker(acl=rules) as broker:
        with enter(broker, "c") as nobody, enter(broker, "d", username="u") as somebody:
            assert [may_publish(somebody, "kept", retain=kept) for kept in (True, False)] == [True, False]
            assert [may_publish(somebody, "live", retain=kept) for kept in (True, False)] == [False, True]
            assert [may_publish(client, "open") for client in (nobody, somebody)] == [True, False]


def test_rules_that_were_replaced_outlive_a_restart() -> None:
    with ternmq.Broker(acl=[Rule.allow("a")]) as broker:
        broker.set_acl([Rule.allow("b")])
        for _ in range(2):
            with enter(broker, "c") as client:
                assert [may_publish(client, topic) for topic in ("a", "b")] == [False, True]
            broker.restart()


def test_authorise_is_asked_each_time_for_what_no_rule_allows() -> None:
    answers: list[bool | None] = [True, False, True, None]
    asked: list[str] = []

    def authorise(client: Acting, action: Action) -> bool | None:
        asked.append(action.topic)
        return answers[len(asked) - 1]

    with ternmq.Broker(authorise=authorise, acl=[Rule.allow("open")]) as broker, enter(broker, "c") as client:
        assert [may_publish(client, "t") for _ in range(4)] == [True, False, True, False]
        assert may_publish(client, "open")
    assert asked == ["t"] * 4


def test_who_has_ended_a_connection() -> None:
    told: list[Disconnected] = []
    with ternmq.Broker(on_disconnect=told.append) as broker:
        with enter(broker, "own") as client:
            client.disconnect(4)
        with enter(broker, "kicked") as client:
            broker.kick("kicked", 0x97)
            client.closed(10)
        with enter(broker, "lost") as client:
            broker.cut("lost")
            client.closed(10)
    ends = {end.client_id: (end.by, end.reason_code) for end in told}
    assert ends == {"own": ("client", 4), "kicked": ("broker", 0x97), "lost": ("lost", None)}


def test_what_on_publish_misses_is_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    room, rounds = 64, 2
    told = 0
    turns = [(threading.Event(), threading.Event()) for _ in range(rounds)]

    def slow(message: ternmq.Message) -> None:
        nonlocal told
        told += 1
        if message.payload[:1] != b"\0":
            here, go_on = turns[int(message.payload)]
            here.set()
            go_on.wait(10)

    with ternmq.Broker(on_publish=slow, record=0) as broker, enter(broker, "c") as client:
        for turn, (here, go_on) in enumerate(turns):
            client.publish("t", str(turn), 1)
            assert here.wait(10)
            for _ in range(room + 6):
                client.publish("t", bytes(1 << 20), 1)
            go_on.set()
    lines = [r.args for r in caplog.records if "on_publish is too slow" in r.getMessage()]
    lost = [int(str(arguments[0])) for arguments in lines if isinstance(arguments, tuple)]
    assert len(lost) == rounds
    assert told + sum(lost) == rounds * (room + 7)


def test_the_address_that_is_told_can_be_connected_to() -> None:
    for host, url in (("0.0.0.0", "mqtt://127.0.0.1:"), ("127.0.0.1", "mqtt://127.0.0.1:")):
        with ternmq.Broker(host=host, anonymous=True) as broker, enter(broker, "c"):
            assert broker.url.startswith(url)


def test_a_client_may_speak_tls_1_2() -> None:
    with ternmq.Broker(tls=True) as broker:
        context = broker.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with Client(broker.urls["mqtts"], tls=context) as client:
            client.publish("t", b"", qos=1)


def test_who_may_open_its_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with ternmq.Broker(port=None, unix=path) as broker, Client(broker.url):
        assert path.stat().st_mode & 0o777 == 0o600
