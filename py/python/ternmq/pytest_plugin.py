"""Fixtures for tests of programs that speak MQTT; see `Testing with pytest` in the README.

Nothing happens to a test that asks for none of them, and the broker is imported when the first one does.
"""

import os
from collections.abc import Iterator
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ._capture import Capture
    from ._outside import OutsideBroker
    from .broker import Broker

OUTSIDE = "TERNMQ_TEST_BROKER"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "mqtt_broker(**arguments): the arguments of ternmq.Broker for the fixture mqtt_broker",
    )


@pytest.fixture
def mqtt_broker(request: pytest.FixtureRequest) -> "Iterator[Broker | OutsideBroker]":
    """A broker for this test alone, on a port of its own; with `@pytest.mark.mqtt_broker(tls=True, ...)`
    one with these arguments of `ternmq.Broker`. Those of a test, its class and its module are taken together.

    TERNMQ_TEST_BROKER=mqtt://[user[:password]@]host[:port] has tests use that broker instead. Those that need what only a
    broker of their own has are skipped.
    """
    arguments = _arguments(request)
    outside = os.environ.get(OUTSIDE)
    if outside and arguments:
        pytest.skip(f"the marker mqtt_broker has arguments, and {OUTSIDE} names another broker")
    yield from _broker(arguments)


@pytest.fixture(scope="session")
def mqtt_broker_session() -> "Iterator[Broker | OutsideBroker]":
    """A broker for all tests of this process that ask for it."""
    yield from _broker({})


@pytest.fixture
def mqtt_client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client of the test's broker: a connected `ternmq.blocking.Client`, or in an `async def` test a
    `ternmq.Client` for `async with mqtt_client:`.

    It has no keep alive, so that a broker's clock may be moved, and is the first of the broker's users. The broker is `mqtt_broker`,
    or `mqtt_broker_session` if the test asks for that one and not for the other.
    """
    broker = request.getfixturevalue(_broker_of(request))
    options = _client_options(request, broker)
    if iscoroutinefunction(getattr(request.node, "obj", None)):
        from .aio import Client as AsyncClient

        yield AsyncClient(**options)
        return
    from .blocking import Client

    client = Client(**options)
    client.connect()
    try:
        yield client
    finally:
        # The test may have ended it, or the broker, whatever it wanted to show.
        client.disconnect()


@pytest.fixture
def mqtt_capture(request: pytest.FixtureRequest) -> "Iterator[Capture]":
    """What is published to the test's broker from now on: `messages`, `wait_for(filter, timeout)`,
    `wait_for_async`, `payloads(filter)` and `clear()`."""
    from ._capture import Capture

    broker = request.getfixturevalue(_broker_of(request))
    with Capture(broker) as capture:
        yield capture


def _arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Of the markers of the module, the class and the test: the nearest has the last word on each."""
    arguments: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("mqtt_broker"))):
        if marker.args:
            raise pytest.UsageError(
                "the marker mqtt_broker takes keyword arguments, those of ternmq.Broker"
            )
        arguments |= marker.kwargs
    return arguments


def _broker(arguments: dict[str, Any]) -> "Iterator[Broker | OutsideBroker]":
    outside = os.environ.get(OUTSIDE)
    if outside:
        from ._outside import OutsideBroker

        with OutsideBroker(outside) as other:
            yield other
        return
    from .broker import Broker

    with Broker(**arguments) as broker:
        yield broker


def _broker_of(request: pytest.FixtureRequest) -> str:
    names = request.fixturenames
    shared = "mqtt_broker_session" in names and "mqtt_broker" not in names
    return "mqtt_broker_session" if shared else "mqtt_broker"


def _client_options(request: pytest.FixtureRequest, broker: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"url": broker.url, "keepalive": 0}
    users = _arguments(request).get("users")
    if users:
        options["username"], options["password"] = next(iter(users.items()))
    if broker.url.startswith(("mqtts://", "wss://")) and not os.environ.get(OUTSIDE):
        shown = "mqtt_client" if _arguments(request).get("client_certificates") else None
        options["tls"] = broker.client_context(shown)
    return options
