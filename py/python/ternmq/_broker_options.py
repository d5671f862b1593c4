"""Where an embedded broker listens, and with which certificate."""

from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

from ._checks import instance_of
from ._ternmq import make_certificate

__all__ = ["Certificate", "TlsFiles", "listeners_of", "throw_away"]

Path_ = str | PathLike[str]
TlsFiles = tuple[Path_, Path_] | tuple[Path_, Path_, Path_]
Listener = tuple[str, str, int] | tuple[str, int]


class Certificate(NamedTuple):
    """A certificate and its key as PEM, and who has signed it, or signs those of clients."""

    chain: bytes
    key: bytes
    authority: str
    of_clients: bytes | None

    @classmethod
    def of_files(cls, files: TlsFiles) -> "Certificate":
        if not isinstance(files, tuple) or not 2 <= len(files) <= 3:
            raise TypeError("tls is True, or a tuple of two or three names of files")
        chain, key, *of_clients = (Path(name).read_bytes() for name in files)
        return cls(chain, key, "", of_clients[0] if of_clients else None)

    def for_server(self) -> tuple[bytes, bytes, bytes | None]:
        return self.chain, self.key, self.of_clients


def throw_away(host: str) -> Certificate:
    """One for a host, and for what this machine calls itself."""
    hosts = dict.fromkeys(["localhost", "127.0.0.1", "::1", host])
    authority, chain, key = make_certificate(list(hosts))
    return Certificate(chain.encode(), key.encode(), authority, None)


def listeners_of(
    host: str,
    port: int | None,
    tls_port: int | None,
    ws_port: int | None,
    wss_port: int | None,
    unix: Path_ | None,
) -> list[Listener]:
    """A listener for each that is not None, in this order."""
    ports = {"mqtt": port, "mqtts": tls_port, "ws": ws_port, "wss": wss_port}
    all: list[Listener] = [(scheme, host, at) for scheme, at in ports.items() if at is not None]
    if unix is not None:
        all.append((fspath(unix), 0o600))
    for name, at in ports.items():
        argument = "port" if name == "mqtt" else f"{name.replace('mqtts', 'tls')}_port"
        instance_of(int | None, **{argument: at})
        if at is not None and not 0 <= at <= 65_535:
            raise ValueError(f"{argument} must be 0 to 65535, got {at}")
    if not all:
        raise ValueError("port is None, and there is no other listener")
    return all
