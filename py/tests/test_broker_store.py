"""What a broker tells of its folder: really damaged, and on a disk that is really full."""

import logging
import queue
import subprocess
import sys
from pathlib import Path

import pytest
import ternmq
from ternmq.blocking import Client
from ternmq.broker import StoreEvent


def fill(folder: Path) -> None:
    with ternmq.Broker(folder=folder) as broker:
        for n in range(200):
            broker.publish(f"t/{n}", f"{n}" * 50, retain=True)


def told_by(folder: Path) -> list[StoreEvent]:
    told: list[StoreEvent] = []
    with ternmq.Broker(folder=folder, on_store=told.append):
        pass
    return told


def test_what_is_there_again_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    with caplog.at_level(logging.INFO, "ternmq.broker"):
        (event,) = told_by(tmp_path)
    assert (event.kind, event.file) == ("restored", None)
    assert (event.numbers["retained"], event.numbers["sessions"], event.numbers["damaged"]) == (200, 0, 0)
    records = [r for r in caplog.records if r.name == "ternmq.broker"]
    (record,) = [r for r in records if r.event == "restored"]  # type: ignore[attr-defined]
    assert record.levelno == logging.INFO
    assert record.event == "restored"  # type: ignore[attr-defined]
    assert "retained: 200" in record.getMessage()


def test_damage_is_told_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    (file,) = [path for path in tmp_path.iterdir() if path.stat().st_size > 10_000]
    whole = bytearray(file.read_bytes())
    at = whole.index(b"77" * 50)
    while at >= 0:
        whole[at] ^= 1
        at = whole.find(b"77" * 50, at)
    file.write_bytes(whole)
    told = told_by(tmp_path)
    damaged = [event for event in told if event.kind in ("damaged", "set_aside")]
    assert damaged and all(event.numbers["damaged"] >= 1 for event in damaged), told
    assert all(event.kind != "set_aside" or Path(event.file or "").exists() for event in told)
    (restored,) = [event for event in told if event.kind == "restored"]
    assert restored.numbers["retained"] == 199
    records = [r for r in caplog.records if r.name == "ternmq.broker" and r.levelno == logging.ERROR]
    assert [r.event for r in records] == [e.kind for e in damaged]  # type: ignore[attr-defined]


FULL = """
import queue, resource, sys, ternmq
from ternmq.blocking import Client
told = queue.Queue()
with ternmq.Broker(folder=sys.argv[1], on_store=told.put) as broker, Client(broker.url) as client:
    assert told.get(timeout=20).kind == "restored"
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))
    broker.publish("t", b"x" * 100, retain=True)
    event = told.get(timeout=20)
    print(event.kind, "large" in event.text, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    print(told.get(timeout=20).kind, flush=True)
    assert told.empty()
with ternmq.Broker(folder=sys.argv[1]) as broker:
    print(broker.retained("t")["t"].payload == b"x" * 100)
"""


def test_a_full_disk_is_told_once_and_that_it_works_again(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["not_stored True", "stored_again", "True"], done.stderr
    # Nobody has set up logging: what is worse than a warning is on stderr.
    assert "what is to be kept is refused until it can be" in done.stderr
    assert "can be written again" not in done.stderr


def test_a_full_log_is_told_and_the_oldest_messages_are_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.Queue[StoreEvent] = queue.Queue()
    away = {"client_id": "away", "clean_start": False, "session_expiry": 3600}
    with ternmq.Broker(folder=tmp_path, limits={"log_bytes": 1}, on_store=told.put) as broker:
        assert told.get(timeout=20).kind == "restored"
        with Client(broker.url, **away) as client:  # type: ignore[arg-type]
            client.subscribe("t/#", 1, keep=True)
        with Client(broker.url) as client:
            for n in range(20):
                client.publish("t/x", str(n), 1)
        broker.time.advance(seconds=5)
        event = told.get(timeout=20)
        assert (event.kind, event.file, event.numbers) == ("log_full", None, {"dropped": 20})
        assert "as much as they may" in event.text
        # It was all of them, and none that came after.
        with Client(broker.url) as client, Client(broker.url, **away) as other:  # type: ignore[arg-type]
            inbox = other.subscribe("t/#", 1)
            client.publish("t/x", "new", 1)
            assert inbox.get(20).payload == b"new"
    (record,) = [r for r in caplog.records if "as much as they may" in r.getMessage()]
    assert record.levelno == logging.WARNING and "dropped: 20" in record.getMessage()


def test_what_on_store_raises_is_logged_and_goes_no_further(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: queue.Queue[str] = queue.Queue()

    def raising(event: StoreEvent) -> None:
        seen.put(event.kind)
        raise SystemExit(5)

    with ternmq.Broker(folder=tmp_path, on_store=raising) as broker:
        assert seen.get(timeout=20) == "restored"
        broker.restart()
        assert seen.get(timeout=20) == "restored"
        with Client(broker.url) as client:
            client.publish("t", b"", qos=1)
    assert caplog.text.count("on_store has failed") == 2
    with pytest.raises(TypeError, match="on_store"):
        ternmq.Broker(on_store=5)  # type: ignore[arg-type]
