"""One server for all tests, our library under the names of Paho's, and programs that run with it."""

import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from actors import Shim
from broker import ROOT, Broker, build

# Seconds.
PATIENCE = 30
PYTHON = ROOT / "target/venv/bin/python"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make install` lays it out: the library, and the names that programs ask for."""
    build("ternmq-ffi-c", "ternmq-server")
    folder: Path = tmp_path_factory.mktemp("lib")
    # In `deps`, where that of the Rust tests lies as well as one that is built alone.
    shutil.copy(ROOT / "target/debug/deps/libternmq.so", folder / "libternmq.so.0")
    subprocess.run([ROOT / "ffi-c/paho-names", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def broker(library: Path) -> Iterator[Broker]:
    broker = Broker()
    yield broker
    sums = broker.stop()
    # No program was led to send what the server finds wrong.
    assert (sums["protocol_errors"], sums["refused"]) == (0, 0), sums


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic that no other test has."""
    name = request.node.name
    return "programs/" + "".join(c if c.isalnum() else "-" for c in name)


class Program:
    """A program of somebody else, or about to be one, which has our library loaded."""

    def __init__(self, library: Path, log: Path, *command: str | Path, **env: str) -> None:
        self.library, self.log = library, log
        loader = {"LD_LIBRARY_PATH": str(library), "LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(log)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True,
            errors="replace", env=os.environ | loader | env,
        )
        self.said: list[str] = []
        self.lines: queue.Queue[str | None] = queue.Queue(100_000)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def hears(self, text: str) -> str:
        """Waits for a line that has this in it, and returns it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {text!r} came, only {self.said}") from None
            assert line is not None, f"ended without {text!r}: {self.said}"
            self.said.append(line)
            if text in line:
                return line

    def types(self, text: str) -> None:
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def ends(self, status: int = 0) -> list[str]:
        """Waits for its end and returns all that it said."""
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            self.said.append(line)
        assert code == status, f"ended with {code}: {self.said}"
        self.had_ours()
        return self.said

    def stops(self) -> list[str]:
        """Ends it by the signal that the programs wait for."""
        self.process.send_signal(signal.SIGINT)
        return self.ends()

    def dies(self) -> None:
        self.process.kill()
        self.process.wait()
        self.had_ours()

    def had_ours(self) -> None:
        """The loader says that it was our library, and none of Paho's."""
        told = self.log.with_name(f"{self.log.name}.{self.process.pid}").read_text(errors="replace")
        loaded = [line.split(":")[-1].strip() for line in told.splitlines() if "calling init: " in line]
        assert str(self.library / "libternmq.so.0") in loaded, loaded
        others = [o for o in loaded if "libpaho-mqtt3" in o and not o.startswith(str(self.library))]
        assert not others, others


@pytest.fixture
def run(library: Path, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a program with our library."""
    programs: list[Program] = []

    def run(*command: str | Path, **env: str) -> Program:
        programs.append(Program(library, tmp_path / f"loader{len(programs)}", *command, **env))
        return programs[-1]

    yield run
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


@pytest.fixture
def witness(broker: Broker, topic: str) -> Iterator[Shim]:
    """A client of another make, which sees what travels: paho-mqtt for Python, in MQTT 5.0."""
    shim = Shim([str(PYTHON), str(ROOT / "tests/shims/python/paho_shim.py")], broker, 5, f"w-{topic}")
    shim.connects()
    yield shim
    shim.dies()
