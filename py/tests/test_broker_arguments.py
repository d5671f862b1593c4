"""What `Broker` takes: certificates of clients, and arguments that make no sense."""

import math
from pathlib import Path
from typing import Any

import pytest
import ternmq
from ternmq import Tls
from ternmq.blocking import Client
from ternmq.broker import Connecting


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
def test_clients_that_have_to_show_a_certificate(scheme: str, tmp_path: Path) -> None:
    seen: list[Connecting] = []

    def authenticate(client: Connecting) -> None:
        seen.append(client)

    with ternmq.Broker(
        tls=True, ws=True, client_certificates="required", certificate_users=True,
        authenticate=authenticate,
    ) as broker:
        url = broker.urls[scheme]
        with Client(url, client_id="c", tls=broker.client_context("sensor")) as client:
            client.publish("t", b"", qos=1)
            assert broker.clients()["c"].username == "sensor"
        with pytest.raises(ternmq.MqttError):
            Client(url, tls=broker.client_context()).connect()
        with ternmq.Broker(tls=True) as other, pytest.raises(ternmq.MqttError):
            # Signed by somebody else.
            context = other.client_context("sensor")
            context.load_verify_locations(cadata=broker.ca)
            Client(url, tls=context).connect()
        broker.restart()
        # By files, as other clients take them; the authority is the same after a restart.
        names = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
        for name, text in zip(names, (broker.ca, *broker.client_certificate("by files")), strict=True):
            name.write_text(text)
        ca, cert, key = map(str, names)
        with Client(url, client_id="f", tls=Tls(ca=ca, cert=cert, key=key)):
            assert broker.clients()["f"].username == "by files"
    assert [client.certificate for client in seen] == ["CN=sensor", "CN=by files"]
    assert all(client.authenticated for client in seen)


def test_clients_that_may_show_a_certificate() -> None:
    with ternmq.Broker(
        tls=True, client_certificates="optional", certificate_users=True, users={"u": "p"}
    ) as broker:
        url = broker.urls["mqtts"]
        with Client(url, client_id="c", tls=broker.client_context("sensor")):
            assert broker.clients()["c"].username == "sensor"
        context = broker.client_context()
        with Client(url, client_id="d", username="u", password="p", tls=context):
            assert broker.clients()["d"].username == "u"
        with pytest.raises(ternmq.ConnectError) as error:
            Client(url, tls=context).connect()
        assert error.value.reason_code == ternmq.ReasonCode.NOT_AUTHORIZED


@pytest.mark.parametrize("argument, value, error", [
    ("port", "1883", TypeError),
    ("port", True, TypeError),
    ("port", 65_536, ValueError),
    ("port", -1, ValueError),
    ("host", 127, TypeError),
    ("host", "localhost", ValueError),
    ("tls", "yes", TypeError),
    ("tls", ("only.pem",), ValueError),
    ("tls", ("cert.pem", 5), TypeError),
    ("tls_port", "0", TypeError),
    ("tls_port", 70_000, ValueError),
    ("tls_port", False, TypeError),
    ("ws", 1, TypeError),
    ("ws_port", "0", TypeError),
    ("ws_port", -2, ValueError),
    ("wss_port", 1.0, TypeError),
    ("wss_port", 65_536, ValueError),
    ("unix", 5, TypeError),
    ("unix", b"socket", TypeError),
    ("unix", "", ValueError),
    ("unix", "a\0b", ValueError),
    ("users", [("u", "p")], TypeError),
    ("users", {"u": b"p"}, TypeError),
    ("users", {5: "p"}, TypeError),
    ("users", {"u": ""}, ValueError),
    ("users", {"": "p"}, ValueError),
    ("users", {"u": "\a"}, ValueError),
    ("users", {"x" * 65_536: "p"}, ValueError),
    ("anonymous", "no", TypeError),
    ("shards", "2", TypeError),
    ("shards", -1, ValueError),
    ("shards", True, TypeError),
    ("shards", 257, ValueError),
    ("shards", 1_000_000, ValueError),
    ("shards", 10**30, ValueError),
    ("folder", 5, TypeError),
    ("limits", [("sessions", 1)], TypeError),
    ("limits", {"sessions": "1"}, TypeError),
    ("limits", {"sessions": -1}, ValueError),
    ("limits", {"sessions": True}, TypeError),
    ("limits", {"sessions": 10**30}, ValueError),
    ("limits", {"connect_timeout": 1.5}, TypeError),
    ("limits", {"nonsense": 1}, ValueError),
    ("limits", {"inflight": 70_000}, ValueError),
    ("faults", "yes", TypeError),
    ("record", "1", TypeError),
    ("record", -1, ValueError),
    ("record", True, TypeError),
    ("record", 10**30, ValueError),
    ("record", math.nan, TypeError),
    ("hook_threads", True, TypeError),
    ("hook_threads", 0, ValueError),
    ("hook_threads", 65, ValueError),
    ("hook_threads", 1.5, TypeError),
    ("acl", 5, TypeError),
    ("acl", ["a/#"], TypeError),
    ("keepalive", 60, TypeError),
    ("authenticate", 5, TypeError),
    ("authorise", 5, TypeError),
    ("on_connect", 5, TypeError),
    ("on_publish", "print", TypeError),
    ("client_certificates", "required", ValueError),
    ("client_certificates", True, TypeError),
    ("certificate_users", True, ValueError),
    ("certificate_users", "cn", TypeError),
])
def test_a_wrong_argument_is_named_at_once(
    argument: str, value: Any, error: type[Exception]
) -> None:
    others: dict[str, Any] = {} if "certificate" in argument else {"tls": True, "ws": True}
    with pytest.raises(error, match=argument.removesuffix("s")):
        ternmq.Broker(**(others | {argument: value}))


