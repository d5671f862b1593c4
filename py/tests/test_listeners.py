"""What each option of a `Listener` does for clients that come in there, and what it refuses."""

import socket
import stat
import urllib.parse
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import ternmq
from paho.mqtt.enums import CallbackAPIVersion
from ternmq import Compression, Listener, Tls
from ternmq.blocking import Client
from ternmq.broker import Connecting


def port_of(url: str) -> int:
    port = urllib.parse.urlsplit(url).port
    assert port is not None
    return port


def test_clients_of_a_mount_point_know_nothing_of_it() -> None:
    mounted = Listener("mqtt", name="mounted", mount_point="plant/${clientid}/")
    with ternmq.Broker(listeners=[mounted]) as broker:
        with Client(broker.urls["mounted"], client_id="m") as client, Client(broker.url) as whole:
            with client.subscribe("#") as seen, whole.subscribe("#") as all:
                client.publish("a", b"1", qos=1)
                whole.publish("a", b"2", qos=1)
                whole.publish("plant/m/b", b"3", qos=1)
                assert [seen.get(10).topic for _ in range(2)] == ["a", "b"]
                assert [all.get(10).topic for _ in range(3)] == ["plant/m/a", "a", "plant/m/b"]
        assert [message.topic for message in broker.messages] == ["plant/m/a", "a", "plant/m/b"]
        with pytest.raises(ternmq.ConnectError) as refused:
            Client(broker.urls["mounted"], client_id="a/b").connect()
        assert refused.value.reason_code is not None


def test_versions_that_are_not_spoken_are_refused() -> None:
    old = Listener("mqtt", versions=[3, "3.1.1"])
    with ternmq.Broker(None, listeners=[old]) as broker:
        for version in (3, 4):
            Client(broker.url, version=version, client_id="c").connect()
        with pytest.raises(ternmq.ConnectError) as refused:
            Client(broker.url, version=5).connect()
        assert refused.value.reason_code == ternmq.ReasonCode.UNSUPPORTED_PROTOCOL_VERSION


def test_no_more_connections_than_a_listener_allows() -> None:
    few = Listener("mqtt", name="few", max_connections=1)
    with ternmq.Broker(listeners=[few]) as broker:
        with Client(broker.urls["few"]):
            with pytest.raises(ternmq.MqttError):
                Client(broker.urls["few"]).connect()
            with Client(broker.url):
                pass


def test_connections_that_come_too_fast_are_closed() -> None:
    slow = Listener("mqtt", name="slow", connection_rate=1)
    with ternmq.Broker(listeners=[slow]) as broker:
        with Client(broker.urls["slow"]):
            with pytest.raises(ternmq.MqttError):
                Client(broker.urls["slow"]).connect()
            with Client(broker.url):
                pass


def test_the_permissions_of_a_unix_socket(tmp_path: Path) -> None:
    file = tmp_path / "socket"
    for given, mode in ((None, 0o600), (0o660, 0o660)):
        unix = Listener("unix", file=file, mode=given, mount_point="local/")
        with ternmq.Broker(None, listeners=[unix]) as broker:
            assert stat.S_IMODE(file.stat().st_mode) == mode
            assert broker.urls == {"unix": f"unix://{file}"}
            with Client(broker.url) as client:
                client.publish("t", b"", qos=1)
            assert broker.wait_for("#").topic == "local/t"


class Behind(paho.Client):
    """A client behind a proxy that says where it comes from."""

    line = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n"

    def _create_socket_connection(self) -> socket.socket:
        sock: socket.socket = super()._create_socket_connection()
        sock.sendall(self.line)
        return sock


def connects(port: int) -> bool:
    client = Behind(CallbackAPIVersion.VERSION2, client_id="behind")
    client.connect("127.0.0.1", port)
    while (code := client.loop(10)) == 0 and not client.is_connected():
        pass
    client.disconnect()
    return code == 0


@pytest.mark.parametrize("proxies", [["127.0.0.1"], ["192.0.2.0/24", "127.0.0.0/8"]])
def test_a_proxy_says_whom_it_speaks_for(proxies: list[str]) -> None:
    seen: list[Connecting] = []

    def authenticate(client: Connecting) -> None:
        seen.append(client)

    behind = Listener("mqtt", proxies=proxies)
    with ternmq.Broker(None, listeners=[behind], authenticate=authenticate) as broker:
        assert connects(broker.port)
        assert [client.peer for client in seen] == ["192.0.2.7:4711"]


