"""TLS, WebSockets, Unix sockets and proxies: both faces, both event loops, our server and mosquitto."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ternmq
import uvloop
from proxies import proxy
from ternmq import Tls, blocking
from transports import Certificates, MosquittoServer, Ternmq

Face = Callable[..., bytes]


def with_asyncio(*url: str, **options: Any) -> bytes:
    return asyncio.run(_talk(*url, **options))


def with_uvloop(*url: str, **options: Any) -> bytes:
    return uvloop.run(_talk(*url, **options))


async def _talk(*url: str, **options: Any) -> bytes:
    async with ternmq.Client(*url, **options) as client:
        async with client.subscribe("t", qos=1) as subscription:
            # More than one frame, record and read.
            await client.publish("t", bytes(20_000), qos=1)
            await client.publish("t", b"over", qos=2)
            assert (await subscription.get(10)).payload == bytes(20_000)
            return (await subscription.get(10)).payload


def with_threads(*url: str, **options: Any) -> bytes:
    with blocking.Client(*url, **options) as client:
        with client.subscribe("t", qos=1) as subscription:
            client.publish("t", bytes(20_000), qos=1)
            client.publish("t", b"over", qos=2)
            assert subscription.get(10).payload == bytes(20_000)
            return subscription.get(10).payload


@pytest.fixture(params=[with_asyncio, with_uvloop, with_threads])
def talk(request: pytest.FixtureRequest) -> Face:
    face: Face = request.param
    return face


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=[Ternmq, MosquittoServer])
def server(
    request: pytest.FixtureRequest, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    server = request.param(certificates, tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ours(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ternmq]:
    server = Ternmq(certificates, tmp_path_factory.mktemp("ours"))
    yield server
    server.stop()


def test_tls_by_files_and_by_context(talk: Face, server: Any, certificates: Certificates) -> None:
    url = f"mqtts://localhost:{server.ports['tls']}"
    assert talk(url, tls=Tls(ca=certificates.ca)) == b"over"
    context = ssl.create_default_context(cafile=certificates.ca)
    assert talk(url, tls=context) == b"over"
    port = int(server.ports["tls"])
    assert talk(host="127.0.0.1", port=port, tls=context) == b"over"


def test_a_certificate_of_ones_own(
    talk: Face, server: Any, certificates: Certificates, tmp_path: Path
) -> None:
    url = f"mqtts://localhost:{server.ports['mutual']}"
    own = {"cert": certificates.client_cert, "key": certificates.client_key}
    assert talk(url, tls=Tls(ca=certificates.ca, **own)) == b"over"
    from transports import openssl

    locked = str(tmp_path / "locked.key")
    openssl("pkcs8", "-topk8", "-in", own["key"], "-out", locked, "-passout", "pass:secret")
    own["key"] = locked
    assert talk(url, tls=Tls(ca=certificates.ca, key_password="secret", **own)) == b"over"
    with pytest.raises((ternmq.ConnectError, ssl.SSLError)):
        talk(url, tls=Tls(ca=certificates.ca, key_password="wrong", **own))
    with pytest.raises(ternmq.MqttError):
        talk(url, tls=Tls(ca=certificates.ca))


def test_alpn_and_the_name_that_is_asked_for(talk: Face, certificates: Certificates) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    context.set_alpn_protocols(["mqtt"])
    context.sni_callback = lambda _, name, __: asked.append(name)

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as sock:
            asked.append(sock.selected_alpn_protocol())
            sock.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        options = {"alpn": ["other", "mqtt"], "server_name": "localhost"}
        with pytest.raises(ternmq.ConnectError):
            url = f"mqtts://127.0.0.1:{listener.getsockname()[1]}"
            talk(url, tls=Tls(ca=certificates.ca, **options))
        thread.join(10)
    assert asked == ["localhost", "mqtt"]


def test_a_server_that_is_not_trusted(talk: Face, ours: Ternmq, certificates: Certificates) -> None:
    url = f"mqtts://localhost:{ours.ports['tls']}"
    for tls in (True, Tls(), ssl.create_default_context()):
        with pytest.raises(ternmq.ConnectError, match=r"(?i)certificate|issuer|trusted"):
            talk(url, tls=tls)
    other_name = Tls(ca=certificates.ca, server_name="other.example")
    with pytest.raises(ternmq.ConnectError, match=r"other\.example|(?i:name)"):
        talk(url, tls=other_name)
    assert talk(url, tls=Tls(verify=False)) == b"over"
    # The name of the URL is none of the certificate's.
    assert talk(url, tls=Tls(ca=certificates.ca, check_hostname=False)) == b"over"


def test_websockets(talk: Face, server: Any, certificates: Certificates) -> None:
    port = server.ports["ws"]
    assert talk(f"ws://127.0.0.1:{port}/mqtt") == b"over"
    fields = {"host": "127.0.0.1", "port": int(port), "transport": "websockets"}
    assert talk(**fields, path="/mqtt", headers={"X-Token": "abc"}) == b"over"
    tls = Tls(ca=certificates.ca)
    assert talk(f"wss://localhost:{server.ports['wss']}/mqtt", tls=tls, version=4) == b"over"


def test_a_websocket_by_context(talk: Face, server: Any, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    url = f"wss://localhost:{server.ports['wss']}/mqtt"
    assert talk(url, tls=context, headers={"X-Token": "abc"}) == b"over"
    fields = {"host": "localhost", "port": int(server.ports["wss"]), "transport": "websockets"}
    assert talk(**fields, path="/mqtt", tls=context, version=4) == b"over"
    with pytest.raises(ternmq.ConnectError, match=r"(?i)certificate"):
        talk(url, tls=ssl.create_default_context())


def test_unix_sockets(talk: Face, server: Any) -> None:
    assert talk(f"unix://{server.socket}") == b"over"
    assert talk(transport="unix", path=server.socket) == b"over"


def test_a_path_that_the_server_has_not(
    talk: Face, ours: Ternmq, certificates: Certificates
) -> None:
    with pytest.raises(ternmq.ConnectError, match="404"):
        talk(f"ws://127.0.0.1:{ours.ports['ws']}/nowhere")
    context = ssl.create_default_context(cafile=certificates.ca)
    with pytest.raises(ternmq.ConnectError, match="404"):
        talk(f"wss://localhost:{ours.ports['wss']}/nowhere", tls=context)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("login", [None, ("user", "secret")], ids=["open", "login"])
def test_proxies(
    talk: Face, ours: Ternmq, certificates: Certificates, scheme: str, login: tuple[str, str] | None
) -> None:
    tls = Tls(ca=certificates.ca)
    with proxy(scheme, login) as through:
        ws, wss = ours.ports["ws"], ours.ports["wss"]
        assert talk(f"ws://127.0.0.1:{ws}/mqtt", proxy=through.url) == b"over"
        assert talk(f"mqtts://localhost:{ours.ports['tls']}", tls=tls, proxy=through.url) == b"over"
        hosts = ["127.0.0.1", "localhost"]
        if scheme == "socks5" and login is None:
            assert talk(f"wss://localhost:{wss}/mqtt", tls=tls, proxy=through.url) == b"over"
            hosts.append("localhost")
        assert [target.split(":")[0] for target in through.targets] == hosts
        if login is not None:
            for url in (f"{scheme}://{through.address}", f"{scheme}://user:other@{through.address}"):
                with pytest.raises(ternmq.ConnectError, match="user name and password"):
                    talk(f"ws://127.0.0.1:{ws}/mqtt", proxy=url)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_with_a_context(
    talk: Face, ours: Ternmq, certificates: Certificates, scheme: str
) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    with proxy(scheme) as through:
        url = f"mqtts://localhost:{ours.ports['tls']}"
        assert talk(url, tls=context, proxy=through.url) == b"over"
        url = f"wss://localhost:{ours.ports['wss']}/mqtt"
        assert talk(url, tls=context, proxy=through.url) == b"over"
        assert [target.split(":")[0] for target in through.targets] == ["localhost"] * 2


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_websocket_ends_with_the_close_frame_of_the_server(
    run: Callable[..., None], secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not when the time for it is over, even if the way there doesn't tell that the server is gone."""
    monkeypatch.setattr("ternmq._link._FLUSH_TIMEOUT", 3600)

    async def talk(through: str) -> None:
        client = ternmq.Client(url, tls=context if secure else None, proxy=through)
        await client.connect()
        async with asyncio.timeout(30):
            await client.disconnect()

    gone: list[ternmq.broker.Disconnected] = []
    with ternmq.Broker(tls=True, ws=True, on_disconnect=gone.append) as broker:
        url, context = broker.urls["wss" if secure else "ws"], broker.client_context()
        with proxy("http", deaf=True) as silent, proxy("http") as told:
            for through in (silent, told):
                run(talk(through.url))
    assert [who.by for who in gone] == ["client"] * 2


