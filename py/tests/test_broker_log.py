"""What an embedded broker logs of its clients: real refusals, faults, drops and failed handshakes."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import ternmq
from ternmq.blocking import Client

SECRET = "geheim-4711"


def enter(broker: ternmq.Broker, client_id: str, **options: object) -> Client:
    return Client(broker.url, client_id=client_id, keepalive=0, timeout=10, **options)  # type: ignore[arg-type]


class Log(logging.Handler):
    """The records of `ternmq.broker`."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord] = []
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self._records.append(record)
            self._more.notify_all()

    def all(self, event: str) -> list[logging.LogRecord]:
        return [r for r in self._records if getattr(r, "event", None) == event]

    def first(self, event: str) -> logging.LogRecord:
        """Waits for it: the broker has threads of its own."""
        return self.until(lambda: self.all(event))[0]

    def until(self, look: Callable[[], list[logging.LogRecord]]) -> list[logging.LogRecord]:
        with self._more:
            assert self._more.wait_for(look, 10), [r.getMessage() for r in self._records]
            return look()


@pytest.fixture
def log() -> Iterator[Log]:
    log, logger = Log(), logging.getLogger("ternmq.broker")
    level = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
    for record in log._records:
        assert SECRET not in record.getMessage() + repr(vars(record))


@contextmanager
def raw(broker: ternmq.Broker, scheme: str = "mqtt") -> Iterator[socket.socket]:
    host, _, port = broker.urls[scheme].partition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        yield peer


def rest(peer: socket.socket) -> bytes:
    """All that comes until the broker closes."""
    said = b""
    try:
        while data := peer.recv(4096):
            said += data
    except ConnectionResetError:
        pass
    return said


def test_who_is_refused_is_logged_without_the_password(log: Log) -> None:
    with ternmq.Broker(users={"anna": "right"}) as broker:
        with pytest.raises(ternmq.ConnectError):
            enter(broker, "liar\nforged", username="anna", password=SECRET).connect()
        record = log.first("refused")
    assert record.levelno == logging.WARNING
    assert "\n" not in record.getMessage()
    assert "BAD_USER_NAME_OR_PASSWORD, 0x86" in record.getMessage()
    fields = vars(record)
    assert (fields["client_id"], fields["username"], fields["peer"]) == ("liar\nforged", "anna", "127.0.0.1")
    assert (fields["reason"], fields["listener"]) == (0x86, 0)


def test_many_that_are_refused_are_logged_in_sum(log: Log) -> None:
    with ternmq.Broker(anonymous=False) as broker:
        for n in range(40):
            with pytest.raises(ternmq.ConnectError):
                enter(broker, f"c{n}").connect()
        broker.time.advance(seconds=2)
        log.first("refused_more")
    single = len(log.all("refused"))
    assert single >= 20
    assert single + sum(vars(record)["count"] for record in log.all("refused_more")) == 40


def test_clients_that_come_and_go_are_logged(log: Log) -> None:
    with ternmq.Broker() as broker:
        with enter(broker, "c", username="u", password=SECRET) as client:
            client.subscribe("t/#", qos=1)
        gone = log.first("disconnect")
    came, subscribed = log.first("connect"), log.first("subscribe")
    assert (came.levelno, subscribed.levelno, gone.levelno) == (logging.INFO, logging.DEBUG, logging.INFO)
    assert came.getMessage() == (
        "client 'c' connected from 127.0.0.1 as 'u', MQTT 5.0, session present: False"
    )
    assert (vars(gone)["by"], vars(gone)["reason"]) == ("client", 0)
    assert vars(subscribed)["filter"] == "t/#"
    assert log.first("session_end").levelno == logging.DEBUG
    listening = log.first("listening")
    assert "listening on 127.0.0.1:" in listening.getMessage()
    assert log.first("listener_closed").levelno == logging.INFO


