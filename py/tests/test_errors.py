"""What goes wrong is an exception with a reason."""

import asyncio
import socket
from typing import Any

import pytest
import ternmq
from peer import (
    CONNECT, DISCONNECT, PUBACK, PUBLISH, PUBREC, SUBACK, SUBSCRIBE, Connection, Peer, ack, connack,
    packet, publish,
)
from ternmq import Client, ReasonCode, blocking


async def connected(peer: Peer, version: int = 5, **options: object) -> tuple[Client, Connection]:
    client = Client(peer.url, version=version, **options)  # type: ignore[arg-type]
    connecting = asyncio.create_task(client.connect())
    connection = await peer.client()
    await connection.accept(version=version)
    await connecting
    return client, connection


async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "ternmq.client")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ternmq.ConnectError) as caught:
            await Client(f"mqtt://127.0.0.1:{port}").connect()
        with pytest.raises(ternmq.ConnectError, match=f"^127.0.0.1:{port}: .*refused"):
            await asyncio.to_thread(blocking.Client(f"mqtt://127.0.0.1:{port}").connect)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.reason_code is None
    # The log says once where that was, and as no error: whoever has called is told.
    said = [record for record in caplog.records if "refused" in record.getMessage().lower() or "failed" in record.getMessage()]
    assert [record.levelname for record in said] == ["DEBUG", "DEBUG"]
    assert [record.getMessage().count(f"127.0.0.1:{port}: ") for record in said] == [1, 1]


async def test_a_server_that_speaks_no_tls_is_not_an_error_without_words() -> None:
    with ternmq.Broker(tls=True) as broker:
        url = f"mqtts://127.0.0.1:{broker.port}"
        context = broker.client_context()
        with pytest.raises(ternmq.ConnectError, match=r": \S"):
            await Client(url, tls=context).connect()
        with pytest.raises(ternmq.ConnectError, match=r": \S"):
            await asyncio.to_thread(blocking.Client(url, tls=context).connect)


