"""A plugin for pytest: a broker of ours is what the tests of aiomqtt take for test.mosquitto.org.

The name leads to it, by the ports that the public server has, and the file with the public server's
authority is replaced by that of ours. The tests are as they came.
"""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ternmq
from ternmq._ternmq import Authority
from ternmq.broker import Connecting

NAME = "test.mosquitto.org"


def authenticate(who: Connecting) -> bool:
    """As the public server's main listener: whoever names a user has to be one, and there is none."""
    return not who.username


@pytest.fixture(scope="session", autouse=True)
def public_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority()
    chain, key = authority.server([NAME])
    Path("tests/mosquitto.org.crt").write_text(authority.pem)
    files = folder / "chain.pem", folder / "key.pem"
    for file, text in zip(files, (chain, key), strict=True):
        file.write_text(text)
    with ternmq.Broker(tls=files, authenticate=authenticate) as broker, websockets(folder) as ws:
        urls = {1883: broker.urls["mqtt"], 8883: broker.urls["mqtts"], 8080: ws}
        ours = {port: int(url.rpartition(":")[2]) for port, url in urls.items()}
        resolve = socket.getaddrinfo

        def resolved(host: Any, port: Any, *more: Any, **options: Any) -> Any:
            if host == NAME:
                return resolve("127.0.0.1", ours[port], *more, **options)
            return resolve(host, port, *more, **options)

        socket.getaddrinfo = resolved
        yield
        socket.getaddrinfo = resolve


@contextlib.contextmanager
def websockets(folder: Path) -> Iterator[str]:
    """A server for WebSockets under the path that the tests ask for, which `Broker` has no option for; its address."""
    config = folder / "ternmq.toml"
    config.write_text("[[listener]]\ntype = 'ws'\naddress = '127.0.0.1:0'\nwebsocket_path = '/'\n")
    command = [sys.executable, "-m", "ternmq", "serve", "--config", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"]
        process.terminate()