def test_a_websocket_by_context_is_made_again(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    with ternmq.Broker(tls=(certificates.cert, certificates.key), ws=True) as broker:
        url = broker.urls["wss"].replace("127.0.0.1", "localhost")
        again = {"reconnect": ternmq.Backoff(0, 0), "session_expiry": 60}
        with blocking.Client(url, tls=context, **again) as client:  # type: ignore[arg-type]
            with client.subscribe("t", qos=1) as subscription:
                broker.cut()
                client.publish("t", bytes(300_000), qos=1)
                assert subscription.get(10).payload == bytes(300_000)
    with pytest.raises(ternmq.ConnectError) as error:
        blocking.Client(url, tls=context).connect()
    assert isinstance(error.value.__cause__, ConnectionRefusedError)


def test_a_proxy_that_refuses_or_is_not_there(talk: Face) -> None:
    with proxy("socks5") as through:
        with pytest.raises(ternmq.ConnectError, match="not allowed"):
            talk("mqtt://forbidden.example", proxy=through.url)
        address = through.address
    with pytest.raises(ternmq.ConnectError):
        talk("mqtt://127.0.0.1:1", proxy=f"http://{address}", connect_timeout=5)


@pytest.mark.parametrize(
    ("error", "name", "url", "options"),
    [
        (ValueError, "host", None, {}),
        (ValueError, "host", "mqtt://h", {"host": "h"}),
        (ValueError, "transport", None, {"host": "h", "transport": "udp"}),
        (ValueError, "port", None, {"host": "h", "port": 70000}),
        (TypeError, "port", None, {"host": "h", "port": "1"}),
        (TypeError, "host", None, {"host": 1}),
        (ValueError, "path", None, {"transport": "unix"}),
        (ValueError, "tls", "mqtt://h", {"tls": True}),
        (ValueError, "tls", "mqtts://h", {"tls": False}),
        (TypeError, "tls", "mqtts://h", {"tls": "ca.pem"}),
        (ValueError, "headers", "mqtt://h", {"headers": {"a": "b"}}),
        (TypeError, "headers", "ws://h", {"headers": {"a": 1}}),
        (ValueError, "proxy", "mqtt://h", {"proxy": "ftp://h"}),
        (TypeError, "proxy", "mqtt://h", {"proxy": 1}),
        (ValueError, "proxy", "unix:///s", {"proxy": "http://h"}),
        (TypeError, "auth", "mqtt://h", {"auth": "SCRAM"}),
        (ValueError, "auth", "mqtt://h", {"auth": ternmq.Auth("M", lambda data: data), "version": 4}),
        (ValueError, "receive_maximum", "mqtt://h", {"receive_maximum": 0}),
        (ValueError, "url", "ftp://h", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("face", [ternmq.Client, blocking.Client])
def test_wrong_options_name_their_argument(
    face: Any, error: type[Exception], name: str, url: str | None, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=name):
        client = face(url, **options)
        client.connect()
