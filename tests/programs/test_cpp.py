"""Paho's C++ library, as Debian has it, on our library."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from actors import Shim
from broker import Broker
from conftest import Program

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=["blocking", "awaiting"])
def built(request: pytest.FixtureRequest, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("cpp") / request.param
    source = HERE / f"cpp/{request.param}.cpp"
    flags = ["-std=c++17", "-Wall", "-Werror", "-pthread", "-L", library]
    # The C++ library brings the C library it was linked with, by its name: ours stands first.
    links = ["-lpaho-mqttpp3", "-lpaho-mqtt3as"]
    subprocess.run(["g++", *flags, "-o", program, source, *links], check=True)
    return program


def test_clients_in_cpp(
    run: Callable[..., Program], broker: Broker, witness: Shim, topic: str, built: Path
) -> None:
    witness.subscribes(f"{topic}/out/#")
    program = run(built, f"tcp://{broker.host}:{broker.port}", topic)
    program.hears("subscribed")
    for qos in (0, 1, 2):
        came = witness.receives(f"{topic}/out/{qos}", f"from C++ {qos}", qos)
        assert came.all("user") == ["language:C++"], came
    for qos in (0, 1, 2):
        witness.publishes(f"{topic}/in", f"to C++ {qos}", qos, user="q:a")
        assert program.hears("came") == f"came to C++ {qos} with QoS {qos}, q=a"
    program.ends()
    witness.receives(f"{topic}/out/end", "good-bye", 1)
