"""What needs time to pass: all peers wait at once, and connections that break off are the clock."""

import socket
from collections.abc import Iterator

import pytest
from actors import Actor
from broker import Broker
from peers import ALL, Peer, Troupe, each

# Some take no keep alive that is shorter than five seconds.
SLOW = [*(Peer("mosquitto", version) for version in (3, 4, 5)), Peer("rumqttc", 5)]


class Silence:
    """A client of MQTT 3.1.1 that sends nothing: it is cut off after one and a half keep alives."""

    def __init__(self, broker: Broker, keep_alive: int) -> None:
        address = (broker.host, broker.port)
        self.socket = socket.create_connection(address, timeout=4 * keep_alive)
        client_id = f"silent{keep_alive}".encode()
        connect = b"\x00\x04MQTT\x04\x02\x00" + bytes([keep_alive, 0, len(client_id)]) + client_id
        self.socket.sendall(b"\x10" + bytes([len(connect)]) + connect)
        assert self.socket.recv(4) == b"\x20\x02\x00\x00"

    def ends(self) -> None:
        assert self.socket.recv(1) == b"", "the server sends nothing to such a client"
        self.socket.close()


@pytest.fixture(scope="module")
def waited(troupe: Troupe) -> Iterator[dict[Peer, Actor]]:
    """Clients that have been idle for longer than the server allows without pings.

    Those of MQTT 5 have published to a session that is away, too.
    """
    idle = {peer: connected(troupe, peer, 5) for peer in SLOW}
    long = Silence(troupe.broker, 6)
    idle |= {peer: connected(troupe, peer, 1) for peer in ALL if peer not in SLOW}
    for peer in ALL:
        if peer.version == 5:
            away = troupe.start(peer)
            away.connects(client_id=f"away-{peer}", clean_start=0, session_expiry=600)
            away.subscribes(f"waiting/away/{peer}")
            away.disconnects()
            troupe.end(away)
            idle[peer].publishes(f"waiting/away/{peer}", "stale", message_expiry=1)
            idle[peer].publishes(f"waiting/away/{peer}", "fresh", message_expiry=600)
    Silence(troupe.broker, 2).ends()
    long.ends()
    yield idle
    for actor in idle.values():
        troupe.end(actor)


def connected(troupe: Troupe, peer: Peer, keep_alive: int) -> Actor:
    actor = troupe.start(peer)
    actor.connects(keep_alive=keep_alive)
    actor.subscribes(f"waiting/{peer}")
    return actor


@each()
def test_an_idle_client_stays(waited, start, peer):
    anna = start(peer)
    anna.connects()
    anna.publishes(f"waiting/{peer}", "still there?")
    waited[peer].receives(f"waiting/{peer}", "still there?")


@each(versions=(5,))
def test_a_message_that_expired_while_its_receiver_was_away_does_not_come(waited, start, peer):
    topic = f"waiting/away/{peer}"
    back = start(peer)
    back.resumes(topic, client_id=f"away-{peer}", clean_start=0, session_expiry=600)
    left = back.receives(topic, "fresh").number("message_expiry")
    assert left < 600
