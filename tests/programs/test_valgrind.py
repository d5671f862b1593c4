"""The C faces under valgrind's memcheck and the address sanitizer: no byte is read or written that isn't there or has no value, and
what was allocated is freed, also inside the library, in which no sanitizer of the C compiler looks."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from actors import Actor, Shim
from broker import ROOT, Broker

SHIMS = ROOT / "tests/shims/c"
VALGRIND = [
    "valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full",
    "--errors-for-leak-kinds=definite,indirect", "--show-leak-kinds=definite,indirect",
]


@pytest.fixture(params=["valgrind", "address-sanitizer"])
def by(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["sync", "async"])
def shim(request: pytest.FixtureRequest, by: str, library: Path, tmp_path: Path) -> Path:
    """A shim that was built with our headers and library."""
    program = tmp_path / request.param
    sources = [SHIMS / f"{name}.c" for name in (request.param, "line", "inbox")]
    name = {"sync": "paho-mqtt3c", "async": "paho-mqtt3a"}[request.param]
    flags = ["-std=gnu11", "-g", "-pthread", f"-I{ROOT}/include", f"-L{library}"]
    if by == "address-sanitizer":
        flags.append("-fsanitize=address")
    subprocess.run(["cc", *flags, "-o", program, *sources, f"-l{name}"], check=True)
    return program


@pytest.fixture(params=[4, 5], ids=["3.1.1", "5"])
def actor(
    request: pytest.FixtureRequest, by: str, shim: Path, library: Path, broker: Broker
) -> Iterator[Shim]:
    env = {"LD_LIBRARY_PATH": str(library)}
    watched = VALGRIND if by == "valgrind" else []
    actor = Patient([*watched, str(shim)], broker, request.param, "careful", env=env)
    yield actor
    if actor.process.poll() is None:
        actor.dies()


class Patient(Shim):
    def ends(self) -> None:
        """At the end of its input the shim frees everything; valgrind says 99 for an error, the sanitizer 1."""
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.answers.close()


def test_memory_is_in_order(actor: Patient, witness: Actor, topic: str) -> None:
    witness.subscribes(f"{topic}/out")
    actor.connects(will_topic=f"{topic}/will", will_payload="w", will_qos=1)
    actor.subscribes(f"{topic}/in", 2)
    in_5 = {"user": "colour:teal"} if actor.version == 5 else {}
    for qos in (0, 1, 2):
        actor.publishes(f"{topic}/out", b"x" * 10_000, qos, **in_5)
        witness.receives(f"{topic}/out", b"x" * 10_000, qos)
        witness.publishes(f"{topic}/in", "y" * 10_000, qos, user="shape:round")
        came = actor.ok("receives")
        assert came.raw("payload") == b"y" * 10_000, came
    actor.unsubscribes(f"{topic}/in")
    actor.disconnects()
    actor.ends()
