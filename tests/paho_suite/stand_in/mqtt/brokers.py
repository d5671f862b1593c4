"""What the tests of paho-mqtt use of the broker they are written for (eclipse/paho.mqtt.testing, which is
on no package index), with a broker of ours behind it."""

import socket
import threading

import ternmq
from ternmq.broker import Acting, Action

# The tests count on this: what a server may choose, chosen as that broker does.
LIMITS = {"topic_aliases": 20, "receive_maximum": 20, "packet_size": 1_000_000}


class Server:
    """What runs, with the face of a `socketserver.TCPServer`."""

    def __init__(self, port: int) -> None:
        self.broker = ternmq.Broker(port, limits=LIMITS, authorise=authorise)
        self.broker.start()
        self.ended = threading.Event()
        self.socket = self

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self.broker.port

    def shutdown(self) -> None:
        self.broker.stop()
        self.ended.set()

    def server_close(self) -> None:
        """The port is free already."""


class TCPListeners:
    server: Server | None = None


class listeners:  # noqa: N801, the name of a module there
    TCPListeners = TCPListeners


def authorise(who: Acting, what: Action) -> bool:
    return what.topic != "test/nosubscribe"


def run(config: list[str]) -> None:
    """Runs until it is shut down. `config`: `listener PORT`."""
    [line] = config
    TCPListeners.server = server = Server(int(line.split()[1]))
    server.ended.wait()
