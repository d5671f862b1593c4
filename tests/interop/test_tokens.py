"""Tokens that PyJWT makes, by keys that Python's HTTPS server has, in the hands of paho-mqtt."""

import hmac
import json
import queue
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import paho.mqtt.client as paho
import pytest
from broker import Broker, build
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from transports import PATIENCE, Certificates

SECRET = bytes(range(64))
PRIVATE = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "HS256": SECRET,
}
# Others that the same keys sign with.
MORE = {"RS512": "RS256", "PS256": "RS256", "PS384": "RS256", "HS512": "HS256"}


def public() -> dict:
    """The set of keys, each with its algorithm's name as `kid`; that of HMAC is no public one."""
    rs, es, es384, ed, _ = PRIVATE.values()
    keys = {
        "RS256": RSAAlgorithm.to_jwk(rs.public_key(), as_dict=True),
        "ES256": ECAlgorithm.to_jwk(es.public_key(), as_dict=True),
        "ES384": ECAlgorithm.to_jwk(es384.public_key(), as_dict=True),
        "EdDSA": OKPAlgorithm.to_jwk(ed.public_key(), as_dict=True),
        "HS256": HMACAlgorithm.to_jwk(SECRET, as_dict=True),
    }
    return {"keys": [{**key, "kid": kid} for kid, key in keys.items()]}


class Login:
    """Answers with `keys`, whatever they are now."""

    def __init__(self, certificates: Certificates) -> None:
        self.keys = public()
        login = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(login.keys).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """It is asked often."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.cert, certificates.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://localhost:{self.server.server_address[1]}/keys"


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    folder: Path = tmp_path_factory.mktemp("login")
    certificates = Certificates(folder)
    login = Login(certificates)
    build("ternmq-server")
    config = folder / "ternmq.toml"
    config.write_text(
        f"[jwt]\njwks_url = '{login.url}'\njwks_ca = '{certificates.ca}'\njwks_retry = 1\n"
        "audience = 'mqtt'\n"
    )
    login.broker = Broker("--config", str(config))
    yield login
    login.broker.stop()
    login.server.shutdown()


def token(algorithm: str, key: object = None, kid: str | None = None, **more: object) -> str:
    own = MORE.get(algorithm, algorithm)
    claims = {"sub": "anna", "aud": "mqtt", "exp": time.time() + 3600, **more}
    headers = {"kid": kid or own}
    return jwt.encode(claims, key or PRIVATE[own], algorithm=algorithm, headers=headers)


class Client:
    """One that tells what it is told."""

    def __init__(self, broker: Broker, token: str, client_id: str = "c") -> None:
        self.told: queue.Queue[tuple] = queue.Queue()
        version = paho.CallbackAPIVersion.VERSION2
        self.paho = paho.Client(version, client_id, protocol=paho.MQTTv5, reconnect_on_failure=False)
        self.paho.username_pw_set("anna", token)
        self.paho.on_connect = lambda _c, _u, _f, code, _p: self.told.put(("connected", code.value))
        self.paho.on_disconnect = lambda _c, _u, _f, code, _p: self.told.put(("gone", code.value))
        self.paho.on_subscribe = lambda _c, _u, _m, codes, _p: self.told.put(
            ("subscribed", codes[0].value)
        )
        self.paho.on_publish = lambda _c, _u, _m, code, _p: self.told.put(("published", code.value))
        self.paho.connect(broker.host, broker.port)
        self.paho.loop_start()

    def next(self) -> tuple:
        return self.told.get(timeout=PATIENCE)

    def end(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


def base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def reason(login: Login, token: str) -> int:
    client = Client(login.broker, token)
    word, code = client.next()
    client.end()
    assert word == "connected"
    return code


@pytest.mark.parametrize("algorithm", [*PRIVATE, *MORE])
def test_each_algorithm_lets_in_who_has_its_key(login, algorithm):
    assert reason(login, token(algorithm)) == 0
    # Signed by nobody that is known here, under a kid that is.
    others = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "HS256": lambda: bytes(64),
    }
    other = others[MORE.get(algorithm, algorithm)]()
    assert reason(login, token(algorithm, key=other)) == 0x86


def test_a_public_key_is_no_secret(login):
    # PEM of the key taken for the secret of HMAC, which PyJWT refuses to do.
    known = PRIVATE["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, claims, _ = token("RS256").split(".")
    header = base64(json.dumps({"alg": "HS256", "kid": "RS256"}).encode())
    signed = f"{header}.{claims}"
    signature = base64(hmac.digest(known, signed.encode(), "sha256"))
    assert reason(login, f"{signed}.{signature}") == 0x86


def test_other_claims_are_refused(login):
    assert reason(login, token("ES256", aud="web")) == 0x86
    assert reason(login, token("ES256", exp=time.time() - 1)) == 0x86
    assert reason(login, token("ES256", nbf=time.time() + 3600)) == 0x86
    assert reason(login, token("ES256", sub="ben")) == 0x86


def test_a_client_may_do_what_its_token_says(login):
    acl = {"publish": ["up/%u/#"], "subscribe": ["down/+"]}
    client = Client(login.broker, token("EdDSA", acl=acl))
    assert client.next() == ("connected", 0)
    for filter, code in [("down/x", 1), ("up/anna/x", 0x87), ("#", 0x87)]:
        client.paho.subscribe(filter, qos=1)
        assert client.next() == ("subscribed", code), filter
    for topic, code in [("up/anna/x", 0x10), ("up/ben/x", 0x87), ("down/x", 0x87)]:
        client.paho.publish(topic, "x", qos=1)
        assert client.next() == ("published", code), topic
    client.end()


def test_a_connection_ends_with_its_token(login):
    client = Client(login.broker, token("RS256", exp=time.time() + 2))
    assert client.next() == ("connected", 0)
    assert client.next() == ("gone", 0x87)
    client.end()


def test_keys_are_changed_while_it_runs(login):
    before, new = login.keys, ed25519.Ed25519PrivateKey.generate()
    key = OKPAlgorithm.to_jwk(new.public_key(), as_dict=True)
    login.keys = {"keys": [{**key, "kid": "new"}]}
    until = time.monotonic() + PATIENCE
    while reason(login, token("EdDSA", key=new, kid="new")) != 0:
        assert time.monotonic() < until
    assert reason(login, token("ES256")) == 0x86
    login.keys = before
    while reason(login, token("ES256")) != 0:
        assert time.monotonic() < until
