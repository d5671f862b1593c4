"""The brokers that are measured: getting them, and starting them as one would for speed."""

import functools
import getpass
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"
FOLDER = TARGET / "bench"
CONNECT = bytes.fromhex("101700044d5154540402003c000b") + b"bench-ready"


class Failure(Exception):
    """Something that can't be measured, and why."""


def cargo(*command, what):
    """A build; its output is shown when it fails only."""
    print(f"bench: building {what}", file=sys.stderr, flush=True)
    done = subprocess.run(["cargo", *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{what} does not build:\n{done.stderr[-2000:]}")


@functools.cache
def built():
    """Ours, in one go: with other packages beside it each would have other features, and be compiled anew."""
    packages = ["-p", "ternmq-server", "-p", "ternmq-bench-load", "-p", "ternmq-ffi-c"]
    cargo("build", "--release", "--locked", *packages, what="the server, the load generator and the C library")


def load_program():
    """Our own load generator, or another one that takes the same words and gives the same answers."""
    if other := os.environ.get("TERNMQ_BENCH_LOAD"):
        return Path(other)
    return TARGET / "release/bench-load"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def certificate():
    """A key and a certificate for localhost, made once."""
    key, made = FOLDER / "key.pem", FOLDER / "certificate.pem"
    if not made.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-keyout", key, "-out", made, "-days", "3650", "-subj", "/CN=localhost"]
        subprocess.run(command, check=True, capture_output=True)
    return key, made


class Broker:
    """One make. `transport` is "tcp", "tls" or "ws"."""

    name, version = "", ""
    # Words that rows use for what a make can't do.
    lacks = frozenset()

    def available(self):
        """Gets what is missing; raises Failure where that can't be had."""

    def command(self, port, folder, row):
        raise NotImplementedError

    def started(self, row, folder):
        """A process of it that answers, its port, and the milliseconds that this took."""
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        command, env = self.command(port, folder, row)
        begun = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command], cwd=folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=raise_file_limit,
        )
        # One that speaks TLS or WebSockets is ready when it listens.
        answers = answers_connect if row.transport == "tcp" else is_open
        while time.monotonic() - begun < 30:
            if process.poll() is not None:
                raise Failure(f"{self.name} ended with status {process.returncode} while it started")
            if answers(port):
                return process, port, (time.monotonic() - begun) * 1e3
            time.sleep(0.0005)
        stopped(process)
        raise Failure(f"{self.name} does not answer")


