"""Packages from PyPI that are made on paho-mqtt, unchanged, on ternmq.paho."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ternmq
from ternmq.paho import shadow

USERS = Path(__file__).with_name("paho_users.py")


@pytest.mark.parametrize("name", ["aiomqtt", "flask-mqtt", "ha-mqtt-discoverable"])
def test_package(name: str, broker: ternmq.Broker, tmp_path: Path) -> None:
    shadow.write(tmp_path)
    command = [sys.executable, "-W", "ignore", str(USERS), name, str(broker.port)]
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
