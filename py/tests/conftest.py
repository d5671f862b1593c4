"""Fixtures of the Python tests: a broker of ours for each test, or a peer that follows a script."""

from collections.abc import AsyncIterator, Iterator

import pytest
import ternmq
from peer import Peer


@pytest.fixture
def broker() -> Iterator[ternmq.Broker]:
    with ternmq.Broker() as broker:
        yield broker


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


@pytest.fixture(params=[3, 4, 5], ids=["3.1", "3.1.1", "5.0"])
def version(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value
