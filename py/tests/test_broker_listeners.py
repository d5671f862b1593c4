"""Where an embedded broker listens, whom it lets in, and what it keeps over a restart."""

import ssl
import threading
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest
import ternmq
from paho.mqtt.enums import CallbackAPIVersion
from ternmq.blocking import Client


def talk(broker: ternmq.Broker, transport: str, port: int, context: ssl.SSLContext | None) -> None:
    """A message of a paho client to itself."""
    got = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, transport=transport)  # type: ignore[arg-type]
    if context is not None:
        client.tls_set_context(context)
    client.on_connect = lambda c, *_: c.subscribe("t")
    client.on_subscribe = lambda c, *_: c.publish("t", "x")
    client.on_message = lambda *_: got.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert got.wait(10)
    client.disconnect()
    client.loop_stop()


def test_every_way_in(tmp_path: Path) -> None:
    socket = tmp_path / "broker.sock"
    with ternmq.Broker(tls=True, ws=True, unix=socket) as broker:
        assert list(broker.urls) == ["mqtt", "mqtts", "ws", "wss", "unix"]
        assert broker.url == broker.urls["mqtt"] == f"mqtt://127.0.0.1:{broker.port}"
        assert broker.urls["unix"] == f"unix://{socket}"
        for scheme, url in broker.urls.items():
            context = broker.client_context() if scheme in ("mqtts", "wss") else None
            if scheme == "unix":
                continue
            port = int(url.rpartition(":")[2].removesuffix("/mqtt"))
            talk(broker, "websockets" if scheme.startswith("ws") else "tcp", port, context)
        talk_unix(socket)
        with pytest.raises(ssl.SSLError):
            talk(broker, "tcp", int(broker.urls["mqtts"].rpartition(":")[2]), ssl.create_default_context())


def talk_unix(socket: Path) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, transport="unix")
    client.connect(str(socket), 1883)
    client.loop_start()
    client.publish("t", "x", qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_a_certificate_of_files_and_clients_that_have_to_show_one(tmp_path: Path) -> None:
    with ternmq.Broker(tls=True) as other:
        authority = tmp_path / "authority.pem"
        authority.write_text(other.ca)
        certificate = other._certificate
        assert certificate is not None
        chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        chain.write_bytes(certificate.chain)
        key.write_bytes(certificate.key)
    with ternmq.Broker(None, tls=(chain, key, authority)) as broker:
        assert list(broker.urls) == ["mqtts"]
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(chain, key)
        talk(broker, "tcp", broker.port, context)
        with pytest.raises(RuntimeError):
            _ = broker.ca
    with pytest.raises(OSError):
        ternmq.Broker(tls=(chain, tmp_path / "none")).start()
    with pytest.raises(ValueError):
        ternmq.Broker(tls=(chain, authority)).start()
    with pytest.raises(TypeError):
        ternmq.Broker(tls="yes").start()  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        ternmq.Broker(None)


async def test_users_are_who_they_say(broker: ternmq.Broker) -> None:
    async with ternmq.Broker(users={"u": "p", "v": "q"}) as broker:
        for name, password in [("u", "q"), ("nobody", "p"), (None, None)]:
            with pytest.raises(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", broker.port, username=name, password=password):
                    pass
        async with aiomqtt.Client("127.0.0.1", broker.port, username="u", password="p", identifier="c"):
            assert broker.clients()["c"].username == "u"
    async with ternmq.Broker(users={"u": "p"}, anonymous=True) as broker:
        async with aiomqtt.Client("127.0.0.1", broker.port):
            pass
    with pytest.raises(ValueError, match="users"):
        ternmq.Broker(users={"u": ""}).start()


def test_limits_hold_and_wrong_ones_are_named() -> None:
    with ternmq.Broker(limits={"sessions": 1, "queue_messages": 2}) as broker:
        client = Client(broker.url, client_id="c", clean_start=False, session_expiry=60)
        with client:
            with pytest.raises(ternmq.ConnectError):
                Client(broker.url, client_id="d").connect()
    for limits in ({"nonsense": 1}, {"inflight": 70_000}, {"inflight": 0}):
        with pytest.raises(ValueError):
            ternmq.Broker(limits=limits).start()


@pytest.mark.parametrize("kept_in", ["memory", "folder"])
def test_a_restart_keeps_the_address_and_what_is_wanted(tmp_path: Path, kept_in: str) -> None:
    folder = tmp_path / "kept" if kept_in == "folder" else None
    with ternmq.Broker(folder=folder) as broker:
        port = broker.port
        options = {"client_id": "c", "clean_start": False, "session_expiry": 3600}
        with Client(broker.url, **options) as client:  # type: ignore[arg-type]
            subscription = client.subscribe("t/#", 1)
            assert broker.cut("c") == 1, subscription
        broker.publish("t/1", b"queued", qos=1)
        broker.publish("kept", b"x", retain=True)
        broker.restart()
        assert broker.port == port
        with Client(broker.url, **options) as client:  # type: ignore[arg-type]
            assert client.session_present
            with client.subscribe("t/#", 1) as waited:
                assert waited.get(10).payload == b"queued"
            with client.subscribe("kept") as kept:
                assert kept.get(10).payload == b"x"
        broker.restart(keep_sessions=False)
        assert broker.port == port
        assert broker.clients() == {}
    if folder is not None:
        with ternmq.Broker(folder=folder) as broker:
            broker.publish("kept", b"y", retain=True)
        with ternmq.Broker(folder=folder) as broker, Client(broker.url) as client:
            with client.subscribe("kept") as kept:
                assert kept.get(10).payload == b"y"


def test_many_brokers_know_nothing_of_each_other() -> None:
    brokers = [ternmq.Broker() for _ in range(20)]
    for broker in brokers:
        broker.start()
    assert len({broker.port for broker in brokers}) == 20
    with Client(brokers[0].url, client_id="c") as client:
        client.publish("t", b"", qos=1)
        assert "c" in brokers[0].clients()
        assert all(not broker.clients() for broker in brokers[1:])
    for broker in brokers:
        broker.stop()