@pytest.mark.parametrize("port, others, lacks", [
    ("tls_port", {}, "without tls"),
    ("tls_port", {"tls": False, "ws": True}, "without tls"),
    ("ws_port", {"tls": True}, "without ws"),
    ("wss_port", {"tls": True}, "without tls and ws"),
    ("wss_port", {"ws": True}, "without tls and ws"),
])
def test_a_port_where_nobody_would_listen_is_refused(
    port: str, others: dict[str, Any], lacks: str
) -> None:
    for number in (0, 5):
        with pytest.raises(ValueError, match=f"{port}: .*{lacks}"):
            ternmq.Broker(**others, **{port: number})


def test_certificates_of_clients_need_somebody_who_signs_them() -> None:
    with pytest.raises(ValueError, match="client_certificates"):
        ternmq.Broker(tls=("cert.pem", "key.pem"), client_certificates="optional")
    with pytest.raises(ValueError, match="client_certificates"):
        ternmq.Broker(tls=True, client_certificates="maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize("limit, wrong", [
    ("connections", 0), ("sessions", 0), ("connect_timeout", 0), ("connect_timeout", 2**32), ("packet_size", 1_023),
    ("packet_size", 2**32 - 1), ("receive_maximum", 0), ("inflight", 0),
])
def test_a_limit_with_which_nothing_works_is_named_at_once(limit: str, wrong: int) -> None:
    with pytest.raises(ValueError, match="packet" if limit == "packet_size" else limit):
        ternmq.Broker(limits={limit: wrong})


@pytest.mark.parametrize("field, value, error", [
    ("topics", "a/#", TypeError),
    ("topics", 5, TypeError),
    ("topics", [5], TypeError),
    ("topics", ["a/#/b"], ValueError),
    ("user", 5, TypeError),
    ("client", b"c", TypeError),
    ("client", "", ValueError),
    ("address", 5, TypeError),
    ("address", "10.0.0.0/99", ValueError),
    ("publish", 1, TypeError),
    ("subscribe", "no", TypeError),
    ("qos", 1, TypeError),
    ("qos", [True], TypeError),
    ("qos", "1", TypeError),
    ("qos", [3], ValueError),
    ("qos", (), ValueError),
    ("retain", 1, TypeError),
    ("topic", "a", TypeError),
])
def test_a_field_of_a_rule_that_can_not_be_is_named_at_once(
    field: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=field):
        ternmq.broker.Rule(**{"allows": True, field: value})


def test_rules_that_differ_from_the_usual_are_taken() -> None:
    Rule = ternmq.broker.Rule
    rules = [
        Rule.allow("a/%u/#", user="", address="10.0.0.0/8", qos=[0], retain=True),
        Rule.deny(client="c*", address="::1", qos=(2,), publish=False),
        Rule.allow(),
    ]
    with ternmq.Broker(acl=rules) as broker:
        broker.set_acl(rules[2:])


def test_the_users_of_an_earlier_broker_are_none_of_the_next() -> None:
    for password, other in (("a", "b"), ("b", "a"), ("a", "b")):
        with ternmq.Broker(users={"u": password, "v": "a"}) as broker:
            with Client(broker.url, username="u", password=password):
                pass
            with pytest.raises(ternmq.ConnectError):
                Client(broker.url, username="u", password=other).connect()
