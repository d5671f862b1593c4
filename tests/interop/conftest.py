"""One server for all tests, as real as it gets, and the clients of each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from actors import Actor
from broker import Broker
from peers import Peer, Troupe, build


@pytest.fixture(scope="session")
def troupe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troupe]:
    folder: Path = tmp_path_factory.mktemp("built")
    build(folder)
    broker = Broker()
    troupe = Troupe(broker, folder)
    try:
        yield troupe
    finally:
        troupe.close()
        sums = broker.stop()
    # No peer found a packet of ours wrong, and the server none of theirs, nor a client unwelcome.
    assert (sums["protocol_errors"], sums["refused"]) == (0, 0), sums


@pytest.fixture
def start(troupe: Troupe) -> Iterator[Callable[[Peer], Actor]]:
    """Starts an actor for this test."""
    actors: list[Actor] = []

    def start(peer: Peer) -> Actor:
        actors.append(troupe.start(peer))
        return actors[-1]

    yield start
    for actor in actors:
        troupe.end(actor)


@pytest.fixture
def topic(troupe: Troupe) -> str:
    """A topic that no other test has."""
    troupe.last_id += 1
    return f"interop/{troupe.last_id}"
