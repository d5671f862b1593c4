"""Exceptions that are none of `Exception`: SystemExit, KeyboardInterrupt, those of pytest."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import ternmq
from ternmq import blocking
from ternmq.broker import Acting, Action, Connecting, Disconnected

KINDS = [SystemExit, KeyboardInterrupt, GeneratorExit]


def raised(caplog: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    return [record.exc_info[0] for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_in_a_thread_goes_on(
    broker: ternmq.Broker, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    client = blocking.Client(broker.url)
    states: list[str] = []
    done = threading.Event()

    @client.on("t", qos=1)
    def handler(message: ternmq.Message) -> None:
        if message.payload == b"last":
            done.set()
        raise kind(5)

    @client.on_state
    def told(state: ternmq.State) -> None:
        states.append(state.name)
        raise kind(5)

    with client:
        for payload in (b"first", b"last"):
            client.publish("t", payload, qos=1)
        assert done.wait(10)
    assert states == ["connected", "closed"]
    assert raised(caplog) == [kind] * 4
    assert "handler" in caplog.text and "message to t" in caplog.text


def test_an_auth_that_exits_is_told(broker: ternmq.Broker) -> None:
    calls: list[bytes | None] = []

    def exchange(data: bytes | None) -> bytes:
        calls.append(data)
        if data is not None:
            sys.exit("no more")
        return b"n,,n=u,r=rOprNGfwEbeRWgbNEkqO"

    auth = ternmq.Auth("SCRAM-SHA-256", exchange)
    with ternmq.Broker(users={"u": "p"}) as broker:
        with pytest.raises(ternmq.ConnectError, match="no more") as error:
            blocking.Client(broker.url, auth=auth).connect()
    assert isinstance(error.value.__cause__, SystemExit) and len(calls) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_of_the_broker_go_on(
    caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    told = threading.Event()
    published: list[str] = []

    def authenticate(client: Connecting) -> bool:
        if client.client_id == "bad":
            raise kind
        return True

    def authorise(client: Acting, action: Action) -> bool:
        if action.topic == "bad":
            raise kind
        return True

    def on_publish(message: ternmq.Message) -> None:
        published.append(message.topic)
        raise kind

    def on_disconnect(client: Disconnected) -> None:
        if client.client_id == "c":
            told.set()
        raise kind

    with ternmq.Broker(
        authenticate=authenticate, authorise=authorise,
        on_publish=on_publish, on_disconnect=on_disconnect,
    ) as broker:
        with pytest.raises(ternmq.ConnectError) as error:
            blocking.Client(broker.url, client_id="bad").connect()
        assert error.value.reason_code == ternmq.ReasonCode.NOT_AUTHORIZED
        with blocking.Client(broker.url, client_id="c") as client:
            with pytest.raises(ternmq.PublishError):
                client.publish("bad", b"", qos=1)
            for topic in ("a", "b"):
                client.publish(topic, b"", qos=1)
        assert told.wait(10)
    assert published == ["a", "b"]
    assert set(raised(caplog)) == {kind} and len(raised(caplog)) == 5


PROGRAM = """
import asyncio, sys, ternmq
{imports}
client = ternmq.Client(sys.argv[1], client_id="c")

{place}

async def main():
    async with client:
        await client.publish("t", b"", qos=1)
        await asyncio.Event().wait()

{run}
"""
HANDLER = "@client.on('t')\n{way}def handler(message):\n    {what}\n"
STATE = "@client.on_state\ndef told(state):\n    if state.name == 'connected':\n        {what}\n"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("place", [HANDLER, HANDLER.replace("{way}", "async "), STATE])
def test_exit_ends_a_program_of_asyncio(loop: str, place: str) -> None:
    place = place.format(way="", what="sys.exit(3)")
    imports, run = ("", "asyncio.run(main())")
    if loop == "uvloop":
        imports, run = "import uvloop", "uvloop.run(main())"
    code = PROGRAM.format(place=place, imports=imports, run=run)
    gone: list[Disconnected] = []
    with ternmq.Broker(on_disconnect=gone.append) as broker:
        command = [sys.executable, "-c", code, broker.url]
        program = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert program.returncode == 3, program.stderr
    assert [(client.client_id, client.by) for client in gone] == [("c", "client")]


async def test_other_exceptions_in_handlers_of_asyncio_are_logged(
    broker: ternmq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as those of pytest itself, which are no `Exception` either."""
    client = ternmq.Client(broker.url)
    seen: list[bytes] = []

    @client.on("t", qos=1)
    async def handler(message: ternmq.Message) -> None:
        seen.append(message.payload)
        pytest.fail("of the handler")

    @client.on_state
    def told(state: ternmq.State) -> None:
        pytest.fail("of on_state")

    async with client, client.subscribe("end", qos=1) as end:
        for payload in (b"1", b"2"):
            await client.publish("t", payload, qos=1)
        while len(seen) < 2:
            await client.publish("end", b"", qos=1)
            await end.get(10)
    assert len(raised(caplog)) == 4 and "of the handler" in caplog.text
    assert logging.ERROR == max(record.levelno for record in caplog.records)


def test_an_exit_while_reading_is_the_programs_own(broker: ternmq.Broker) -> None:
    leave: Callable[[], None] = lambda: sys.exit(4)  # noqa: E731
    with pytest.raises(SystemExit):
        with blocking.Client(broker.url) as client:
            with client.subscribe("t") as subscription:
                client.publish("t", b"")
                for _ in subscription:
                    leave()
    assert not client.connected
