"""What `disconnect` refuses is refused before anything is sent or ended, in both clients."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import ternmq
from peer import CONNECT, DISCONNECT, PUBACK, PUBLISH, Connection, Peer, ack, connack
from ternmq import blocking

WRONG: list[tuple[Any, type[Exception], str]] = [
    # Of other packets.
    ({"topic_alias": 1}, ValueError, "properties: topic_alias: .*property"),
    ({"receive_maximum": 10}, ValueError, "properties: receive_maximum: "),
    ({"reason_string": "bye", "will_delay_interval": 1}, ValueError, "properties: will_delay_interval: "),
    # For servers alone [MQTT-3.14.2-2], and what a client must not send.
    ({"server_reference": "other"}, ValueError, "server_reference is for servers"),
    # The session was to end with its connection [MQTT-3.14.2-2].
    ({"session_expiry_interval": 60}, ValueError, "properties: .*can't be prolonged"),
    ({"nonsense": 1}, ValueError, "properties: there is no nonsense"),
    ({5: 1}, TypeError, "their names are str"),
    ({"reason_string": 5}, TypeError, "reason_string"),
    ({"reason_string": "a\0b"}, ValueError, "reason_string"),
    ({"session_expiry_interval": -1}, (ValueError, OverflowError), "session_expiry_interval"),
    ({"user_property": ["a"]}, TypeError, "user properties"),
    ([("reason_string", "x")], TypeError, "properties"),
    ("reason_string", TypeError, "properties"),
]  # fmt: skip


async def nothing_was_sent(other: Connection) -> None:
    """The next thing is the PUBLISH that comes after the failure, and then one DISCONNECT."""
    body = await other.expect(PUBLISH)
    await other.send(ack(PUBACK, int.from_bytes(body[3:5])))
    assert await other.expect(DISCONNECT) == b"\x04\x0a\x1f\x00\x07goodbye"
    await other.expect_end()


GOOD = {"reason_string": "goodbye"}


@pytest.mark.parametrize("properties, error, words", WRONG)
async def test_the_asyncio_client_goes_on(
    peer: Peer, properties: Any, error: type[Exception], words: str
) -> None:
    client = ternmq.Client(peer.url)
    states: list[str] = []
    client.on_state(lambda state: states.append(state.name))
    connecting = asyncio.create_task(client.connect())
    other = await peer.client()
    await other.accept()
    await connecting
    with pytest.raises(error, match=words):
        await client.disconnect(properties=properties)
    assert states == ["connected"]
    watching = asyncio.create_task(nothing_was_sent(other))
    await client.publish("t", b"", qos=1)
    await client.disconnect(4, properties=GOOD)
    await asyncio.wait_for(watching, 10)


@pytest.mark.parametrize("properties, error, words", WRONG)
async def test_the_blocking_client_goes_on(
    peer: Peer, properties: Any, error: type[Exception], words: str
) -> None:
    def talk() -> None:
        client = blocking.Client(peer.url)
        client.connect()
        with pytest.raises(error, match=words):
            client.disconnect(properties=properties)
        client.publish("t", b"", qos=1)
        client.disconnect(4, properties=GOOD)

    talking = asyncio.create_task(asyncio.to_thread(talk))
    other = await peer.client()
    await other.accept()
    await asyncio.wait_for(nothing_was_sent(other), 10)
    await talking


async def test_versions_that_have_no_properties(peer: Peer) -> None:
    client = ternmq.Client(peer.url, version=4)
    connecting = asyncio.create_task(client.connect())
    other = await peer.client()
    await other.expect(CONNECT)
    await other.send(connack(version=4))
    await connecting
    for arguments in ({"properties": GOOD}, {"reason_code": 4}):
        with pytest.raises(ValueError, match="only MQTT 5 has that"):
            await client.disconnect(**arguments)  # type: ignore[arg-type]
    await client.disconnect()
    assert await other.expect(DISCONNECT) == b""


def connecting_with(properties: Mapping[str, Any]) -> None:
    for face in (ternmq.Client, blocking.Client):
        face("mqtt://127.0.0.1", properties=properties)


@pytest.mark.parametrize("properties, words", [
    ({"topic_alias": 1}, "properties: topic_alias: "),
    ({"server_keep_alive": 1}, "properties: server_keep_alive: "),
    ({"will_delay_interval": 1}, "properties: will_delay_interval: "),
    ({"reason_string": "x"}, "properties: reason_string: "),
])
def test_properties_that_no_connect_has(properties: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        connecting_with(properties)