@pytest.mark.parametrize(
    ("version", "code", "reason"),
    [
        (3, 2, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID),
        (4, 4, ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (4, 5, ReasonCode.NOT_AUTHORIZED),
        (5, 0x8A, ReasonCode.BANNED),
    ],
)
async def test_the_server_refuses(peer: Peer, version: int, code: int, reason: ReasonCode) -> None:
    client = Client(peer.url, version=version, client_id="c")
    connecting = asyncio.create_task(client.connect())
    server = await peer.client()
    await server.expect(CONNECT)
    await server.send(connack(code=code, version=version))
    with pytest.raises(ternmq.ConnectError) as caught:
        await connecting
    assert caught.value.reason_code is reason
    await server.expect_end()
    with pytest.raises(ternmq.ConnectError) as caught:
        await client.publish("t")
    assert caught.value.reason_code is reason
    with pytest.raises(RuntimeError):
        await client.connect()


async def test_the_server_does_not_answer(peer: Peer) -> None:
    with pytest.raises(ternmq.ConnectTimeoutError) as caught:
        await Client(peer.url, connect_timeout=0.05).connect()
    assert isinstance(caught.value, TimeoutError)
    server = await peer.client()
    await server.expect(CONNECT)
    await server.expect_end()


async def test_the_server_closes_instead_of_answering(peer: Peer) -> None:
    connecting = asyncio.create_task(Client(peer.url).connect())
    (await peer.client()).cut()
    with pytest.raises(ternmq.ConnectError):
        await connecting


@pytest.mark.parametrize("garbage", [b"\0\0", b"HTTP/1.1 400\r\n", b"\x20\xff\xff\xff\xff\x01"])
async def test_the_server_speaks_something_else(peer: Peer, garbage: bytes) -> None:
    connecting = asyncio.create_task(Client(peer.url).connect())
    server = await peer.client()
    await server.send(garbage)
    server.writer.close()
    with pytest.raises(ternmq.ConnectError):
        await connecting


async def test_the_server_breaks_the_protocol(peer: Peer) -> None:
    client, server = await connected(peer)
    publishing = asyncio.create_task(client.publish("t", b"", qos=1))
    await server.expect(PUBLISH)
    await server.send(packet(0x36, b"\0\1t\0\1\0"))  # QoS 3
    with pytest.raises(ternmq.ProtocolError):
        await publishing
    assert (await server.expect(DISCONNECT))[0] == ReasonCode.MALFORMED_PACKET
    await server.expect_end()


async def test_the_server_ends_the_connection(peer: Peer) -> None:
    client, server = await connected(peer)
    states: list[ternmq.State] = []
    client.on_state(states.append)
    subscribing = asyncio.create_task(client.subscribe("t").__aenter__())
    await server.grant(0)
    subscription = await subscribing
    await server.send(publish("t", b"last"), packet(DISCONNECT << 4, bytes([ReasonCode.SERVER_BUSY])))
    messages = []
    with pytest.raises(ternmq.ConnectionLostError) as caught:
        async for message in subscription:
            messages.append(message.payload)
    assert messages == [b"last"]
    assert caught.value.reason_code == ReasonCode.SERVER_BUSY
    assert isinstance(caught.value, ConnectionError)
    assert [state.name for state in states] == ["closed"]
    for attempt in (client.publish("t"), client.publish("t", qos=1), client.subscribe("t")):
        with pytest.raises(ternmq.ConnectionLostError) as caught:
            await attempt
        assert caught.value.reason_code == ReasonCode.SERVER_BUSY
    await client.disconnect()


async def test_a_timeout_of_one_call(peer: Peer) -> None:
    client, server = await connected(peer, timeout=None)
    with pytest.raises(ternmq.MqttTimeoutError):
        await client.publish("t", b"", qos=1, timeout=0.01)
    await client.disconnect()
    await server.expect(PUBLISH)


async def test_answers_that_do_not_come(peer: Peer) -> None:
    client, server = await connected(peer, timeout=0.05)
    with pytest.raises(ternmq.MqttTimeoutError):
        await client.publish("t", b"", qos=1)
    with pytest.raises(ternmq.MqttTimeoutError):
        await client.subscribe("t")
    with pytest.raises(ternmq.MqttTimeoutError):
        await client.drain()
    token = client.publish_nowait("t", b"", qos=2)
    await client.disconnect()
    with pytest.raises(ternmq.ConnectionLostError):
        await token


async def test_a_subscription_is_refused(peer: Peer) -> None:
    client, server = await connected(peer)
    for codes in ([0x87], [0x87, 0x8F]):
        filters = ["a", "b"][: len(codes)]
        subscribing = asyncio.create_task(client.subscribe(filters).__aenter__())
        await server.grant(*codes)
        with pytest.raises(ternmq.SubscribeError) as caught:
            await subscribing
        assert caught.value.reason_code == ReasonCode.NOT_AUTHORIZED
        assert list(caught.value.codes) == codes
    subscribing = asyncio.create_task(client.subscribe(["a", "b"], 1).__aenter__())
    await server.grant(1, 0x87)
    assert (await subscribing).codes == (1, 0x87)
    await client.disconnect()


async def test_a_message_is_refused(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    client, server = await connected(peer)
    for qos, kind in ((1, PUBACK), (2, PUBREC)):
        publishing = asyncio.create_task(client.publish("t", b"", qos=qos))
        id = int.from_bytes((await server.expect(PUBLISH))[3:5])
        reason = b"\x1f\0\4full"
        body = id.to_bytes(2) + bytes([ReasonCode.QUOTA_EXCEEDED, len(reason)]) + reason
        await server.send(packet(kind << 4, body))
        with pytest.raises(ternmq.PublishError, match="full") as caught:
            await publishing
        assert caught.value.reason_code == ReasonCode.QUOTA_EXCEEDED
        assert caught.value.properties == {"reason_string": "full"}
    assert caplog.text == ""  # who waits has been told
    publishing = asyncio.create_task(client.publish("t", b"", qos=1))
    id = int.from_bytes((await server.expect(PUBLISH))[3:5])
    await server.send(ack(PUBACK, id, ReasonCode.NO_MATCHING_SUBSCRIBERS))
    assert (await publishing).reason_code == ReasonCode.NO_MATCHING_SUBSCRIBERS
    await client.disconnect()


@pytest.mark.parametrize(
    "arguments",
    [
        {"topic": "a/#"}, {"topic": ""}, {"topic": "a\0b"}, {"topic": "t", "qos": 3},
        {"topic": "t" * 65_536}, {"topic": "t", "payload_format": 2},
        {"topic": "t", "response_topic": "a/+"}, {"topic": "t", "user": [("a", "\0")]},
    ],
)
async def test_messages_that_no_publish_can_carry(
    broker: ternmq.Broker, arguments: dict[str, object]
) -> None:
    async with Client(broker.url) as client:
        with pytest.raises(ValueError):
            await client.publish(**arguments)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await client.publish("t", 5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await client.publish("t", nonsense=1)  # type: ignore[call-arg]
        await client.publish("t", b"", qos=1)  # and it still works


async def test_what_only_mqtt_5_has_is_refused_before(broker: ternmq.Broker) -> None:
    async with Client(broker.url, version=4) as client:
        with pytest.raises(ValueError):
            await client.publish("t", expiry=1)
        with pytest.raises(ValueError):
            await client.subscribe("t", no_local=True)
        with pytest.raises(ValueError):
            await client.disconnect(4)
        assert client.connected


@pytest.mark.parametrize("filter", ["", "a/#/b", "a+", "$share//a", "$share/g", "a\0"])
async def test_filters_that_are_none(broker: ternmq.Broker, filter: str) -> None:
    async with Client(broker.url) as client:
        with pytest.raises(ValueError):
            await client.subscribe(filter)
        with pytest.raises(ValueError):
            client.subscribe([])


async def test_a_subscription_that_is_not_open(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        with pytest.raises(RuntimeError):
            async for _ in client.subscribe("t"):
                pass
        subscription = await client.subscribe("t")
        with pytest.raises(ternmq.MqttTimeoutError):
            await subscription.get(timeout=0.01)


async def test_before_connecting() -> None:
    client = Client("mqtt://127.0.0.1:1")
    with pytest.raises(ternmq.ConnectionLostError):
        await client.publish("t")
    with pytest.raises(ternmq.ConnectionLostError):
        await client.subscribe("t")


async def test_shared_subscriptions_get_their_messages(peer: Peer) -> None:
    client, server = await connected(peer, version=4)
    subscribing = asyncio.create_task(client.subscribe("$share/g/a/+", 1).__aenter__())
    body = await server.expect(SUBSCRIBE)
    assert b"$share/g/a/+" in body
    await server.send(packet(SUBACK << 4, body[:2] + b"\1"), publish("a/b", b"x", version=4))
    assert (await (await subscribing).get(10)).payload == b"x"
    await client.disconnect()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"keepalive": 70_000}, ValueError, "keepalive must be from 0 to 65535, got 70000"),
        ({"queue": -1}, ValueError, "queue must be"),
        ({"client_id": 5}, TypeError, "client_id is str"),
        ({"will": "x"}, TypeError, "will: "),
        ({"reconnect": True}, TypeError, "reconnect is a Backoff"),
        ({"timeout": "5"}, TypeError, "timeout is a number"),
        ({"connect_timeout": "5"}, TypeError, "connect_timeout is a number"),
    ],
)
def test_a_wrong_option_is_named(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ternmq.Client("mqtt://127.0.0.1", **options)


@pytest.mark.parametrize("filters", [5, b"a", [5], [("a",)], [("a", 1, 2)]])
def test_a_wrong_filter_is_named(filters: Any) -> None:
    with pytest.raises(TypeError, match="a topic filter is str"):
        ternmq.Client("mqtt://127.0.0.1").subscribe(filters)