def test_a_takeover_is_logged(log: Log) -> None:
    with ternmq.Broker() as broker, enter(broker, "c"):
        with enter(broker, "c"):
            record = log.first("disconnect")
    assert record.levelno == logging.INFO
    assert (vars(record)["by"], vars(record)["reason"]) == ("broker", 0x8E)
    assert "another connection uses this client identifier" in record.getMessage()


def test_a_kick_and_a_silent_client_are_logged_as_such(log: Log) -> None:
    with ternmq.Broker() as broker:
        with raw(broker) as peer:
            peer.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x0a\x00\x02cc")
            assert peer.recv(4) == b"\x20\x02\x00\x00"
            broker.time.advance(seconds=16)
            record = log.first("disconnect")
            assert vars(record)["reason"] == 0x8D
            assert "Keep Alive" in record.getMessage()
        with enter(broker, "k"):
            broker.kick("k")
            kicked = log.until(lambda: [r for r in log.all("disconnect") if vars(r)["client_id"] == "k"])
    assert vars(kicked[0])["reason"] == 0x98


def test_a_broken_rule_of_the_protocol_is_logged(log: Log) -> None:
    with ternmq.Broker() as broker, raw(broker) as peer:
        peer.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c")
        assert peer.recv(4) == b"\x20\x02\x00\x00"
        peer.sendall(b"\x30\x05\x00\x03a/+")
        rest(peer)
        record = log.first("disconnect")
    assert record.levelno == logging.WARNING
    assert "not a valid topic name (PROTOCOL_ERROR, 0x82)" in record.getMessage()


def test_what_a_client_does_not_get_is_logged(log: Log) -> None:
    with ternmq.Broker(limits={"queue_messages": 3, "inflight": 1}) as broker, raw(broker) as peer:
        peer.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c" + b"\x82\x06\x00\x01\x00\x01t\x01")
        # It acknowledges nothing, so that one message is under way and three wait.
        log.first("subscribe")
        for n in range(10):
            broker.publish("t", str(n), qos=1)

        def all_are_there() -> list[logging.LogRecord]:
            records = log.all("dropped")
            return records if sum(vars(r)["dropped"]["queue_items"] for r in records) == 6 else []

        log.first("dropped")
        # What came after the first line is told a second later.
        broker.time.advance(seconds=1)
        records = log.until(all_are_there)
    assert all(record.levelno == logging.WARNING for record in records)
    assert "client 'c': " in records[0].getMessage() and "queue_items" in records[0].getMessage()


def test_tls_that_fails_is_logged(log: Log) -> None:
    with ternmq.Broker(tls=True) as broker, raw(broker, "mqtts") as peer:
        peer.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c")
        rest(peer)
        record = log.first("refused")
    assert record.levelno == logging.WARNING
    assert vars(record)["reason"] is None
    assert "TLS" in record.getMessage()


def test_a_session_that_expires_is_logged(log: Log) -> None:
    with ternmq.Broker() as broker:
        with enter(broker, "c", session_expiry=60):
            pass
        log.first("disconnect")
        broker.time.advance(seconds=61)
        record = log.first("session_end")
    assert (record.levelno, vars(record)["expired"]) == (logging.INFO, True)


UNHEARD = """
import logging, sys, ternmq
from ternmq.blocking import Client

if sys.argv[1] == "heard":
    logging.basicConfig(format="%(levelname)s")

with ternmq.Broker(users={"u": "p"}, on_connect=lambda connected: 1 / 0) as broker:
    try:
        Client(broker.url, username="u", password="x").connect()
    except ternmq.ConnectError:
        pass
    with Client(broker.url, username="u", password="p"):
        pass
"""


@pytest.mark.parametrize("how", ["heard", "unheard"])
def test_without_logging_only_errors_are_seen(how: str) -> None:
    ended = subprocess.run([sys.executable, "-c", UNHEARD, how], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stderr.count("ZeroDivisionError: ") == 1
    assert ("WARNING" in ended.stderr) == (how == "heard")
    assert "refused" not in ended.stderr
