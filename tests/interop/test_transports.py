"""TLS, WebSockets and Unix sockets against peers of other makes, in both roles."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import ROOT, build
from transports import PATIENCE, TERNMQ, Certificates, MosquittoServer, Ternmq

NODE = {"NODE_PATH": str(ROOT / "target/node/node_modules")}

# Publishes to itself with QoS 2 and prints what comes.
MQTT_JS = """
const mqtt = require("mqtt");
const [url, ca, topic, version] = process.argv.slice(1);
const options = { protocolVersion: Number(version), reconnectPeriod: 0 };
if (version === "3") options.protocolId = "MQIsdp";
if (ca) options.ca = require("node:fs").readFileSync(ca);
const client = mqtt.connect(url, options);
client.on("error", (error) => { console.log(error.message); process.exit(1); });
client.on("connect", () => client.subscribe(topic, { qos: 2 }, () => {
  client.publish(topic, Buffer.alloc(200000, "x"), { qos: 2 });
}));
client.on("message", (_, payload) => {
  console.log(payload.length);
  client.end(false, {}, () => process.exit(0));
});
"""


# The same with compression: what was agreed on, and how many bytes it took there and back.
COMPRESSING = """
const { WebSocket } = require("ws");
const [, , , , asked] = process.argv.slice(1);
let socket, below;
const { connect } = mqtt;
mqtt.connect = (url, options) => connect(url, {
  ...options,
  createWebsocket: (url, protocols) => {
    socket = new WebSocket(url, protocols, { ca: options.ca, perMessageDeflate: JSON.parse(asked) });
    socket.on("open", () => { below = socket._socket; console.log(socket.extensions); });
    return socket;
  },
});
process.on("exit", () => console.log(below.bytesRead < 20000, below.bytesWritten < 20000));
"""

# A server of WebSockets that passes on what they carry.
GATEWAY = """
const { WebSocketServer } = require("ws");
const net = require("node:net");
const [port, asked] = process.argv.slice(1);
const server = new WebSocketServer({
  host: "127.0.0.1", port: 0, perMessageDeflate: JSON.parse(asked), handleProtocols: () => "mqtt",
}, () => console.log(server.address().port));
server.on("connection", (socket, request) => {
  const broker = net.connect(Number(port), "127.0.0.1");
  socket.on("message", (data) => broker.write(data));
  broker.on("data", (data) => socket.send(data));
  socket.on("close", () => {
    console.log(socket.extensions.includes("permessage-deflate"), request.socket.bytesRead < 20000);
    broker.destroy();
  });
  broker.on("close", () => socket.close());
});
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ternmq(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ternmq]:
    # One of the fixtures of all tests builds it too; this module may run alone.
    build("ternmq-server")
    server = Ternmq(certificates, tmp_path_factory.mktemp("ternmq"))
    yield server
    assert server.stop()["protocol_errors"] == 0


@pytest.fixture(scope="module")
def mosquitto(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MosquittoServer]:
    server = MosquittoServer(certificates, tmp_path_factory.mktemp("mosquitto"))
    yield server
    server.stop()


def run(*command: str, **more: object) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **more)


def round_trip(pub: list[str], sub: list[str], where: list[str], topic: str) -> str:
    """A retained message, published and read back; what the one that fails says."""
    published = run(*pub, *where, "-t", topic, "-m", "hello", "-r", "-q", "1")
    if published.returncode != 0:
        return published.stderr
    read = run(*sub, *where, "-t", topic, "-C", "1", "-W", str(PATIENCE), "-q", "1")
    return read.stdout or read.stderr


def by_mosquitto(where: list[str], topic: str) -> str:
    return round_trip(["mosquitto_pub"], ["mosquitto_sub"], where, topic)


def by_ternmq(where: list[str], topic: str) -> str:
    program = str(TERNMQ)
    return round_trip([program, "pub"], [program, "sub"], where, topic)