def stopped(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_open(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def answers_connect(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(CONNECT)
            answer = sock.recv(4)
            sock.sendall(b"\xe0\x00")
            return answer[:1] == b"\x20"
    except OSError:
        return False


class Ternmq(Broker):
    name = "TernMQ"

    def __init__(self, shards=1, name=None, program=None):
        self.shards, self.program = shards, program or TARGET / "release/ternmq"
        self.name = name or self.name

    def available(self):
        built()
        self.version = subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout.strip()

    def command(self, port, folder, row):
        kind = {"tcp": "tcp", "tls": "tls", "ws": "ws"}[row.transport]
        lines = [f"shards = {self.shards}", "sys_interval = 0", "[[listener]]", f'type = "{kind}"']
        lines.append(f'address = "127.0.0.1:{port}"')
        if row.transport == "tls":
            key, made = certificate()
            lines += [f'certificate = "{made}"', f'key = "{key}"']
        lines += ["[limits]", "queue_messages = 10000000", "queue_bytes = 1073741824", "receive_maximum = 65535"]
        (folder / "ternmq.toml").write_text("\n".join(lines) + "\n")
        return [self.program, "serve", "--config", "ternmq.toml"], {}


class Mosquitto(Broker):
    """Debian's, unpacked by tests/setup."""

    name = "mosquitto"

    def available(self):
        program = TARGET / "mosquitto/usr/sbin/mosquitto"
        self.program = Path("/usr/sbin/mosquitto") if Path("/usr/sbin/mosquitto").exists() else program
        if not self.program.exists():
            raise Failure("mosquitto is missing: run `make tools`")
        self.libraries = ":".join(str(path) for path in (TARGET / "mosquitto/usr/lib").glob("*-linux-gnu"))
        told = subprocess.run([self.program, "-h"], capture_output=True, text=True, env=self.env()).stdout
        self.version = told.splitlines()[0].removeprefix("mosquitto version ") if told else "?"

    def env(self):
        return {**os.environ, "LD_LIBRARY_PATH": self.libraries}

    def command(self, port, folder, row):
        # Otherwise root becomes a user that may not be there and can't read the key.
        lines = [f"user {getpass.getuser()}", "allow_anonymous true", "persistence false", "log_type none"]
        if row.transport == "ws":
            # It does not start with WebSockets alone.
            lines.append(f"listener {free_port()} 127.0.0.1")
        lines += [f"listener {port} 127.0.0.1", "set_tcp_nodelay true", "max_queued_messages 0", "max_inflight_messages 0", "sys_interval 0"]
        if row.transport == "tls":
            key, made = certificate()
            lines += [f"certfile {made}", f"keyfile {key}"]
        if row.transport == "ws":
            lines.append("protocol websockets")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        return [self.program, "-c", "mosquitto.conf"], {"LD_LIBRARY_PATH": self.libraries}


class Rumqttd(Broker):
    """Built from crates.io, with newer dependencies than its lock file names: those no longer compile."""

    name = "rumqttd"
    lacks = frozenset(["v5", "tls", "ws", "many-connections"])

    def available(self):
        self.program, self.version = FOLDER / "peers/bin/rumqttd", "0.20.0"
        if not self.program.exists():
            where = ["--root", FOLDER / "peers", "--target-dir", FOLDER / "build"]
            cargo("install", "--quiet", *map(str, where), "rumqttd@0.20.0", what="rumqttd 0.20.0")

    def command(self, port, folder, row):
        config = f"""id = 0
[router]
id = 0
max_connections = 30000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 500
dynamic_filters = true
"""
        (folder / "rumqttd.toml").write_text(config)
        return [self.program, "--quiet", "--config", "rumqttd.toml"], {}


class Rmqtt(Broker):
    """A program of a dozen lines around the library, which is what there is of it without C++."""

    name = "rmqtt"
    lacks = frozenset(["tls", "ws"])
    MANIFEST = """[package]
name = "bench-rmqtt"
version = "0.0.0"
edition = "2021"
[dependencies]
rmqtt = { version = "=0.24.0", features = ["metrics", "stats", "retain", "msgstore", "shared-subscription"] }
tokio = { version = "1", features = ["full"] }
[workspace]
"""

    def available(self):
        self.program, self.version = FOLDER / "build/release/bench-rmqtt", "0.24.0"
        folder = FOLDER / "rmqtt"
        if not self.program.exists():
            (folder / "src").mkdir(parents=True, exist_ok=True)
            (folder / "Cargo.toml").write_text(self.MANIFEST)
            shutil.copy(Path(__file__).parent / "peers/rmqtt.rs", folder / "src/main.rs")
            options = ["--manifest-path", folder / "Cargo.toml", "--target-dir", FOLDER / "build"]
            cargo("build", "--quiet", "--release", *map(str, options), what="rmqtt 0.24.0")

    def command(self, port, folder, row):
        return [self.program, port], {}


class Floor(Broker):
    """No broker: our relay that moves the bytes and knows no MQTT."""

    name, version = "floor", "relay without MQTT"
    lacks = frozenset(["tls", "ws", "sessions", "retained", "routing"])

    def command(self, port, folder, row):
        program = TARGET / "release/bench-load"
        version = ["--version", "5"] if "v5" in row.needs else []
        return [program, "relay", "--port", port, "--shape", row.args[0], *version], {}


def known():
    """Everybody, ours first."""
    return [Ternmq(), Rumqttd(), Rmqtt(), Mosquitto(), Floor()]


def load(broker, process, port, row, quick):
    """Plays one row; what the load generator tells."""
    transport = {"tcp": [], "tls": ["--tls"], "ws": ["--websocket"]}[row.transport]
    command = [load_program(), *row.load_args(quick), *transport]
    command += ["--port", port, "--broker-pid", process.pid, "--label", broker.name]
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=row.timeout,
            preexec_fn=raise_file_limit,
        )
    except subprocess.TimeoutExpired:
        raise Failure("took too long") from None
    if not done.stdout.strip():
        raise Failure(done.stderr.strip() or f"the load ended with status {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    if not told["verdict"]["finished"]:
        raise Failure(told["verdict"].get("first_error") or "not finished")
    if process.poll() is not None:
        raise Failure(f"the broker died with status {process.returncode}")
    return told
