"""Certificates from openssl, and the two servers with a listener of every kind."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import threading
from collections import deque
from pathlib import Path

from broker import ROOT

TERNMQ = ROOT / "target/debug/ternmq"
UNPACKED = ROOT / "target/mosquitto"
PATIENCE = 20


class Certificates:
    """An authority, a server for localhost, and a client that is a thermometer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca, self.cert, self.key = (str(folder / name) for name in ("ca.pem", "s.pem", "s.key"))
        self.client_cert, self.client_key = str(folder / "c.pem"), str(folder / "c.key")
        ca_key = str(folder / "ca.key")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
                "-keyout", ca_key, "-out", self.ca)  # fmt: skip
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        for subject, cert, key, more in [
            ("/CN=localhost", self.cert, self.key, ["-addext", names]),
            ("/CN=thermometer", self.client_cert, self.client_key, []),
        ]:
            # Signed in one step, so that the names of the request come along.
            openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject,
                    "-CA", self.ca, "-CAkey", ca_key, "-addext", "basicConstraints=critical,CA:FALSE",
                    *more, "-keyout", key, "-out", cert)  # fmt: skip


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=PATIENCE)


class Ternmq:
    """`ternmq serve` with a listener of every type; `ports` by the names of the tests."""

    def __init__(self, certificates: Certificates, folder: Path) -> None:
        self.socket = str(folder / "ternmq.sock")
        tls = f"certificate = '{certificates.cert}'\nkey = '{certificates.key}'\n"
        address = "address = '127.0.0.1:0'\n"
        listeners = {
            "tcp": f"type = 'tcp'\n{address}",
            "tls": f"type = 'tls'\n{address}{tls}",
            "ws": f"type = 'ws'\n{address}",
            "wss": f"type = 'wss'\n{address}{tls}",
            "deflate": f"type = 'ws'\n{address}deflate = true\n",
            "deflate_tls": f"type = 'wss'\n{address}{tls}deflate = true\ndeflate_context = true\n"
            "deflate_window_bits = 10\ndeflate_min_bytes = 0\n",
            "mutual": f"type = 'tls'\n{address}{tls}anonymous = false\n"
            f"client_ca = '{certificates.ca}'\n",
            "unix": f"type = 'unix'\npath = '{self.socket}'\n",
        }
        config = folder / "ternmq.toml"
        config.write_text("".join(f"[[listener]]\n{lines}" for lines in listeners.values()))
        self.process = subprocess.Popen(
            [TERNMQ, "serve", "--config", config, "--json"], stdout=subprocess.PIPE, text=True
        )
        said = [json.loads(self.process.stdout.readline()) for _ in listeners]
        ports = [line["address"].rpartition(":")[2] for line in said]
        self.ports = dict(zip(listeners, ports, strict=True))

    def stop(self) -> dict:
        self.process.terminate()
        said, _ = self.process.communicate(timeout=PATIENCE)
        return json.loads(said.splitlines()[-1])


class MosquittoServer:
    """The server of mosquitto with TCP, TLS, WebSockets and a Unix socket."""

    def __init__(self, certificates: Certificates, folder: Path) -> None:
        self.socket = str(folder / "mosquitto.sock")
        self.ports = {name: str(free_port()) for name in ("tcp", "tls", "ws", "wss", "mutual")}
        tls = f"certfile {certificates.cert}\nkeyfile {certificates.key}\n"
        mutual = f"{tls}cafile {certificates.ca}\nrequire_certificate true\n"
        config = folder / "mosquitto.conf"
        config.write_text(
            # Otherwise root becomes a user that may not be there and can't read the key.
            f"user {getpass.getuser()}\nallow_anonymous true\n"
            f"listener {self.ports['tcp']} 127.0.0.1\n"
            f"listener {self.ports['tls']} 127.0.0.1\n{tls}"
            f"listener {self.ports['ws']} 127.0.0.1\nprotocol websockets\n"
            f"listener {self.ports['wss']} 127.0.0.1\nprotocol websockets\n{tls}"
            f"listener {self.ports['mutual']} 127.0.0.1\n{mutual}"
            f"listener 0 {self.socket}\n"
        )
        program, env = mosquitto_program()
        self.process = subprocess.Popen(
            [program, "-v", "-c", config], stderr=subprocess.PIPE, text=True, env=env
        )
        for line in self.process.stderr:
            if " running" in line:
                break
        else:
            raise RuntimeError("mosquitto did not start")
        # It waits when nobody reads what it logs.
        log = self.process.stderr
        self.reader = threading.Thread(target=lambda: deque(log, maxlen=0), daemon=True)
        self.reader.start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        self.reader.join()
        self.process.stderr.close()


def mosquitto_program() -> tuple[str, dict[str, str]]:
    """The installed one, or the one that tests/setup has unpacked."""
    installed = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if installed:
        return installed, dict(os.environ)
    libraries = [str(path) for path in UNPACKED.glob("**/lib/*-linux-gnu*")]
    env = dict(os.environ) | {"LD_LIBRARY_PATH": ":".join(libraries)}
    return str(UNPACKED / "usr/sbin/mosquitto"), env


def free_port() -> int:
    """mosquitto takes none by itself; the kernel does not give this one out again so soon."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
