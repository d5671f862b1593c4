"""A wrong type raises TypeError, a wrong value ValueError, and either names the argument."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import ternmq
from ternmq import Client, blocking

NAN = float("nan")


def refuses(call: Callable[..., Any], argument: str, value: Any, **others: Any) -> None:
    """It is told at once, in the message itself."""
    kind = ValueError if _is_value(value) else TypeError
    with pytest.raises(kind) as caught:
        call(**others, **{argument: value.args[0] if _is_value(value) else value})
    assert argument.rstrip("s") in str(caught.value)
    assert "integral" not in str(caught.value)


class Value(Exception):
    """Of the right type, and wrong all the same."""


def _is_value(value: Any) -> bool:
    return isinstance(value, Value)


OPTIONS: list[tuple[str, list[Any]]] = [
    ("url", [5, b"mqtt://h", Value("http://h"), Value("mqtt://h:x")]),
    ("headers", [5, "a", {"a": 5}, Value({"a": "b\r\nc: d"}), Value({"a\n": "b"})]),
    ("proxy", [5, Value("ftp://h"), Value("x"), Value("h:1080"), Value("")]),
    ("tls", [5, "yes"]),
    ("auth", [5]),
    ("client_id", [5, None, Value("a\0"), Value("x" * 65_536)]),
    ("version", [True, Value(6)]),
    ("clean_start", ["x"]),
    ("session_expiry", ["1", 1.5, True, Value(-1), Value(2**32)]),
    ("username", [5, Value("a\0")]),
    ("password", [5, Value("x" * 65_536)]),
    ("will", ["x"]),
    ("keepalive", ["1", None, True, Value(-1), Value(65_536)]),
    ("properties", [5, {5: 1}, Value({"nonsense": 1})]),
    ("reconnect", [5]),
    ("receive_maximum", ["1", True, Value(0), Value(65_536)]),
    ("queue", ["1", True, Value(0), Value(-1)]),
    ("inflight", ["1", True, Value(0), Value(65_536)]),
    ("outbox", ["1", True, Value(-1)]),
    ("outbox_bytes", ["1", True, Value(-1)]),
    ("outbox_file", [5]),
    ("outbox_sync", [1, "yes", Value(True)]),
    ("max_packet_size", ["1", True, Value(0), Value(2**32)]),
    ("timeout", ["1", True, Value(-1), Value(NAN)]),
    ("connect_timeout", ["1", True, Value(-1), Value(NAN)]),
]


@pytest.mark.parametrize("client", [Client, blocking.Client])
@pytest.mark.parametrize(("argument", "values"), OPTIONS)
def test_an_option_of_a_client(client: Callable[..., Any], argument: str, values: list[Any]) -> None:
    for value in values:
        others = {} if argument == "url" else {"url": "ws://127.0.0.1" if argument == "headers" else "mqtt://h"}
        refuses(client, argument, value, **others)


MESSAGE: list[tuple[str, list[Any]]] = [
    ("topic", [5, b"a", None, Value(""), Value("a/+"), Value("a\0"), Value("x" * 65_536)]),
    ("payload", [5, None]),
    ("qos", ["1", None, True, Value(3), Value(-1), Value(256)]),
    ("retain", ["x"]),
    ("expiry", ["1", 1.5, True, Value(-1), Value(2**32)]),
    ("payload_format", ["1", True, Value(-1)]),
    ("content_type", [5]),
    ("response_topic", [5]),
    ("correlation_data", [5]),
    ("user", [5, [("a", 5)]]),
]


@pytest.mark.parametrize(
    ("argument", "values"), [*MESSAGE, ("delay", ["1", 1.5, None, True, Value(-1), Value(2**32)])]
)
def test_an_argument_of_a_will(argument: str, values: list[Any]) -> None:
    for value in values:
        refuses(ternmq.Will, argument, value, **({} if argument == "topic" else {"topic": "t"}))


@pytest.mark.parametrize(("argument", "values"), [*MESSAGE, ("timeout", ["1", True, Value(NAN)])])
async def test_an_argument_of_publish(
    broker: ternmq.Broker, argument: str, values: list[Any]
) -> None:
    topic = {} if argument == "topic" else {"topic": "t"}
    async with Client(broker.url) as client:
        loop = asyncio.get_running_loop()
        with blocking.Client(broker.url) as other:
            for value in values:
                publishing = [other.publish]
                if argument != "timeout":
                    publishing += [other.publish_nowait, client.publish_nowait, broker.publish]
                for call in publishing:
                    refuses(call, argument, value, **topic)
                refuses(lambda **all: client.publish(**all).send(None), argument, value, **topic)
        assert loop.is_running() and client.connected


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("filters", [5, None, Value(""), Value("a/#/b"), Value("a\0")]),
        ("qos", ["1", True, Value(3), Value(-1)]),
        ("no_local", ["x"]),
        ("retain_handling", ["1", True, Value(3), Value(-1)]),
        ("identifier", ["1", True, Value(-1), Value(0), Value(2**28)]),
        ("user", [5]),
        ("queue", ["1", True, Value(0), Value(-1)]),
        ("timeout", ["1", True, Value(NAN)]),
    ],
)
async def test_an_argument_of_subscribe(
    broker: ternmq.Broker, argument: str, values: list[Any]
) -> None:
    filters = {} if argument == "filters" else {"filters": "t"}
    async with Client(broker.url) as client:

        def subscribe(**all: Any) -> None:
            client.subscribe(**all).__aenter__().send(None)

        for value in values:
            refuses(subscribe, argument, value, **filters)
    with blocking.Client(broker.url) as other:
        for value in values:
            refuses(other.subscribe, argument, value, **filters)


@pytest.mark.parametrize("client", [Client, blocking.Client])
def test_a_host_and_a_port(client: Callable[..., Any]) -> None:
    for value in ("1", 1.5, True, Value(0), Value(65_536)):
        refuses(client, "port", value, host="h")
    for value in (5, Value("")):
        refuses(client, "host", value)
    refuses(client, "transport", Value("udp"), host="h")


async def test_an_argument_of_unsubscribe(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        with blocking.Client(broker.url) as other:
            for value in (5, None, [5], b"a", Value(""), Value([]), Value("a/#/b")):
                refuses(other.unsubscribe, "filters", value)
                refuses(lambda **all: client.unsubscribe(**all).send(None), "filters", value)


@pytest.mark.parametrize("client", [Client, blocking.Client])
def test_an_argument_of_a_handler_is_looked_at_before_there_is_a_connection(
    client: Callable[..., Any],
) -> None:
    one = client("mqtt://127.0.0.1:1")
    for take in (one.on, one.respond):
        for argument, value in [
            ("filters", 5), ("filters", Value("a/#/b")), ("filters", Value([])), ("qos", Value(3)),
            ("no_local", "x"), ("retain_as_published", "x"), ("keep", "x"), ("ack", Value("x")),
            ("retain_handling", "1"), ("retain_handling", Value(3)), ("retain_handling", Value(-1)),
            ("identifier", "1"), ("identifier", Value(0)), ("identifier", Value(2**28)), ("user", 5),
            ("queue", "1"), ("queue", Value(0)), ("timeout", "1"), ("timeout", Value(NAN)), ("nonsense", 1),
        ]:
            refuses(take, argument, value, **({} if argument == "filters" else {"filters": "t"}))
        with pytest.raises(TypeError, match="handler"):
            take("t")(5)
        take("t", 2, identifier=268_435_455, retain_handling=2, queue=1, ack="manual")(print)
    refuses(one.on_state, "callback", 5)


@pytest.mark.parametrize("client", [Client, blocking.Client])
async def test_a_handler_that_needs_mqtt_5_is_told_to_the_log(
    client: Callable[..., Any], broker: ternmq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    one = client(broker.url, version=4)
    one.on("t", identifier=5)(print)
    one.open()
    while "handler print" not in caplog.text:
        await asyncio.sleep(0)
    assert "MQTT 5" in caplog.text
    ended = one.disconnect()
    if ended is not None:
        await ended


@pytest.mark.parametrize("client", [Client, blocking.Client])
async def test_a_failed_connect_is_raised_and_not_an_error_of_the_log(
    client: Callable[..., Any], broker: ternmq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "ternmq")
    url = broker.url
    broker.stop()
    with pytest.raises(ternmq.ConnectError):
        ended = client(url).connect()
        if ended is not None:
            await ended
    told = [r.levelname for r in caplog.records if "refused" in r.getMessage() or "failed" in r.getMessage()]
    assert told == ["DEBUG"]
    assert not [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL")]
    # Nobody waits for this one.
    one = client(url)
    one.open()
    while not [r for r in caplog.records if r.levelname == "ERROR"]:
        await asyncio.sleep(0)
    ended = one.disconnect()
    if ended is not None:
        await ended


def test_a_timeout_of_waiting_in_threads(broker: ternmq.Broker) -> None:
    with blocking.Client(broker.url) as client, client.subscribe("t") as subscription:
        token = client.publish_nowait("x", b"", 1)
        fault = broker.drop("PINGRESP")  # that of the publish is to come
        calls: list[Callable[..., Any]] = [
            subscription.get, subscription.messages, subscription.batches, client.drain, client.closed,
            token.wait, fault.wait, lambda timeout: client.request("t", timeout=timeout),
            lambda timeout: client.wait_until(False, timeout),
        ]
        for call in calls:
            for value in ("1", True, Value(NAN)):
                refuses(call, "timeout", value)
        refuses(client.wait_until, "connected", "x")
        refuses(client.disconnect, "properties", "x")
        for value in ("x", True, Value(0x100)):
            refuses(client.disconnect, "reason_code", value)
        refuses(client.disconnect, "properties", Value({"nonsense": 1}))


async def test_a_timeout_of_waiting(broker: ternmq.Broker) -> None:
    async with Client(broker.url) as client:
        subscription = await client.subscribe("t")
        calls: list[Callable[..., Any]] = [
            subscription.messages, subscription.batches, broker.wait_for,
            lambda timeout: subscription.get(timeout).send(None),
            lambda timeout: client.drain(timeout).send(None),
            lambda timeout: client.request("t", timeout=timeout).send(None),
        ]
        for call in calls:
            others = {"filter": "t"} if call == broker.wait_for else {}
            for value in ("1", Value(NAN)):
                refuses(call, "timeout", value, **others)


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("host", [5, None, Value("no host")]),
        ("port", ["1", 1.5, Value(-1), Value(65_536)]),
        ("users", [5, ["a"]]),
        ("limits", [5, Value({"nonsense": 1})]),
        ("record", ["1", None, Value(-1)]),
        ("acl", [5, [5]]),
        ("authenticate", [5]),
        ("authorise", [5]),
        ("on_connect", [5]),
        ("on_publish", [5]),
    ],
)
def test_an_option_of_a_broker(argument: str, values: list[Any]) -> None:
    for value in values:
        refuses(lambda **all: ternmq.Broker(**all).start(), argument, value)


def test_arguments_of_a_broker(broker: ternmq.Broker) -> None:
    for call in (broker.retained, broker.wait_for, broker.subscribe):
        refuses(call, "filter", 5)
        refuses(call, "filter", Value("#/a"))
    refuses(broker.kick, "client", 5)
    refuses(broker.kick, "reason", Value(5), client="c")
    refuses(broker.delay, "ms", "x")
    refuses(broker.delay, "ms", Value(NAN))
    refuses(broker.cut_after, "nth", "x", packet="PUBACK")
    refuses(broker.cut_after, "nth", Value(0), packet="PUBACK")
    refuses(broker.cut_after, "nth", 1.5, packet="PUBACK")
    refuses(broker.kick, "reason", "x", client="c")
    refuses(broker.kick, "reason", Value(0x100), client="c")
    for value in ("x", 140.5, Value(0x7F)):
        refuses(broker.refuse_next, "reason", value)
    for value in (5, [5], Value("NONSENSE"), Value(["PUBACK", "x"])):
        refuses(broker.drop, "packet", value)
    for value in ("x", 1.5, Value(0)):
        refuses(broker.drop, "times", value, packet="PUBACK")
    refuses(broker.drop, "way", 5, packet="PUBACK")
    refuses(broker.drop, "way", Value("up"), packet="PUBACK")
    refuses(broker.drop, "client", 5, packet="PUBACK")
    for value in ("x", 1.5, Value(-1)):
        refuses(broker.corrupt, "at", value, packet="PUBACK")
    for value in ("x", Value(0), Value(0x100)):
        refuses(broker.corrupt, "mask", value, packet="PUBACK", at=1)
    for value in ("x", Value(-1)):
        refuses(broker.drop("PUBACK").wait, "hits", value)
    refuses(broker.restart, "keep_sessions", "x")
    for value in ("x", True, None):
        refuses(broker.time.advance, "hours", value)
    for value in (NAN, float("inf")):
        with pytest.raises(ValueError, match="clock"):
            broker.time.advance(value)
    with pytest.raises(ValueError, match="clock"):
        broker.time.advance(1e300)


@pytest.mark.parametrize("client", [Client, blocking.Client])
def test_a_property_of_a_client(client: Callable[..., Any]) -> None:
    for name, values in [
        ("receive_maximum", ["1", 1.5, True, Value(-1), Value(0), Value(65_536), Value(2**70)]),
        ("request_problem_information", [True, Value(2)]),
        ("maximum_packet_size", ["1", True, Value(2**32)]),
        ("user_property", [5, {"a": 5}, Value({"a": "\0"})]),
    ]:
        for value in values:
            kind, given = (ValueError, value.args[0]) if _is_value(value) else (TypeError, value)
            with pytest.raises(kind, match="user" if "user" in name else name):
                client("mqtt://h", properties={name: given})


@pytest.mark.parametrize("client", [Client, blocking.Client])
def test_who_a_client_of_an_older_version_is(client: Callable[..., Any]) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("client_id", {"version": 3}),
        ("client_id", {"version": 4, "clean_start": False}),
        ("password", {"version": 4, "password": "x"}),
    ]
    for argument, options in cases:
        with pytest.raises(ValueError, match=f"^{argument}:"):
            client("mqtt://h", **options)
    client("mqtt://h", version=4)
    client("mqtt://user@h", version=4, password="x")


async def test_with_what_a_client_ends(broker: ternmq.Broker) -> None:
    heard = asyncio.Event()
    client = Client(broker.url)

    @client.on("t", qos=1)
    async def hear(message: ternmq.Message) -> None:
        heard.set()

    async with client:
        with blocking.Client(broker.url) as other:
            for code in (1, 0x87, 256, -1):
                with pytest.raises(ValueError, match="^reason_code "):
                    await client.disconnect(code)
                with pytest.raises(ValueError, match="^reason_code "):
                    other.disconnect(code)
            other.publish("t", qos=1)  # neither of them is gone
        async with asyncio.timeout(10):
            await heard.wait()


def test_arguments_of_small_values() -> None:
    for argument in ("min", "max", "jitter"):
        for value in ("x", Value(-1), Value(NAN)):
            refuses(ternmq.Backoff, argument, value)
    refuses(ternmq.Backoff, "max", Value(1), min=2)
    refuses(ternmq.Backoff, "first_connect", "x")
    for argument in ("server_name", "verify", "check_hostname"):
        refuses(ternmq.Tls, argument, 5)
    refuses(ternmq.Tls, "alpn", [5])
    refuses(ternmq.Tls, "key_password", 5, cert="c")
    for argument, values in [*MESSAGE, ("delay", ["1", Value(-1)])]:
        for value in values:
            refuses(ternmq.Will, argument, value, **({} if argument == "topic" else {"topic": "t"}))