def test_only_proxies_that_are_named_are_believed() -> None:
    with ternmq.Broker(None, listeners=[Listener("mqtt", proxies=["192.0.2.8"])]) as broker:
        assert not connects(broker.port)


def opening(port: int, path: str, origin: str) -> str:
    """What a server answers to a browser."""
    lines = [
        f"GET {path} HTTP/1.1", "Host: h", f"Origin: {origin}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: mqtt", "", "",
    ]
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall("\r\n".join(lines).encode())
        return sock.recv(4096).decode().partition("\r\n")[0]


def test_paths_and_origins_of_websockets() -> None:
    ours = Listener("ws", path="/ours", origins=["https://ours.example"])
    any = Listener("ws", name="any", path="*")
    with ternmq.Broker(None, listeners=[ours, any]) as broker:
        assert broker.url.endswith("/ours") and broker.port == port_of(broker.url)
        port = broker.port
        assert " 101 " in opening(port, "/ours", "https://ours.example")
        assert " 101 " not in opening(port, "/mqtt", "https://ours.example")
        assert " 101 " not in opening(port, "/ours", "https://other.example")
        assert " 101 " in opening(port_of(broker.urls["any"]), "/x", "https://other.example")


def test_each_listener_asks_for_certificates_as_it_says(tmp_path: Path) -> None:
    listeners = [
        Listener("mqtts", name="named", certificate_user="dn"),
        Listener("wss", name="unasked", client_certificates="none"),
        Listener("mqtts", name="may", client_certificates="optional", anonymous=True),
    ]
    with ternmq.Broker(
        None, tls=True, client_certificates="required", listeners=listeners
    ) as broker:
        mine, nobodys = broker.client_context("sensor"), broker.client_context()
        with Client(broker.urls["named"], client_id="c", tls=mine):
            assert broker.clients()["c"].username == "CN=sensor"
        for name in ("mqtts", "named"):
            with pytest.raises(ternmq.MqttError):
                Client(broker.urls[name], tls=nobodys).connect()
        for name in ("unasked", "may"):
            Client(broker.urls[name], tls=nobodys).connect()


def test_who_names_no_user_is_let_in_where_a_listener_says_so() -> None:
    listeners = [
        Listener("mqtt", name="open", anonymous=True),
        # Others may get there: not by itself.
        Listener("mqtt", name="everywhere", host="0.0.0.0"),
    ]
    with ternmq.Broker(listeners=listeners) as broker:
        Client(broker.urls["open"]).connect()
        Client(broker.url).connect()
        with pytest.raises(ternmq.ConnectError):
            Client(broker.urls["everywhere"]).connect()
    with ternmq.Broker(listeners=listeners, users={"u": "p"}) as broker:
        Client(broker.urls["open"]).connect()
        with pytest.raises(ternmq.ConnectError):
            Client(broker.url).connect()


def test_a_restart_keeps_every_address(tmp_path: Path) -> None:
    listeners = [Listener("quic"), Listener("mqtt", mount_point="a/"), Listener("unix", file=tmp_path / "s")]
    with ternmq.Broker(None, tls=True, listeners=listeners) as broker:
        ca = tmp_path / "ca.pem"
        ca.write_text(broker.ca)
        before = broker.urls
        for _ in range(2):
            with Client(broker.urls["quic"], tls=Tls(ca=ca)) as client:
                client.publish("t", b"", qos=1)
            broker.restart()
            assert broker.urls == before


