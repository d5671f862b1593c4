"""Packages from PyPI that are made on paho-mqtt, unchanged, on ternmq.paho: with our broker and mosquitto."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ternmq
from ternmq.paho import shadow
from transports import Certificates, MosquittoServer

USERS = Path(__file__).with_name("paho_users.py")


@pytest.fixture(scope="module", params=["ternmq", "mosquitto"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if request.param == "ternmq":
        with ternmq.Broker() as broker:
            yield broker.port
        return
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    server = MosquittoServer(certificates, tmp_path_factory.mktemp("server"))
    try:
        yield int(server.ports["tcp"])
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["aiomqtt", "flask-mqtt", "ha-mqtt-discoverable"])
def test_package(name: str, port: int, tmp_path: Path) -> None:
    shadow.write(tmp_path)
    command = [sys.executable, "-W", "ignore", str(USERS), name, str(port)]
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
