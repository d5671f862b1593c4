"""The peers: which versions each speaks, how its shim is started, and what it can't do or tell."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from actors import Actor, PahoSync, Shim
from broker import ROOT, Broker
from broker import build as build_crates
from mosquitto import Mosquitto

SHIMS = ROOT / "tests/shims"
BUILT = ROOT / "target/debug"

NAMES = {3: "3.1", 4: "3.1.1", 5: "5"}
VERSIONS = {
    "mosquitto": (3, 4, 5),
    "paho-c-sync": (3, 4, 5),
    "paho-c-async": (3, 4, 5),
    "paho-python": (3, 4, 5),
    "aiomqtt": (3, 4, 5),
    "gmqtt": (4, 5),
    "mqtt.js": (3, 4, 5),
    "rumqttc": (4, 5),
}

# What the tests ask for by name. A reason stands with each gap of a peer.
GAPS = {
    "mosquitto": {
        "assigned id": "mosquitto_sub does not print it",
        "disconnect properties": "the programs have no option for them",
        "goodbye in 5": "mosquitto_sub ends with reason 4 when it has a will, which sends it",
        "loss": "the programs connect again by themselves",
        "session present": "mosquitto_sub does not print it",
        "topic alias": "each mosquitto_pub is a connection of its own",
        "unsubscribe": "it unsubscribes while it connects; test_mosquitto.py has that",
        "unsubscribe code": "mosquitto_sub does not print it",
    },
    "paho-c-sync": {
        "publish reason": "waitForCompletion returns none",
        "session present in 5": "MQTTClient_connect5 of Paho 1.3 reports none, whatever CONNACK says",
    },
    "paho-c-async": {
        "publish reason": "onSuccess5 of Paho 1.3 has 0, whatever PUBACK says",
    },
    "aiomqtt": {
        "assigned id": "there is no way to ask for it",
        "disconnect properties": "the context manager sends none",
        "publish reason": "publish() returns nothing",
        "session present": "there is no way to ask for it",
        "unsubscribe code": "unsubscribe() returns nothing",
    },
    "gmqtt": {
        "assigned id": "it makes a client id of its own instead of sending none",
        "publish reason": "it does not look at the code of PUBACK",
    },
    "rumqttc": {
        "disconnect properties": "disconnect() takes none",
    },
}


class Peer(NamedTuple):
    """A peer in one version."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}-{NAMES[self.version]}"

    def can(self, what: str) -> bool:
        gaps = GAPS.get(self.name, {})
        return what not in gaps and f"{what} in {self.version}" not in gaps


ALL = [Peer(name, version) for name, versions in VERSIONS.items() for version in versions]


def each(*needs: str, versions: tuple[int, ...] = (3, 4, 5)) -> pytest.MarkDecorator:
    """The test is for every peer, in each of these versions that it speaks, without the gaps."""
    peers = [p for p in ALL if p.version in versions and all(map(p.can, needs))]
    return pytest.mark.parametrize("peer", peers, ids=str)


class Troupe:
    """Starts actors. A shim that has disconnected plays again: starting an interpreter takes long."""

    def __init__(self, broker: Broker, built: Path) -> None:
        self.broker, self.built = broker, built
        self.idle: dict[str, list[Shim]] = {}
        self.last_id = 0

    def start(self, peer: Peer) -> Actor:
        self.last_id += 1
        # MQTT 3.1 has client ids of 23 characters at most.
        about = (self.broker, peer.version, f"c{self.last_id}-{peer.name}")
        if peer.name == "mosquitto":
            return Mosquitto(*about)
        if self.idle.get(peer.name):
            shim = self.idle[peer.name].pop()
            shim.version, shim.client_id = about[1:]
            return shim
        command, env = self.command(peer.name)
        shim = PahoSync if peer.name == "paho-c-sync" else Shim
        return shim(command, *about, env=env)

    def end(self, actor: Actor) -> None:
        """After a test: keeps the process for the next one, if it is in order and can do that."""
        peer = actor.client_id.partition("-")[2]
        if not isinstance(actor, Shim) or peer.startswith("paho-c") or not actor.may_play_again():
            actor.dies()
        else:
            self.idle.setdefault(peer, []).append(actor)

    def close(self) -> None:
        for shims in self.idle.values():
            for shim in shims:
                shim.dies()

    def command(self, peer: str) -> tuple[list[str], dict[str, str]]:
        if peer == "mqtt.js":
            packages = str(ROOT / "target/node/node_modules")
            return ["node", str(SHIMS / "node/shim.js")], {"NODE_PATH": packages}
        if peer.startswith("paho-c"):
            return [str(self.built / peer)], {}
        if peer == "rumqttc":
            return [str(BUILT / "shim-rumqttc")], {}
        shim = {"paho-python": "paho_shim.py"}.get(peer, f"{peer}_shim.py")
        return [str(ROOT / "target/venv/bin/python"), str(SHIMS / "python" / shim)], {}


def build(folder: Path) -> None:
    """Builds what the tests run."""
    build_crates("ternmq-server", "ternmq-test-shim-rumqttc")
    for style, library in [("sync", "paho-mqtt3c"), ("async", "paho-mqtt3a")]:
        sources = [str(SHIMS / f"c/{name}.c") for name in (style, "line", "inbox")]
        out = str(folder / f"paho-c-{style}")
        run("cc", "-std=gnu11", "-O1", "-pthread", "-o", out, *sources, f"-l{library}")


def run(*command: Any) -> None:
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)


def kept(peer: Peer) -> dict[str, int]:
    """The fields of `connects` that keep the session."""
    return {"clean_start": 0} | ({"session_expiry": 600} if peer.version == 5 else {})
