"""Where an embedded broker listens, with which certificate, and whether its arguments make sense."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._checks import instance_of, items
from ._listener import Listener, check_host, in_range, path_of
from ._ternmq import Authority, check_broker

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["Certificate", "TlsFiles", "check", "check_listeners", "client_context", "listeners_of"]

Path_ = str | PathLike[str]
TlsFiles = tuple[Path_, Path_] | tuple[Path_, Path_, Path_]
# What the broker takes.
_MOST_SHARDS = 256
# Of which there is no memory for more anyway.
_MOST_MESSAGES = 2**31 - 1


class Certificate(NamedTuple):
    """A certificate and its key as PEM, and who has signed it, or signs those of clients."""

    chain: bytes
    key: bytes
    authority: Authority | None
    of_clients: bytes | None

    @classmethod
    def of_files(cls, files: TlsFiles) -> "Certificate":
        chain, key, *of_clients = (Path(name).read_bytes() for name in files)
        return cls(chain, key, None, of_clients[0] if of_clients else None)

    @classmethod
    def throw_away(cls, names: Sequence[str]) -> "Certificate":
        """One for these hosts, and for what this machine calls itself."""
        hosts = dict.fromkeys(["localhost", "127.0.0.1", "::1", *names])
        authority = Authority()
        chain, key = authority.server(list(hosts))
        return cls(chain.encode(), key.encode(), authority, authority.pem.encode())

    def for_server(self) -> tuple[bytes, bytes, bytes | None]:
        """What native code takes."""
        return self.chain, self.key, self.of_clients


def client_context(authority: Authority, name: str | None) -> "SSLContext":
    """One that trusts the authority alone, with a certificate of this name."""
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext

    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    if name is not None:
        from tempfile import NamedTemporaryFile

        # It takes no bytes. Nobody else can read the file.
        with NamedTemporaryFile("w", suffix=".pem") as file:
            file.writelines(authority.client(name))
            file.flush()
            context.load_cert_chain(file.name)
    return context


def check(
    tls: "bool | TlsFiles | None",
    client_certificates: str | None,
    certificate_users: bool,
    **others: Any,
) -> str | None:
    """Raises for what makes no sense, naming the argument. Whether clients are asked for certificates."""
    flags = {"ws": bool, "faults": bool, "anonymous": bool | None}
    for name in ("port", "tls_port", "ws_port", "wss_port"):
        if others[name] is not None:
            in_range(0, 65_535, **{name: others[name]})
    needs = {"tls_port": tls, "ws_port": others["ws"], "wss_port": tls and others["ws"]}
    for name, needed in needs.items():
        if others[name] is not None and not needed:
            asked_for = {"tls_port": "tls", "ws_port": "ws", "wss_port": "tls and ws"}[name]
            raise ValueError(f"{name}: nobody listens there without {asked_for}")
    in_range(0, _MOST_SHARDS, shards=others["shards"])
    in_range(0, _MOST_MESSAGES, record=others["record"])
    in_range(1, 64, hook_threads=others["hook_threads"])
    for name, kind in flags.items():
        instance_of(kind, **{name: others[name]})
    instance_of(bool, certificate_users=certificate_users)
    check_host(others["host"])
    for name in ("unix", "folder"):
        path_of(**{name: others[name]})
    for name, password in items(users=others["users"]):
        if not isinstance(name, str) or not isinstance(password, str):
            raise TypeError(f"users are names and passwords, all str, not {name!r}")
    _check_given(others["listeners"])
    _check_limits(others["limits"])
    check_broker(items(users=others["users"]), items(limits=others["limits"]))
    return _check_tls(tls, client_certificates, certificate_users)


def _check_given(listeners: object) -> None:
    if isinstance(listeners, str) or not isinstance(listeners, Sequence):
        raise TypeError(f"listeners is a sequence of Listener, not {type(listeners).__name__}")
    for listener in listeners:
        instance_of(Listener, listeners=listener)


def _check_limits(limits: Mapping[str, int] | None) -> None:
    for name, value in items(limits=limits):
        if not isinstance(name, str) or not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"limits are names and ints, not {name!r}: {value!r}")
        if not 0 <= value < 2**64:
            raise ValueError(f"limits: {name} can't be {value}")


def _check_tls(
    tls: "bool | TlsFiles | None", client_certificates: str | None, certificate_users: bool
) -> str | None:
    files = isinstance(tls, tuple)
    if not files and tls is not None and not isinstance(tls, bool):
        raise TypeError("tls is True, or a tuple of two or three names of files")
    if isinstance(tls, tuple):
        if not 2 <= len(tls) <= 3:
            raise ValueError("tls is True, or a tuple of two or three names of files")
        for name in tls:
            path_of(tls=name)
    asked = client_certificates
    instance_of(str | None, client_certificates=asked)
    if asked not in (None, "required", "optional"):
        raise ValueError(f"client_certificates must be 'required' or 'optional', not {asked!r}")
    if asked is None and isinstance(tls, tuple) and len(tls) == 3:
        asked = "required"
    if asked is not None and not tls:
        raise ValueError("client_certificates: without tls nobody shows one")
    if asked is not None and isinstance(tls, tuple) and len(tls) == 2:
        raise ValueError("client_certificates: tls has to name a third file, with who signs them")
    if certificate_users and asked is None:
        raise ValueError("certificate_users: nobody is asked for a certificate")
    return asked


def listeners_of(
    host: str,
    port: int | None,
    tls_port: int | None,
    ws_port: int | None,
    wss_port: int | None,
    unix: Path_ | None,
) -> list[Listener]:
    """A listener for each that is not None, in this order."""
    all: list[Listener] = []
    if port is not None:
        all.append(Listener("mqtt", host=host, port=port))
    if tls_port is not None:
        all.append(Listener("mqtts", host=host, port=tls_port))
    if ws_port is not None:
        all.append(Listener("ws", host=host, port=ws_port))
    if wss_port is not None:
        all.append(Listener("wss", host=host, port=wss_port))
    if unix is not None:
        all.append(Listener("unix", file=unix))
    return all


def check_listeners(
    all: Sequence[Listener], tls: "bool | TlsFiles | None", asked: str | None
) -> None:
    """Raises for listeners that don't go together, or not with the broker."""
    if not all:
        raise ValueError("port is None, and there is no other listener")
    signed = tls is True or (isinstance(tls, tuple) and len(tls) == 3)
    names: set[str] = set()
    for listener in all:
        if listener.name in names:
            raise ValueError(f"listeners: two are called {listener.name!r}: give them a name")
        names.add(listener.name)
        if listener.is_secure and not tls:
            raise ValueError(f"listeners: {listener.name!r} needs tls, for its certificate")
        if (listener.client_certificates or asked or "none") != "none" and listener.is_secure:
            if not signed:
                raise ValueError(
                    "client_certificates: tls has to name a third file, with who signs them"
                )