def host(port: str) -> list[str]:
    return ["-h", "localhost", "-p", port]


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
def test_mosquittos_clients_speak_tls_with_us(ternmq, certificates, tls, version):
    where = [*host(ternmq.ports["tls"]), "--cafile", certificates.ca]
    where += ["--tls-version", tls, "--tls-alpn", "mqtt", "-V", version]
    assert by_mosquitto(where, f"{tls}/{version}") == "hello\n"


def test_mosquittos_clients_show_certificates_to_us(ternmq, certificates):
    where = [*host(ternmq.ports["mutual"]), "--cafile", certificates.ca]
    shown = ["--cert", certificates.client_cert, "--key", certificates.client_key]
    assert by_mosquitto([*where, *shown], "mutual") == "hello\n"
    assert by_mosquitto(where, "mutual") != "hello\n"


def test_mosquittos_clients_reach_our_unix_socket(ternmq):
    assert by_mosquitto(["--unix", ternmq.socket], "unix") == "hello\n"


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
def test_mqtt_js_reaches_us(ternmq, certificates, scheme, version):
    port = ternmq.ports["tls" if scheme == "mqtts" else scheme]
    path = "" if scheme == "mqtts" else "/mqtt"
    url = f"{scheme}://localhost:{port}{path}"
    ca = "" if scheme == "ws" else certificates.ca
    arguments = ["node", "-e", MQTT_JS, url, ca, f"js/{scheme}/{version}", str(version)]
    done = run(*arguments, env=dict(os.environ) | NODE)
    assert (done.returncode, done.stdout) == (0, "200000\n"), done.stdout + done.stderr


@pytest.mark.parametrize(("listener", "asked"), [
    ("deflate", "{}"),
    ("deflate", '{"serverMaxWindowBits": 9, "clientMaxWindowBits": 9, "threshold": 0}'),
    ("deflate_tls", '{"threshold": 0}'),
    ("deflate_tls", '{"serverNoContextTakeover": true, "clientNoContextTakeover": true}'),
])  # fmt: skip
def test_mqtt_js_compresses_with_us(ternmq, certificates, listener, asked):
    scheme = "wss" if listener == "deflate_tls" else "ws"
    url = f"{scheme}://localhost:{ternmq.ports[listener]}/mqtt"
    program = MQTT_JS.replace('const mqtt = require("mqtt");', f'const mqtt = {{ ...require("mqtt") }};{COMPRESSING}')
    ca = certificates.ca if scheme == "wss" else ""
    done = run("node", "-e", program, url, ca, f"js/{listener}", "5", asked, env=dict(os.environ) | NODE)
    said = "permessage-deflate\n200000\ntrue true\n"
    assert (done.returncode, done.stdout) == (0, said), done.stdout + done.stderr


