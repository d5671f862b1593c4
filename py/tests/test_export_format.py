"""`ternmq store export`, read by a program that knows no more of it than what core/store/EXPORT.md says."""

import hashlib
import json
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODULE = [sys.executable, "-m", "ternmq"]
START, MESSAGE, SESSION, RETAINED, DELAYED, END = range(1, 7)


@dataclass
class Frame:
    """A frame, its checksum and what does not depend on its kind looked at."""

    kind: int
    partition: int
    name: bytes
    body: bytes


def frames(data: bytes) -> Iterator[Frame]:
    at = 0
    while at < len(data):
        head = data[at : at + 32]
        assert head[:4] == b"\xf7\x54\x4d\x0a"
        length = int.from_bytes(head[24:28], "little")
        body = data[at + 32 : at + 32 + length]
        assert len(body) == length <= 512 << 20
        assert int.from_bytes(head[28:32], "little") == zlib.crc32(body, zlib.crc32(head[4:28]))
        assert head[5] == 0
        yield Frame(head[4], int.from_bytes(head[6:8], "little"), head[8:24], body)
        at += 32 + length


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, length, shift = data[at], 0, 0
        at += 1
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        assert shift <= 28 and at + length <= len(data)
        yield tag, data[at : at + length]
        at += length


def numbers(data: bytes) -> list[int]:
    found, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(number)
            number, shift = 0, 0
    assert shift == 0
    return found


class Record:
    """Fields, each of them perhaps several times."""

    def __init__(self, data: bytes) -> None:
        self.fields: dict[int, list[bytes]] = {}
        for tag, value in fields(data):
            self.fields.setdefault(tag, []).append(value)

    @classmethod
    def of(cls, frame: Frame) -> "Record":
        assert frame.body[0] == 1
        return cls(frame.body[1:])

    def raw(self, tag: int) -> bytes:
        (value,) = self.fields.get(tag, [b""])
        return value

    def text(self, tag: int) -> str:
        return self.raw(tag).decode()

    def numbers(self, tag: int) -> list[int]:
        return numbers(self.raw(tag))

    def number(self, tag: int) -> int:
        (number,) = self.numbers(tag) or [0]
        return number

    def all(self, tag: int) -> list["Record"]:
        return [Record(value) for value in self.fields.get(tag, [])]


def hashed(text: str) -> bytes:
    return hashlib.sha256(bytes(8) + text.encode()).digest()[:16]


def partition_of(text: str) -> int:
    return int.from_bytes(hashed(text), "big") % 64


def topic_partition(topic: str) -> int:
    return partition_of("/".join(topic.split("/")[:2]))


def counted(name: bytes) -> int:
    assert name[:8] == bytes(8)
    return int.from_bytes(name[8:], "big")


def stream(filter: str) -> bytes:
    return hashlib.sha256(filter.encode()).digest()[:8]


# What a client of MQTT 5.0 says, byte by byte: the packets are short, and nothing else is to know of them.


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def expiry(seconds: int) -> bytes:
    return b"\x02" + seconds.to_bytes(4, "big")


def properties(some: bytes = b"") -> bytes:
    return bytes([len(some)]) + some


def connect(client_id: str, session: int, will: bytes = b"") -> bytes:
    flags = 0x04 | 0x08 | 0x20 if will else 0
    lasts = properties(b"\x11" + session.to_bytes(4, "big"))
    return packet(0x10, text("MQTT") + bytes([5, flags, 0, 0]) + lasts + text(client_id) + will)


def publish(topic: str, payload: bytes, flags: int, packet_id: int, more: bytes = b"") -> bytes:
    return packet(0x30 | flags, text(topic) + packet_id.to_bytes(2, "big") + properties(more) + payload)


class Peer:
    def __init__(self, address: tuple[str, int], *said: bytes) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.stream = self.socket.makefile("rb")
        for one in said:
            self.say(one)

    def say(self, data: bytes) -> int:
        """Says something and returns what kind of packet came for it."""
        self.socket.sendall(data)
        return self.hear()

    def hear(self) -> int:
        kind, length = self.stream.read(2)
        self.stream.read(length)
        return kind

    def cut(self) -> None:
        self.stream.close()
        self.socket.close()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """A server on this folder, which is killed at the end."""
    config = folder / "ternmq.toml"
    config.write_text("[topics]\ndelayed = true\n")
    command = [*MODULE, "serve", "--json", "--listen", "127.0.0.1:0", "--config", str(config)]
    with subprocess.Popen(
        [*command, "--data", str(folder / "data")], stdout=subprocess.PIPE, text=True, cwd=folder
    ) as server:
        assert server.stdout is not None
        for line in server.stdout:
            event = json.loads(line)
            if event["event"] == "listening":
                host, port = event["address"].rsplit(":", 1)
                yield host, int(port)
                break
        server.kill()