@pytest.mark.parametrize("arguments, error, words", [
    (("http",), ValueError, "scheme must be"),
    (("mqtt", {"name": ""}), ValueError, "name"),
    (("mqtt", {"name": 5}), TypeError, "name"),
    (("mqtt", {"host": "localhost"}), ValueError, "host must be an IP address"),
    (("mqtt", {"host": 127}), TypeError, "host"),
    (("mqtt", {"port": 65_536}), ValueError, "port must be 0 to 65535"),
    (("mqtt", {"port": "1883"}), TypeError, "port"),
    (("mqtt", {"port": True}), TypeError, "port"),
    (("mqtt", {"file": "x"}), ValueError, "file: 'mqtt' has none, a Unix socket has"),
    (("mqtt", {"mode": 0o600}), ValueError, "mode: 'mqtt' has none"),
    (("unix", {}), ValueError, "file: a Unix socket needs one"),
    (("unix", {"file": ""}), ValueError, "file"),
    (("unix", {"file": 5}), TypeError, "file"),
    (("unix", {"file": "x", "mode": 0o10000}), ValueError, "mode must be"),
    (("unix", {"file": "x", "port": 0}), ValueError, "port: 'unix' has none"),
    (("unix", {"file": "x", "host": "::1"}), ValueError, "host: 'unix' has none"),
    (("mqtt", {"anonymous": "no"}), TypeError, "anonymous"),
    (("mqtt", {"mount_point": "plant"}), ValueError, "mount_point: \"plant\""),
    (("mqtt", {"mount_point": "a/+/"}), ValueError, "mount_point"),
    (("mqtt", {"mount_point": "$SYS/"}), ValueError, "mount_point"),
    (("mqtt", {"mount_point": "${nobody}/"}), ValueError, "mount_point"),
    (("mqtt", {"mount_point": b"a/"}), TypeError, "mount_point"),
    (("mqtt", {"versions": []}), ValueError, "versions: a listener speaks one at least"),
    (("mqtt", {"versions": [6]}), ValueError, "versions are 3, 4 and 5"),
    (("mqtt", {"versions": "5"}), TypeError, "versions"),
    (("mqtt", {"versions": [5.0]}), TypeError, "versions"),
    (("mqtt", {"max_connections": 0}), ValueError, "max_connections must be 1"),
    (("mqtt", {"max_connections": "1"}), TypeError, "max_connections"),
    (("mqtt", {"connection_rate": -1}), ValueError, "connection_rate must be 0"),
    (("mqtt", {"connection_rate": 2**32}), ValueError, "connection_rate must be 0"),
    (("mqtt", {"connection_rate": None}), TypeError, "connection_rate"),
    (("mqtt", {"proxies": []}), ValueError, "proxies: they have to be named"),
    (("mqtt", {"proxies": ["proxy"]}), ValueError, "proxies: \"proxy\""),
    (("mqtt", {"proxies": ["10.0.0.1/8"]}), ValueError, "proxies"),
    (("mqtt", {"proxies": "10.0.0.0/8"}), TypeError, "proxies"),
    (("mqtt", {"proxies": [5]}), TypeError, "proxies"),
    (("quic", {"proxies": ["::1"]}), ValueError, "proxies: 'quic' has none"),
    (("mqtt", {"path": "/x"}), ValueError, "path: 'mqtt' has none"),
    (("ws", {"path": "x"}), ValueError, "path must begin with '/'"),
    (("ws", {"path": 5}), TypeError, "path"),
    (("mqtt", {"origins": []}), ValueError, "origins: 'mqtt' has none"),
    (("ws", {"origins": "https://a"}), TypeError, "origins"),
    (("mqtt", {"compression": True}), ValueError, "compression: 'mqtt' has none"),
    (("ws", {"compression": 5}), TypeError, "compression"),
    (("mqtt", {"client_certificates": "none"}), ValueError, "client_certificates: 'mqtt' has none"),
    (("mqtts", {"client_certificates": "maybe"}), ValueError, "client_certificates"),
    (("mqtt", {"certificate_user": "cn"}), ValueError, "certificate_user: 'mqtt' has none"),
    (("mqtts", {"certificate_user": "CN"}), ValueError, "certificate_user"),
])
def test_what_makes_no_sense_is_named(
    arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    options = arguments[1] if len(arguments) > 1 else {}
    with pytest.raises(error, match=words.replace("{", "\\{").replace("$", "\\$")):
        Listener(arguments[0], **options)


def test_listeners_that_do_not_go_together() -> None:
    for listeners, arguments, words in (
        ([Listener("mqtt")], {}, "two are called 'mqtt'"),
        ([Listener("quic")], {}, "'quic' needs tls"),
        ([Listener("mqtts", name="x", certificate_user="cn")], {"tls": True}, "nobody is asked"),
        (
            [Listener("wss", client_certificates="required")], {"tls": ("chain.pem", "key.pem")},
            "a third file",
        ),
        ([], {"port": None}, "no other listener"),
    ):
        with pytest.raises(ValueError, match=words):
            ternmq.Broker(listeners=listeners, **arguments)  # type: ignore[arg-type]
    for wrong in (Listener("ws"), "mqtt", ["mqtt"]):
        with pytest.raises(TypeError, match="listeners"):
            ternmq.Broker(listeners=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("argument, value, error", [
    ("window_bits", 8, ValueError),
    ("window_bits", 16, ValueError),
    ("window_bits", True, TypeError),
    ("min_bytes", -1, ValueError),
    ("min_bytes", 2**31, ValueError),
    ("min_bytes", "1", TypeError),
    ("context", 1, TypeError),
])
def test_compression_that_there_is_none_of(argument: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=argument):
        Compression(**{argument: value})
