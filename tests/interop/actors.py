"""The clients that the tests drive: a shim for each library, and mosquitto's programs.

An actor is one client in a process of its own. Its methods are the steps of tests/shims/README.md.
"""

import os
import queue
import subprocess
import threading
import time
import urllib.parse
from typing import Any

from broker import Broker

# Seconds; a shim gives up after ten and says so.
PATIENCE = 20


class Answer:
    """What came of a step: a word and fields."""

    def __init__(self, word: str, fields: list[tuple[str, bytes]]) -> None:
        self.word, self.fields = word, fields

    def raw(self, name: str) -> bytes | None:
        return next((value for field, value in self.fields if field == name), None)

    def text(self, name: str) -> str | None:
        value = self.raw(name)
        return None if value is None else value.decode()

    def number(self, name: str) -> int | None:
        value = self.raw(name)
        return None if value is None else int(value)

    def all(self, name: str) -> list[str]:
        return [value.decode() for field, value in self.fields if field == name]

    def properties(self) -> set[str]:
        """The names of the fields that only MQTT 5 has."""
        return {name for name, _ in self.fields} - {"topic", "payload", "qos", "retain", "dup"}

    def __repr__(self) -> str:
        shown = (f"{name}={value[:80]!r}" for name, value in self.fields)
        return " ".join([self.word, *shown])


class Actor:
    """One client of a library or a program, in one version of MQTT."""

    def __init__(self, broker: Broker, version: int, client_id: str) -> None:
        self.broker, self.version, self.client_id = broker, version, client_id

    def step(self, verb: str, **fields: Any) -> Answer:
        """Does a step and returns what came of it, whatever that is."""
        raise NotImplementedError

    def ok(self, verb: str, **fields: Any) -> Answer:
        """Does a step that must succeed."""
        answer = self.step(verb, **fields)
        assert answer.word == "ok", f"{self.client_id}: {verb}: {answer}"
        return answer

    def connects(self, **fields: Any) -> Answer:
        fields = {"client_id": self.client_id, **fields}
        return self.ok(
            "connects",
            host=self.broker.host,
            port=self.broker.port,
            version=self.version,
            **fields,
        )

    def subscribes(self, filter: str, qos: int = 2, **fields: Any) -> Answer:
        answer = self.ok("subscribes", filter=filter, qos=qos, **fields)
        assert answer.number("code") == qos, f"{self.client_id}: {answer}"
        return answer

    def unsubscribes(self, filter: str) -> Answer:
        return self.ok("unsubscribes", filter=filter)

    def publishes(self, topic: str, payload: bytes | str = b"", qos: int = 2, **fields: Any) -> Answer:
        return self.ok("publishes", topic=topic, payload=payload, qos=qos, **fields)

    def receives(self, topic: str, payload: bytes | str = b"", qos: int = 2, retain: int = 0) -> Answer:
        """The next message must be this one."""
        payload = payload.encode() if isinstance(payload, str) else payload
        came = self.ok("receives")
        seen = (came.text("topic"), came.number("qos"), came.number("retain"))
        assert seen == (topic, qos, retain), f"{self.client_id}: {came}"
        assert came.raw("payload") == payload, f"{self.client_id}: {came}"
        if self.version < 5:
            assert not came.properties(), f"{self.client_id}: properties before MQTT 5: {came}"
        return came

    def loses(self) -> Answer:
        return self.ok("loses")

    def disconnects(self, **fields: Any) -> Answer:
        return self.ok("disconnects", **fields)

    def resumes(self, filter: str, **fields: Any) -> Answer:
        """Connects to go on with the session, which has a subscription to `filter`."""
        return self.connects(**fields)

    def dies(self) -> None:
        """Ends the process at once: the server sees a connection that breaks off."""
        raise NotImplementedError


class Shim(Actor):
    """A client library behind its shim."""

    def __init__(self, command: list[str], *about: Any, env: dict[str, str] | None = None) -> None:
        super().__init__(*about)
        self.command, self.env = command, os.environ | (env or {})
        self.start()

    def start(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, env=self.env)
        self.answers = Lines(self.process)
        self.connected = False

    def step(self, verb: str, **fields: Any) -> Answer:
        self.connected = verb not in ("disconnects", "loses")
        self.process.stdin.write(line(verb, fields))
        self.process.stdin.flush()
        said = self.answers.take().decode().split()
        pairs = (part.partition("=") for part in said[1:])
        return Answer(said[0], [(name, urllib.parse.unquote_to_bytes(v)) for name, _, v in pairs])

    def may_play_again(self) -> bool:
        """Whether the process is there and without a connection, or can be made so."""
        if self.process.poll() is not None:
            return False
        try:
            return not self.connected or self.step("disconnects").word == "ok"
        except AssertionError:
            return False

    def dies(self) -> None:
        self.process.kill()
        self.process.wait()
        self.answers.close()


class PahoSync(Shim):
    """Paho's synchronous library.

    Its connect() gives the thread of the library half a second to start. On a busy machine that may
    be too little, and then it returns -1 and has opened no connection; the next process has better
    luck. That no connection of its was broken off shows in what the server tells at its end.
    """

    def step(self, verb: str, **fields: Any) -> Answer:
        begun = time.monotonic()
        answer = super().step(verb, **fields)
        at_once = time.monotonic() - begun < PATIENCE / 4
        if verb == "connects" and answer.number("code") == -1 and at_once:
            self.dies()
            self.start()
            return super().step(verb, **fields)
        return answer


class Lines:
    """What a process writes, line by line, with an end to patience."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.lines: queue.Queue[bytes | None] = queue.Queue(100_000)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        for text in self.process.stdout:
            self.lines.put(text)
        self.lines.put(None)

    def take(self) -> bytes:
        try:
            text = self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"{self.process.args}: said nothing for {PATIENCE} s") from None
        assert text is not None, f"{self.process.args}: ended with {self.process.wait()}"
        return text

    def close(self) -> None:
        """After the process has ended."""
        self.thread.join()
        self.process.stdout.close()
        if self.process.stdin is not None:
            # What a dead process did not read can't be flushed.
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass


def line(verb: str, fields: dict[str, Any]) -> bytes:
    """A step as a line; a list is a field that is repeated."""
    parts = [verb]
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            data = one if isinstance(one, bytes) else str(one).encode()
            parts.append(f"{name.replace('__', '.')}={urllib.parse.quote_from_bytes(data)}")
    return " ".join(parts).encode() + b"\n"
