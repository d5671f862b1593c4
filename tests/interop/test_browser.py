"""MQTT.js in a page of Chromium, over secure WebSockets."""

import base64
import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from broker import ROOT, build
from transports import TERNMQ, Certificates

UNPACKED = ROOT / "target/chromium"
MQTT_JS = ROOT / "target/node/node_modules/mqtt/dist/mqtt.min.js"
# A browser takes its time to start where others build.
PATIENCE = 120

# Subscribes and publishes with QoS 2, small and large, and tells the server of the page what came.
PAGE = """<!doctype html><meta charset="utf-8"><title>page</title>
<script src="/mqtt.js"></script>
<script>
const tell = (result) => fetch("/result", { method: "POST", body: JSON.stringify(result) });
const { url, version } = Object.fromEntries(new URLSearchParams(location.search));
const sizes = [0, 1, 1000, 200000], came = [];
let acknowledged = 0, done = false;
const sockets = [];
class Seen extends WebSocket {
  constructor(...args) { super(...args); sockets.push(this); }
}
window.WebSocket = Seen;
const client = mqtt.connect(url, { protocolVersion: Number(version), reconnectPeriod: 0 });
const finish = () => {
  if (came.length < sizes.length || acknowledged < sizes.length) return;
  done = true;
  client.end(false, {}, () => tell({ came, extensions: sockets[0].extensions }));
};
client.on("error", (error) => tell({ error: String(error.message) }));
client.on("close", () => done || tell({ closed: true }));
client.on("connect", () => client.subscribe("browser/#", { qos: 2 }, (error, granted) => {
  if (error || granted[0].qos !== 2) return tell({ error: String(error) });
  for (const size of sizes)
    client.publish(`browser/${size}`, "x".repeat(size), { qos: 2 }, (error) => {
      if (error) return tell({ error: String(error) });
      acknowledged += 1;
      finish();
    });
}));
client.on("message", (topic, payload, packet) => {
  came.push([topic, payload.length, packet.qos, packet.dup]);
  finish();
});
</script>
"""


class Site:
    """Serves the page, and takes its result."""

    def __init__(self) -> None:
        self.results: queue.Queue[dict] = queue.Queue()
        results = self.results

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body, kind = PAGE.encode(), "text/html"
                if self.path == "/mqtt.js":
                    body, kind = MQTT_JS.read_bytes(), "text/javascript"
                self.answer(body, kind)

            def do_POST(self) -> None:
                results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer(b"", "text/plain")

            def answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    sites = [Site(), Site()]
    yield sites
    for site in sites:
        site.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Server:
    """`ternmq serve` with secure WebSockets for pages of one origin."""

    def __init__(self, certificates: Certificates, origin: str, folder: Path, more: str) -> None:
        config = folder / "ternmq.toml"
        config.write_text(
            "[[listener]]\ntype = 'wss'\naddress = '127.0.0.1:0'\n"
            f"certificate = '{certificates.cert}'\nkey = '{certificates.key}'\norigins = ['{origin}']\n{more}"
        )
        self.process = subprocess.Popen(
            [TERNMQ, "serve", "--config", config, "--json"], stdout=subprocess.PIPE, text=True
        )
        port = json.loads(self.process.stdout.readline())["address"].rpartition(":")[2]
        self.url = f"wss://127.0.0.1:{port}/mqtt"

    def stop(self) -> dict:
        self.process.terminate()
        said, _ = self.process.communicate(timeout=PATIENCE)
        return json.loads(said.splitlines()[-1])


def chromium() -> tuple[str, dict[str, str]]:
    """The installed one, or the one that tests/setup has unpacked."""
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    if installed:
        return installed, dict(os.environ)
    libraries = sorted({str(path.parent) for path in UNPACKED.glob("**/lib/**/*.so*")})
    env = dict(os.environ) | {"LD_LIBRARY_PATH": ":".join(libraries)}
    return str(UNPACKED / "usr/lib/chromium/chromium"), env


def key_of(certificate: str) -> str:
    """What Chromium calls a public key: it trusts this one, and no other that it doesn't know."""
    shown = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"],
                           check=True, capture_output=True).stdout  # fmt: skip
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"],
                         input=shown, check=True, capture_output=True).stdout  # fmt: skip
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def visit(site: Site, server: Server, version: int, trusted: str, folder: Path) -> dict:
    """What the page tells, opened in a browser of its own."""
    program, env = chromium()
    profile, said = folder / site.origin.rpartition(":")[2], folder / "chromium.log"
    address = f"{site.origin}/?url={server.url}&version={version}"
    with said.open("w") as log:
        browser = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}",
             f"--ignore-certificate-errors-spki-list={trusted}", "--remote-debugging-port=0", address],
            stdout=log, stderr=log, env=env,
        )  # fmt: skip
    try:
        return result_of(site, browser)
    except queue.Empty:
        pytest.fail(f"the page told nothing\n{said.read_text()}")
    finally:
        browser.terminate()
        browser.wait(timeout=PATIENCE)


def result_of(site: Site, browser: subprocess.Popen) -> dict:
    for _ in range(PATIENCE):
        try:
            return site.results.get(timeout=1)
        except queue.Empty:
            if browser.poll() is not None:
                raise
    raise queue.Empty


# What a browser offers always, and we take only here.
@pytest.mark.parametrize(
    ("version", "more"), [(4, ""), (5, ""), (5, "deflate = true\ndeflate_context = true\n")]
)
def test_a_page_publishes_and_receives_with_qos_2(certificates, sites, version, more, tmp_path):
    build("ternmq-server")
    server = Server(certificates, sites[0].origin, tmp_path, more)
    trusted = key_of(certificates.cert)
    try:
        told = visit(sites[0], server, version, trusted, tmp_path)
        sizes = [0, 1, 1000, 200000]
        agreed = told.pop("extensions")
        assert ("permessage-deflate" in agreed) == bool(more), agreed
        assert told == {"came": [[f"browser/{size}", size, 2, False] for size in sizes]}
        # The same page of another origin doesn't get in.
        told = visit(sites[1], server, version, trusted, tmp_path)
        assert "error" in told or "closed" in told, told
    finally:
        sums = server.stop()
    assert sums["protocol_errors"] == 0
