"""Revoked servers, and secrets that are written down when somebody asks for it."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import ternmq
from ternmq import Tls, blocking
from ternmq.broker import Broker
from transports import openssl

Face = Callable[..., bool]

CONFIG = """[ca]
default_ca = own
[own]
database = index.txt
default_md = sha256
default_crl_days = 30
crlnumber = number
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
"""


def by_asyncio(url: str, tls: Tls) -> bool:
    async def connect() -> bool:
        async with ternmq.Client(url, tls=tls):
            return True

    return asyncio.run(connect())


def by_threads(url: str, tls: Tls) -> bool:
    with blocking.Client(url, tls=tls):
        return True


@pytest.fixture(params=[by_asyncio, by_threads])
def connects(request: pytest.FixtureRequest) -> Face:
    face: Face = request.param
    return face


class Authority:
    """One with a server's certificate, which it takes back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config").write_text(CONFIG)
        (folder / "index.txt").write_text("")
        (folder / "number").write_text("01\n")
        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl(*new, "-x509", "-subj", "/CN=authority", "-keyout", self.at("ca.key"), "-out", self.at("ca.pem"),
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl(*new, "-subj", "/CN=server", "-keyout", self.at("server.key"), "-out", self.at("request"))
        (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        signed = ("-CA", self.at("ca.pem"), "-CAkey", self.at("ca.key"), "-set_serial", "77")
        openssl("x509", "-req", "-in", self.at("request"), *signed, "-extfile", self.at("names"),
                "-out", self.at("server.pem"))

    def at(self, name: str) -> str:
        return str(self.folder / name)

    def run(self, *arguments: str) -> None:
        own = ("-config", "config", "-keyfile", "ca.key", "-cert", "ca.pem")
        subprocess.run(["openssl", "ca", *own, *arguments], cwd=self.folder, check=True, capture_output=True)

    def list(self, name: str) -> str:
        self.run("-gencrl", "-out", name)
        return self.at(name)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_revoked_server_is_refused(connects: Face, authority: Authority) -> None:
    nothing = authority.list("nothing.crl")
    authority.run("-revoke", "server.pem")
    revoked = authority.list("revoked.crl")
    ca = authority.at("ca.pem")
    with Broker(tls=(authority.at("server.pem"), authority.at("server.key"))) as broker:
        url = broker.urls["mqtts"]
        assert connects(url, Tls(ca=ca))
        assert connects(url, Tls(ca=ca, crl=[nothing]))
        with pytest.raises(ternmq.ConnectError, match="(?i)revoked"):
            connects(url, Tls(ca=ca, crl=[revoked]))
        with pytest.raises((ternmq.MqttError, OSError)):
            connects(url, Tls(ca=ca, crl=[ca + ".missing"]))


def test_secrets_are_written_when_asked_for_and_only_then(
    connects: Face, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", authority.at("environment"))
    ca, keys = authority.at("ca.pem"), Path(authority.at("keys"))
    with Broker(tls=(authority.at("server.pem"), authority.at("server.key"))) as broker:
        url = broker.urls["mqtts"]
        assert connects(url, Tls(ca=ca))
        assert not keys.exists()
        assert connects(url, Tls(ca=ca, keylog_filename=keys))
        assert "CLIENT_TRAFFIC_SECRET_0 " in keys.read_text()
        assert keys.stat().st_mode & 0o777 == 0o600
        keys.chmod(0o644)
        with pytest.raises((ternmq.MqttError, ValueError), match="others may read"):
            connects(url, Tls(ca=ca, keylog_filename=keys))
    assert not os.path.exists(authority.at("environment"))


def test_the_usual_context_of_paho_writes_nothing_down(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ternmq.paho import client as mqtt

    monkeypatch.setenv("SSLKEYLOGFILE", authority.at("environment"))
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.tls_set_context()
    context = client._ssl_context
    assert context is not None and context.keylog_filename is None
    assert not os.path.exists(authority.at("environment"))


def test_what_makes_no_sense_is_told() -> None:
    for options, error in (
        ({"crl": "a.crl"}, TypeError), ({"crl": [1]}, TypeError), ({"keylog_filename": 1}, TypeError),
        ({"crl": ["a.crl"], "verify": False}, ValueError),
    ):
        with pytest.raises(error):
            Tls(**options)