def fill(address: tuple[str, int]) -> None:
    """A session that is away with something of each kind, and messages for it."""
    will = properties(b"\x18" + (600).to_bytes(4, "big") + expiry(50)) + text("will/away") + text("gone")
    away = Peer(address, connect("away", 3600, will))
    # QoS 1, No Local, Retain As Published, no retained messages.
    options = bytes([0x01 | 0x04 | 0x08 | 0x20])
    away.say(packet(0x82, b"\0\x01" + properties(b"\x0b\x07") + text("t/#") + options))
    away.say(packet(0x82, b"\0\x02" + properties() + text("$share/g/s") + b"\x01"))
    assert away.say(publish("p", b"two", 0x04, 5)) == 0x50
    other = Peer(address, connect("other", 0))
    assert other.say(publish("t/1", b"one", 0x02, 1, expiry(500) + b"\x26" + text("k") + text("v"))) == 0x40
    assert away.hear() == 0x32
    away.cut()
    other.say(publish("t/2/x", b"later", 0x02, 2))
    other.say(publish("s", b"shared", 0x02, 3))
    other.say(publish("r/a/b", b"kept", 0x03, 4, expiry(500)))
    other.say(publish("$delayed/900/d/x", b"wait", 0x02, 5))
    other.cut()


def test_an_export_is_what_its_text_says(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        fill(address)
    file = tmp_path / "export"
    done = subprocess.run(
        [*MODULE, "store", "export", str(tmp_path / "data"), str(file)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = list(frames(file.read_bytes()))
    kinds = [frame.kind for frame in found]
    assert kinds == sorted(kinds) and set(kinds) == set(range(1, 7))
    assert kinds.count(START) == kinds.count(END) == 1
    assert counted(found[-1].name) == len(found) - 1
    now = time.time() * 1000
    look_at_start(found[0], now)
    by_number = look_at_messages([frame for frame in found if frame.kind == MESSAGE], now)
    (session,) = [frame for frame in found if frame.kind == SESSION]
    look_at_session(session, by_number, now)
    (retained,) = [frame for frame in found if frame.kind == RETAINED]
    record = Record.of(retained)
    assert (retained.name, retained.partition) == (hashed("r/a/b"), topic_partition("r/a/b"))
    assert (record.text(1), record.raw(2), record.raw(3), record.number(4)) == ("r/a/b", b"", b"kept", 1 | 4)
    assert now < record.number(5) <= now + 500_000
    (delayed,) = [frame for frame in found if frame.kind == DELAYED]
    record = Record.of(delayed)
    assert delayed.partition == topic_partition("d/x") and counted(delayed.name) >= 0
    assert (record.text(1), record.raw(3), record.number(4)) == ("d/x", b"wait", 1)
    assert now < record.number(7) <= now + 900_000


def look_at_start(frame: Frame, now: float) -> None:
    start = Record.of(frame)
    assert (frame.partition, len(start.numbers(1)), start.numbers(3)) == (0, 2, [64, 2])
    assert abs(now - start.number(2)) < 120_000


def look_at_messages(found: list[Frame], now: float) -> dict[int, Record]:
    """The messages by their numbers."""
    by_number = {counted(frame.name): Record.of(frame) for frame in found}
    assert list(by_number) == sorted(by_number)
    for frame, record in zip(found, by_number.values(), strict=True):
        assert frame.partition == topic_partition(record.text(1))
    messages = {record.text(1): record for record in by_number.values()}
    assert {topic: record.raw(3) for topic, record in messages.items()} == {
        "t/1": b"one",
        "t/2/x": b"later",
        "s": b"shared",
    }
    one = messages["t/1"]
    assert (one.raw(2), one.number(4)) == (b"\x26" + text("k") + text("v"), 1)
    assert now < one.number(5) <= now + 500_000
    assert len(one.raw(6)) > 0 and one.raw(6) == messages["s"].raw(6)
    assert messages["t/2/x"].raw(200) == stream("t/#")
    assert messages["s"].raw(200) == stream("$share/g/s")
    return by_number


def look_at_session(frame: Frame, by_number: dict[int, Record], now: float) -> None:
    session = Record.of(frame)
    assert (frame.name, frame.partition) == (hashed("away"), partition_of("away"))
    assert (session.text(1), len(session.numbers(2)), session.number(5)) == ("away", 2, 3600)
    assert session.number(3) > 0
    if session.number(16) == 0:
        assert now < session.number(6) <= now + 3_600_000
    subscriptions = {one.text(1): one for one in session.all(8)}
    assert set(subscriptions) == {"t/#", "$share/g/s"}
    assert subscriptions["t/#"].numbers(2) == [0x01 | 0x04 | 0x08 | 0x20]
    assert (subscriptions["t/#"].number(3), subscriptions["$share/g/s"].number(3)) == (7, 0)
    (will,) = session.all(9)
    assert (will.text(1), will.raw(2), will.raw(3)) == ("will/away", b"gone", expiry(50))
    assert (will.number(4), will.number(5)) == (1 | 4, 600)
    (copy,) = session.all(10)
    partition, number = copy.numbers(2)
    assert by_number[number].text(1) == "t/1" and partition == topic_partition("t/1")
    assert (copy.number(1), copy.number(3) & 3, copy.numbers(4)) == (1, 1, [7])
    assert session.numbers(11) == [5]
    assert session.number(13) == 1
    later = next(number for number, record in by_number.items() if record.text(1) == "t/2/x")
    assert number <= session.number(14) < later
