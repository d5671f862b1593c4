"""The crate `paho-mqtt`, linked with the library of the system, which is ours here."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from actors import Shim
from broker import ROOT, Broker
from conftest import Program

HERE = Path(__file__).parent


def test_a_client_of_the_crate(
    run: Callable[..., Program], library: Path, broker: Broker, witness: Shim, topic: str
) -> None:
    # Its build script takes no folder by its own search that has no static library.
    found = {"PAHO_MQTT_C_LIB_DIR": str(library), "PAHO_MQTT_C_INCLUDE_DIR": str(ROOT / "include")}
    target = ROOT / "target/paho-crate"
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", HERE / "crate/Cargo.toml"]
    subprocess.run([*command, "--target-dir", target], env=os.environ | found, check=True, timeout=1800)
    witness.subscribes(f"{topic}/out/#")
    program = run(target / "debug/paho-crate", f"tcp://{broker.host}:{broker.port}", topic)
    program.hears("subscribed")
    for qos in (0, 1, 2):
        came = witness.receives(f"{topic}/out/{qos}", f"from the crate {qos}", qos)
        assert came.all("user") == ["language:Rust"], came
    for qos in (0, 1, 2):
        witness.publishes(f"{topic}/in", f"to the crate {qos}", qos, user="q:a")
        assert program.hears("came") == f"came to the crate {qos} with QoS {qos}, q=a"
    program.ends()
    witness.receives(f"{topic}/out/end", "good-bye", 1)
