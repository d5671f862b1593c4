"""ternmq.paho beyond what programs for both packages show: transports, threads, being installed."""

import gc
import json
import logging
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ternmq
import ternmq.paho.client as mqtt
from ternmq.paho import shadow
from ternmq.paho.matcher import MQTTMatcher

V2 = mqtt.CallbackAPIVersion.VERSION2
PATIENCE = 10


class Watch:
    """What a client was told, and waiting for it."""

    def __init__(self, client: mqtt.Client) -> None:
        self.changed = threading.Condition()
        self.messages: list[mqtt.MQTTMessage] = []
        self.told: list[str] = []
        client.on_message = lambda c, u, m: self.note("message", m)
        for name in ("connect", "subscribe", "disconnect"):
            setattr(client, f"on_{name}", lambda *_, name=name: self.note(name))

    def note(self, name: str, message: mqtt.MQTTMessage | None = None) -> None:
        with self.changed:
            self.told.append(name)
            if message is not None:
                self.messages.append(message)
            self.changed.notify_all()

    def until(self, done: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(done, PATIENCE), self.told

    def has(self, name: str, count: int = 1) -> None:
        self.until(lambda: self.told.count(name) >= count)


def round_trip(client: mqtt.Client, host: str, port: int = 1883) -> None:
    """Connects, subscribes, gets its own message, leaves."""
    watch = Watch(client)
    client.connect(host, port)
    client.loop_start()
    watch.has("connect")
    client.subscribe("round/trip", 1)
    watch.has("subscribe")
    payload = os.urandom(100_000)
    client.publish("round/trip", payload, 1).wait_for_publish(PATIENCE)
    watch.has("message")
    assert watch.messages[0].payload == payload
    client.disconnect()
    watch.has("disconnect")
    client.loop_stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The server with a listener of every kind; where they are by name."""
    folder = tmp_path_factory.mktemp("server")
    cert, key, path = folder / "cert.pem", folder / "key.pem", folder / "socket"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    tls, address = f"certificate = '{cert}'\nkey = '{key}'\n", "address = '127.0.0.1:0'\n"
    config = folder / "config.toml"
    config.write_text(
        f"[[listener]]\ntype = 'tls'\n{address}{tls}[[listener]]\ntype = 'ws'\n{address}"
        f"[[listener]]\ntype = 'wss'\n{address}{tls}[[listener]]\ntype = 'unix'\npath = '{path}'\n"
    )
    command = [sys.executable, "-m", "ternmq", "serve", "--config", config, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found: dict[str, Any] = {"cert": str(cert), "unix": str(path)}
    for name in ("tls", "ws", "wss", "unix"):
        said = json.loads(process.stdout.readline())
        if name != "unix":
            found[name] = int(said["address"].rpartition(":")[2])
    yield found
    process.terminate()
    process.communicate(timeout=PATIENCE)


def test_tls(server: dict[str, Any]) -> None:
    client = mqtt.Client(V2)
    client.tls_set(ca_certs=server["cert"])
    round_trip(client, "localhost", server["tls"])
    context = ssl.create_default_context(cafile=server["cert"])
    client = mqtt.Client(V2)
    client.tls_set_context(context)
    round_trip(client, "localhost", server["tls"])


def test_tls_names_and_authorities_are_checked_unless_told_not_to(server: dict[str, Any]) -> None:
    client = mqtt.Client(V2)
    client.tls_set(ca_certs=server["cert"])
    with pytest.raises(ssl.SSLCertVerificationError):
        client.connect("127.0.0.1", server["tls"])
    client.tls_insecure_set(True)
    round_trip(client, "127.0.0.1", server["tls"])
    stranger = mqtt.Client(V2)
    stranger.tls_set()
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.connect("localhost", server["tls"])


def test_websockets(server: dict[str, Any]) -> None:
    seen = []

    def headers(usual: dict[str, str]) -> dict[str, str]:
        seen.append(usual)
        return usual | {"X-Mine": "1"}

    client = mqtt.Client(V2, transport="websockets")
    client.ws_set_options("/mqtt", headers)
    round_trip(client, "localhost", server["ws"])
    assert seen[0]["Host"] == f"localhost:{server['ws']}"
    client = mqtt.Client(V2, transport="websockets")
    client.tls_set(ca_certs=server["cert"])
    round_trip(client, "localhost", server["wss"])


def test_no_websocket_there(broker: ternmq.Broker) -> None:
    client = mqtt.Client(V2, transport="websockets")
    with pytest.raises((mqtt.WebsocketConnectionError, ConnectionError)):
        client.connect("127.0.0.1", broker.port)


def test_unix_sockets(server: dict[str, Any]) -> None:
    round_trip(mqtt.Client(V2, transport="unix"), server["unix"])


def socks5(broker_port: int) -> tuple[int, list[tuple[str, int]]]:
    """A proxy for one connection; where it is, and what it was asked for."""
    listener, asked = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        inner, _ = listener.accept()
        inner.recv(100)
        inner.sendall(b"\5\0")
        request = inner.recv(300)
        name = request[5 : 5 + request[4]] if request[3] == 3 else request[4:8]
        asked.append((name.decode("latin-1"), int.from_bytes(request[-2:], "big")))
        outer = socket.create_connection(("127.0.0.1", broker_port))
        inner.sendall(b"\5\0\0\1\0\0\0\0\0\0")
        ends = {inner: outer, outer: inner}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                data = end.recv(65536)
                if not data:
                    inner.close()
                    outer.close()
                    return
                ends[end].sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1], asked


def test_proxies(broker: ternmq.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    import socks  # type: ignore[import-untyped]

    port, asked = socks5(broker.port)
    client = mqtt.Client(V2)
    client.proxy_set(proxy_type=socks.SOCKS5, proxy_addr="127.0.0.1", proxy_port=port)
    round_trip(client, "somewhere.invalid", 1883)
    assert asked == [("somewhere.invalid", 1883)]
    port, asked = socks5(broker.port)
    monkeypatch.setenv("mqtt_proxy", f"socks5://127.0.0.1:{port}")
    round_trip(mqtt.Client(V2), "elsewhere.invalid", 1884)
    assert asked == [("elsewhere.invalid", 1884)]


def test_srv_records_in_order(broker: ternmq.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.rdataclass
    import dns.rdatatype
    import dns.resolver
    import dns.rrset

    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    asked = []

    def resolve(name: str, kind: Any) -> Any:
        asked.append((name, kind))
        return dns.rrset.from_text(
            name + ".", 60, dns.rdataclass.IN, dns.rdatatype.SRV,
            f"20 0 {broker.port} localhost.", f"10 0 {nobody} localhost.",
        )  # fmt: skip

    monkeypatch.setattr(dns.resolver, "resolve", resolve)
    client = mqtt.Client(V2)
    assert client.connect_srv("example.org") == mqtt.MQTT_ERR_SUCCESS
    assert asked == [("_mqtt._tcp.example.org", dns.rdatatype.SRV)]
    assert client.port == broker.port
    client.disconnect()


def test_waiting_in_a_callback_does_not_wait_for_ever(broker: ternmq.Broker) -> None:
    client, raised = mqtt.Client(V2), []
    watch = Watch(client)

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            client.publish("other", "x", 1).wait_for_publish()
        except RuntimeError as error:
            raised.append(str(error))
        watch.note("message", message)

    client.on_message = on_message
    client.connect("127.0.0.1", broker.port)
    client.subscribe("here")
    client.loop_start()
    watch.has("subscribe")
    client.publish("here")
    watch.has("message")
    assert "callback" in raised[0]
    client.disconnect()
    client.loop_stop()


def test_threads_publish_while_callbacks_hold_a_lock_of_the_program(broker: ternmq.Broker) -> None:
    # Both take the same lock, and a lock inside the client would let them wait for each other.
    client, lock = mqtt.Client(V2), threading.Lock()
    watch, per_thread = Watch(client), 300

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        with lock:
            client.publish("echo", message.payload)
        watch.note("message", message)

    def publisher(qos: int) -> None:
        for number in range(per_thread):
            with lock:
                client.publish("busy", str(number), qos)

    client.on_message = on_message
    client.on_publish = lambda *_: lock.acquire() and lock.release()
    client.connect("127.0.0.1", broker.port)
    client.subscribe("busy", 2)
    client.loop_start()
    watch.has("subscribe")
    threads = [threading.Thread(target=publisher, args=(n % 3,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    watch.has("message", 6 * per_thread)
    client.disconnect()
    client.loop_stop()


def test_publishing_from_threads_without_a_loop(broker: ternmq.Broker) -> None:
    client = mqtt.Client(V2)
    watch = Watch(client)
    client.connect("127.0.0.1", broker.port)
    while "connect" not in watch.told:
        client.loop(0.1)
    infos: list[mqtt.MQTTMessageInfo] = []
    work = [lambda: infos.extend(client.publish("a", str(n)) for n in range(500))] * 4
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.loop(0)
    for info in infos:
        info.wait_for_publish(PATIENCE)
    assert all(info.is_published() for info in infos)
    assert len({info.mid for info in infos}) == 2000
    client.disconnect()


def test_what_was_asked_before_connack_goes_out_in_its_order(broker: ternmq.Broker) -> None:
    client = mqtt.Client(V2)
    watch, acknowledged = Watch(client), []
    client.on_publish = lambda c, u, mid, code, p: acknowledged.append(mid)
    client.on_subscribe = lambda c, u, mid, codes, p: watch.note(f"subscribed {mid}")
    client.connect("127.0.0.1", broker.port)
    assert client.subscribe("early/#", 2) == (mqtt.MQTT_ERR_SUCCESS, 1)
    assert [client.publish(f"early/{qos}", "", qos).mid for qos in (0, 1, 2)] == [2, 3, 4]
    client.loop_start()
    watch.has("subscribed 1")
    watch.has("message", 3)
    assert client.publish("early/late", "", 1).mid == 5
    watch.has("message", 4)
    client.disconnect()
    client.loop_stop()
    assert sorted(acknowledged) == [2, 3, 4, 5]
    assert [m.topic for m in watch.messages] == ["early/0", "early/1", "early/2", "early/late"]


def test_messages_that_are_lost_say_so(broker: ternmq.Broker) -> None:
    client = mqtt.Client(V2)
    client.connect("127.0.0.1", broker.port)
    info = client.publish("a", "held until CONNACK")
    client._shut()
    with pytest.raises(RuntimeError):
        info.wait_for_publish(PATIENCE)


def test_a_slow_callback_does_not_keep_the_server_waiting(broker: ternmq.Broker) -> None:
    # Keep Alive of a second, a batch of messages that takes three.
    client = mqtt.Client(V2)
    watch, never = Watch(client), threading.Event()

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        never.wait(0.6)
        watch.note("message", message)

    client.on_message = on_message
    client.connect("127.0.0.1", broker.port, keepalive=1)
    client.subscribe("slow")
    client.loop_start()
    watch.has("subscribe")
    for _ in range(5):
        broker.publish("slow", b"")
    watch.has("message", 5)
    assert "disconnect" not in watch.told
    client.disconnect()
    client.loop_stop()


def test_each_message_is_told_to_on_log_and_to_a_logger_that_wants_it(
    broker: ternmq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    def packets(lines: list[str]) -> list[str]:
        return [" ".join(line.split()[:2]) for line in lines if "PUBLISH" in line]

    both = ["Sending PUBLISH", "Received PUBLISH"]
    client = mqtt.Client(V2)
    lines: list[str] = []
    client.on_log = lambda c, u, level, text: lines.append(text)
    round_trip(client, "127.0.0.1", broker.port)
    assert packets(lines) == both

    client = mqtt.Client(V2)
    client.enable_logger()
    for level, wanted in ((logging.INFO, []), (logging.DEBUG, both)):
        caplog.clear()
        with caplog.at_level(level, "ternmq.paho.client"):
            round_trip(client, "127.0.0.1", broker.port)
        assert packets(caplog.messages) == wanted


@pytest.mark.parametrize("logs", [False, True])
def test_what_on_message_raises_is_logged_and_suppressed_if_that_is_asked_for(
    broker: ternmq.Broker, caplog: pytest.LogCaptureFixture, logs: bool
) -> None:
    client = mqtt.Client(V2)
    watch = Watch(client)
    client.suppress_exceptions = True
    if logs:
        client.enable_logger()

    def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        watch.note("message", message)
        raise ValueError("a bug of the program")

    client.on_message = on_message
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("a")
    watch.has("subscribe")
    broker.publish("a", b"1")
    broker.publish("a", b"2")
    watch.has("message", 2)
    client.disconnect()
    client.loop_stop()
    assert caplog.messages.count("on_message has raised") == (2 if logs else 0)


def test_attributes_that_programs_assign(broker: ternmq.Broker) -> None:
    client = mqtt.Client(V2)
    for name in ("in_callback", "callback", "msgtime", "out_message", "in_message", "reconnect_delay", "mid_generate"):
        setattr(client, f"_{name}_mutex", threading.RLock())
    client._client_id = b"assigned"
    client._clean_session = False
    client._transport, client._protocol = "tcp", mqtt.MQTTv311
    assert client._thread is None
    assert not client._thread_terminate
    round_trip(client, "127.0.0.1", broker.port)
    assert client._thread is None


def test_messages_are_made_and_changed_by_programs() -> None:
    message = mqtt.MQTTMessage(7, b"a/b")
    message.payload, message.qos = b"x", 1
    assert (message.topic, message.payload, message.qos, message.mid) == ("a/b", b"x", 1, 7)
    message.topic = b"c"
    assert message.topic == "c"
    assert message == mqtt.MQTTMessage(7)
    assert message != mqtt.MQTTMessage(8)
    with pytest.raises(TypeError):
        hash(message)
    with pytest.raises(UnicodeDecodeError):
        mqtt.MQTTMessage(1, b"\xff").topic  # noqa: B018


def test_matcher() -> None:
    matcher = MQTTMatcher()
    for number, sub in enumerate(["a/+", "a/#", "#", "+/b", "a/b", "$SYS/#"]):
        matcher[sub] = number
    assert sorted(matcher.iter_match("a/b")) == [0, 1, 2, 3, 4]
    assert sorted(matcher.iter_match("a")) == [1, 2]
    assert list(matcher.iter_match("$SYS/x")) == [5]
    del matcher["a/#"]
    with pytest.raises(KeyError):
        matcher["a/#"]
    with pytest.raises(KeyError):
        del matcher["a"]
    assert matcher["a/b"] == 4


def test_threads_sockets_and_memory_come_back(broker: ternmq.Broker) -> None:
    def rounds(count: int) -> None:
        for _ in range(count):
            client = mqtt.Client(V2, protocol=mqtt.MQTTv5)
            watch = Watch(client)
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            client.subscribe("grow", 1)
            watch.has("subscribe")
            for _ in range(100):
                client.publish("grow", bytes(1000), 1)
            watch.has("message", 100)
            client.disconnect()
            client.loop_stop()
        del client, watch
        gc.collect()

    def used() -> tuple[int, int, int]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return threading.active_count(), len(os.listdir("/proc/self/fd")), pages * 4096

    rounds(10)
    threads, files, memory = used()
    rounds(40)
    threads_then, files_then, memory_then = used()
    assert threads_then == threads
    assert files_then <= files
    # 4,000 messages of 1,000 bytes would be 4 MB if they stayed.
    assert memory_then - memory < 2_000_000


def python(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=dict(os.environ, **env), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_install() -> None:
    code = (
        "import ternmq.paho; ternmq.paho.install(); ternmq.paho.install()\n"
        "import paho.mqtt.client as a; import paho.mqtt.publish; from paho.mqtt.enums import MQTTErrorCode\n"
        "import paho.mqtt; print(a.__name__, paho.mqtt.__version__, paho.mqtt.publish.__name__)"
    )
    assert python(code) == "ternmq.paho.client 2.2.0 ternmq.paho.publish"


def test_install_comes_too_late() -> None:
    code = (
        "import paho.mqtt.client, ternmq.paho\n"
        "try: ternmq.paho.install()\nexcept RuntimeError as error: print(error)"
    )
    assert "imported already" in python(code)


def test_shadow(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ternmq.paho.shadow"]
    assert subprocess.run(command, capture_output=True).returncode == 2
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    code = (
        "import importlib.metadata; from paho.mqtt import client, subscribe; import paho.mqtt.publish as p\n"
        "print(client.__name__, subscribe.__name__, p.__name__, importlib.metadata.version('paho-mqtt'))"
    )
    names = "ternmq.paho.client ternmq.paho.subscribe ternmq.paho.publish"
    assert python(code, PYTHONPATH=str(tmp_path)) == f"{names} 2.2.0"
    (tmp_path / "theirs/paho/mqtt").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        shadow.write(tmp_path / "theirs")


def test_every_name_of_paho_is_there() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paho.mqtt.client as theirs

        assert theirs.__name__ == "paho.mqtt.client"
        # Their packet codec, and what imports and warnings (`__warningregistry__`) leave behind.
        names = {name for name in dir(theirs) if not name.startswith("__")}
        missing = {name for name in names if not hasattr(mqtt, name)} - {"_packet", "_", "annotations"}
        assert missing == set()
        public = {name for name in dir(theirs.Client) if not name.startswith("_")}
        assert public - set(dir(mqtt.Client)) == set()
