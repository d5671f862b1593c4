"""Every peer publishes to every other, all versions on one topic."""

from collections.abc import Iterator

import pytest
from actors import Actor
from peers import ALL, Peer, Troupe, each

PROPERTIES = {
    "content_type": "text/plain",
    "response_topic": "answers",
    "correlation": "number-7",
    "user": ["colour:red", "colour:blue"],
    "message_expiry": 600,
}


@pytest.fixture(scope="module")
def audience(troupe: Troupe) -> Iterator[dict[Peer, Actor]]:
    """One subscriber of each peer in each version."""
    actors = {peer: troupe.start(peer) for peer in ALL}
    for actor in actors.values():
        actor.connects()
        actor.subscribes("mixed/+/#")
    yield actors
    for actor in actors.values():
        troupe.end(actor)


# in MQTT 3.1.1 [MQTT-7.0.0-2]
@each()
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_one_publishes_all_receive(audience, start, peer, qos):
    anna = start(peer)
    anna.connects()
    topic, payload = f"mixed/{peer}/{qos}", bytes(range(256)) + str(peer).encode()
    anna.publishes(topic, payload, qos, **PROPERTIES if peer.version == 5 else {})
    for other, actor in audience.items():
        # `receives` makes sure that nobody before MQTT 5 gets a property.
        came = actor.receives(topic, payload, qos)
        if other.version == 5 and peer.version == 5:
            assert came.properties() == set(PROPERTIES), came
            assert came.all("user") == PROPERTIES["user"], came
            assert came.text("correlation") == "number-7", came
        elif other.version == 5:
            assert not came.properties(), came