@pytest.mark.parametrize("asked", [
    '{"threshold": 0}',
    '{"threshold": 0, "serverNoContextTakeover": true, "clientNoContextTakeover": true}',
    '{"threshold": 0, "serverMaxWindowBits": 9, "clientMaxWindowBits": 9}',
    "false",
])  # fmt: skip
def test_our_client_compresses_with_the_ws_of_node(ternmq, asked, tmp_path: Path):
    gateway = subprocess.Popen(["node", "-e", GATEWAY, ternmq.ports["tcp"], asked],
                               stdout=subprocess.PIPE, text=True, env=dict(os.environ) | NODE)  # fmt: skip
    try:
        where = ["--url", f"ws://127.0.0.1:{gateway.stdout.readline().strip()}/mqtt", "--deflate"]
        text = "the same again and again, " * 10_000
        (tmp_path / "text").write_text(text)
        pub = [str(TERNMQ), "pub", *where, "-t", f"gate/{asked}", "-r", "-q", "1", "-f", str(tmp_path / "text")]
        assert run(*pub).returncode == 0
        said = "false false\n" if asked == "false" else "true true\n"
        assert gateway.stdout.readline() == said
        sub = [str(TERNMQ), "sub", *where, "-t", f"gate/{asked}", "-C", "1", "-W", str(PATIENCE), "-q", "1"]
        assert run(*sub).stdout == text + "\n"
    finally:
        gateway.terminate()
        gateway.wait(timeout=PATIENCE)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_bursts_reach_paho_c_which_looks_for_one_packet_in_a_frame(ternmq, certificates, scheme, tmp_path: Path):
    program = tmp_path / "bursts"
    source = ROOT / "tests/interop/bursts.c"
    subprocess.run(["cc", "-o", program, source, "-pthread", "-lpaho-mqtt3cs"], check=True)
    url = f"{scheme}://localhost:{ternmq.ports[scheme]}/mqtt"
    done = run(str(program), url, "1000", certificates.ca)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-tls1_2"], "TLSv1.2"),
        (["-tls1_3", "-alpn", "other,mqtt"], "ALPN protocol: mqtt"),
        (["-tls1_3"], "Verification: OK"),
        (["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"], "ECDHE-RSA-CHACHA20-POLY1305"),
    ],
)
def test_openssl_shakes_hands_with_us(ternmq, certificates, options, words):
    address = f"localhost:{ternmq.ports['tls']}"
    done = run("openssl", "s_client", "-connect", address, "-CAfile", certificates.ca, *options, input="")
    assert done.returncode == 0 and words in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("old", ["-tls1", "-tls1_1"])
def test_old_versions_of_tls_are_refused(ternmq, old):
    address = f"localhost:{ternmq.ports['tls']}"
    done = run("openssl", "s_client", "-connect", address, old, "-cipher", "ALL@SECLEVEL=0", input="")
    assert done.returncode != 0 and " alert " in done.stderr, done.stderr


def test_openssl_comes_back_with_its_ticket(ternmq, certificates, tmp_path: Path):
    saved = str(tmp_path / "session")
    command = ["openssl", "s_client", "-connect", f"localhost:{ternmq.ports['tls']}"]
    command += ["-CAfile", certificates.ca, "-tls1_2"]
    assert "New, " in run(*command, "-sess_out", saved, input="").stdout
    assert "Reused, " in run(*command, "-sess_in", saved, input="").stdout


def test_our_client_speaks_tls_with_mosquitto(mosquitto, ternmq, certificates):
    where = [*host(mosquitto.ports["tls"]), "--cafile", certificates.ca]
    for version in ["tlsv1.2", "tlsv1.3"]:
        assert by_ternmq([*where, "--tls-version", version], f"tls/{version}") == "hello\n"
    where = [*host(mosquitto.ports["mutual"]), "--cafile", certificates.ca]
    shown = ["--cert", certificates.client_cert, "--key", certificates.client_key]
    assert by_ternmq([*where, *shown], "mutual") == "hello\n"
    assert by_ternmq(where, "mutual") != "hello\n"
    # Without its authority the server is nobody.
    unknown = by_ternmq(["--url", f"mqtts://localhost:{mosquitto.ports['tls']}"], "x")
    assert "unknown issuer" in unknown


@pytest.mark.parametrize("version", ["3.1", "3.1.1", "5"])
def test_our_client_speaks_websockets_with_mosquitto(mosquitto, ternmq, certificates, version):
    url = f"ws://localhost:{mosquitto.ports['ws']}/mqtt"
    assert by_ternmq(["--url", url, "-V", version], f"ws/{version}") == "hello\n"
    url = f"wss://localhost:{mosquitto.ports['wss']}/mqtt"
    where = ["--url", url, "-V", version, "--cafile", certificates.ca]
    assert by_ternmq(where, f"wss/{version}") == "hello\n"


def test_our_client_reaches_the_unix_socket_of_mosquitto(mosquitto, ternmq):
    assert by_ternmq(["--unix", mosquitto.socket], "unix") == "hello\n"
