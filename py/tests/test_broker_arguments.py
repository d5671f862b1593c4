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
    ("port", 65_536, ValueError),
    ("port", -1, ValueError),
    ("host", 127, TypeError),
    ("host", "localhost", ValueError),
    ("tls", "yes", TypeError),
    ("tls", ("only.pem",), ValueError),
    ("tls", ("cert.pem", 5), TypeError),
    ("tls_port", "0", TypeError),
    ("tls_port", 70_000, ValueError),
    ("ws", 1, TypeError),
    ("ws_port", None, TypeError),
    ("ws_port", -2, ValueError),
    ("wss_port", 1.0, TypeError),
    ("wss_port", 65_536, ValueError),
    ("unix", 5, TypeError),
    ("users", [("u", "p")], TypeError),
    ("users", {"u": b"p"}, TypeError),
    ("users", {5: "p"}, TypeError),
    ("anonymous", "no", TypeError),
    ("shards", "2", TypeError),
    ("shards", -1, ValueError),
    ("folder", 5, TypeError),
    ("limits", [("sessions", 1)], TypeError),
    ("limits", {"sessions": "1"}, TypeError),
    ("limits", {"sessions": -1}, ValueError),
    ("limits", {"nonsense": 1}, ValueError),
    ("limits", {"inflight": 70_000}, ValueError),
    ("faults", "yes", TypeError),
    ("record", "1", TypeError),
    ("record", -1, ValueError),
    ("record", math.nan, TypeError),
    ("hook_threads", 0, ValueError),
    ("hook_threads", 65, ValueError),
    ("hook_threads", 1.5, TypeError),
    ("acl", 5, TypeError),
    ("acl", ["a/#"], TypeError),
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


def test_certificates_of_clients_need_somebody_who_signs_them() -> None:
    with pytest.raises(ValueError, match="client_certificates"):
        ternmq.Broker(tls=("cert.pem", "key.pem"), client_certificates="optional")
    with pytest.raises(ValueError, match="client_certificates"):
        ternmq.Broker(tls=True, client_certificates="maybe")  # type: ignore[arg-type]


def test_what_only_the_start_can_tell_is_named_too() -> None:
    for options, match in [
        ({"users": {"u": ""}}, "users"),
        ({"acl": [ternmq.broker.Rule.allow("a/#/b")]}, "acl"),
        ({"shards": 100_000}, "shards"),
    ]:
        with pytest.raises(ValueError, match=match):
            ternmq.Broker(**options).start()  # type: ignore[arg-type]


def test_the_users_of_an_earlier_broker_are_none_of_the_next() -> None:
    for password, other in (("a", "b"), ("b", "a"), ("a", "b")):
        with ternmq.Broker(users={"u": password, "v": "a"}) as broker:
            with Client(broker.url, username="u", password=password):
                pass
            with pytest.raises(ternmq.ConnectError):
                Client(broker.url, username="u", password=other).connect()
