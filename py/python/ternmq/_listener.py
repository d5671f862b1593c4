"""One address that an embedded broker listens on."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal

from ._checks import VERSIONS, instance_of
from ._ternmq import check_listener
from .values import Compression

__all__ = ["Listener"]

_SECURE = ("mqtts", "wss", "quic")
_WEB = ("ws", "wss")
# What native code takes for a connection count, and for a rate.
_MOST_CONNECTIONS = 2**31 - 1
_MOST_RATE = 2**32 - 1


class Listener:
    """One address that a `Broker` listens on, with what holds for who comes in there.

        Broker(None, tls=True, listeners=[
            Listener("mqtt", mount_point="plant/"),
            Listener("quic", connection_rate=100),
        ])

    `scheme`: "mqtt", "mqtts", "ws", "wss", "quic" (UDP; the first stream of each connection) or "unix".
    `name`: under which `Broker.urls` has it, by default the scheme.

    `host` and `port`: an IP address of this machine, by default the broker's, and 0 for a free port. `file`
    and `mode`: those of a Unix socket; who may write the file may connect, by default this user alone.

    `anonymous`: whether clients are let in that name no user. None: as the broker says; where that says
    nothing, without users and on an address of this machine alone.

    `mount_point`: what stands before all topics of these clients, and ends with "/": they know nothing of it, nor
    of anything outside. `${clientid}`, `${username}` and `${host}` stand for the client's own; who has none, or
    one with a separator or wildcard in it, is refused. Rules, hooks and `Broker.messages` see whole topics.

    `versions`: those of MQTT that are spoken here, such as `[5, "3.1.1"]`; others are refused.

    `max_connections`: one more is closed at once. `connection_rate`: new ones a second, 0 without limit; after
    a pause one second's worth may come at once, and what comes too early is closed.

    `proxies`: addresses and networks of the proxies through which clients come. Each connection begins with the
    PROXY protocol (version 1 or 2), and the address that it tells counts as the client's. Who is none of them is
    closed at once. For a Unix socket, whose file says who may come, it may be empty. Not for QUIC.

    `path` and `origins`: what a WebSocket may ask for, by default `/mqtt` ("*" for anything), and the web sites
    whose scripts may connect, by default all. `compression`: True or a `Compression`, for clients that offer it.
    A message then holds no more, when it is decompressed, than a packet may.

    `client_certificates`: "required", "optional" or "none", by default as the broker says; the broker's `tls` says who
    signs them. `certificate_user`: what of a client's certificate is its user name: the common name ("cn"), the
    whole name ("dn"), the first of its alternative names that is a DNS name ("dns"), a mail address ("email") or a
    URI ("uri"). Who shows no such name is refused.
    """

    __slots__ = (
        "anonymous", "certificate_user", "client_certificates", "compression", "connection_rate",
        "file", "host", "max_connections", "mode", "mount_point", "name", "origins", "path", "port",
        "proxies", "scheme", "versions",
    )

    def __init__(
        self,
        scheme: Literal["mqtt", "mqtts", "ws", "wss", "quic", "unix"],
        *,
        name: str | None = None,
        host: str | None = None,
        port: int | None = None,
        file: str | PathLike[str] | None = None,
        mode: int | None = None,
        anonymous: bool | None = None,
        mount_point: str | None = None,
        versions: Sequence[int | str] | None = None,
        max_connections: int | None = None,
        connection_rate: int = 0,
        proxies: Sequence[str] | None = None,
        path: str | None = None,
        origins: Sequence[str] | None = None,
        compression: Compression | bool = False,
        client_certificates: Literal["required", "optional", "none"] | None = None,
        certificate_user: Literal["cn", "dn", "dns", "email", "uri"] | None = None,
    ) -> None:
        if scheme not in ("mqtt", "unix", *_SECURE, *_WEB):
            raise ValueError(
                f"scheme must be 'mqtt', 'mqtts', 'ws', 'wss', 'quic' or 'unix', not {scheme!r}"
            )
        self.scheme: str = scheme
        instance_of(str | None, name=name)
        if name == "":
            raise ValueError("name must not be empty")
        self.name: str = scheme if name is None else name
        self.host: str | None = host
        self.port: int | None = port
        self.file: str | None = path_of(file=file)
        self.mode: int | None = mode
        self.anonymous: bool | None = anonymous
        self.mount_point: str | None = mount_point
        self.versions: list[int] = _versions(versions)
        self.max_connections: int | None = max_connections
        self.connection_rate: int = connection_rate
        self.proxies: list[str] | None = _texts(proxies=proxies)
        self.path: str | None = path
        self.origins: list[str] | None = _texts(origins=origins)
        self.compression: Compression | None = Compression.of(compression)
        self.client_certificates: str | None = client_certificates
        self.certificate_user: str | None = certificate_user
        self._check()

    def __repr__(self) -> str:
        return f"<Listener {self.name}>"

    def resolved(
        self,
        *,
        host: str,
        anonymous: bool | None,
        users: bool,
        client_certificates: str | None,
        certificate_users: bool,
    ) -> dict[str, Any]:
        """What native code takes: with what the broker says where this says nothing."""
        at = host if self.host is None else self.host
        if self.anonymous is not None:
            anonymous = self.anonymous
        elif anonymous is None:
            anonymous = is_local(at) and not users
        asked = (self.client_certificates or client_certificates) if self.is_secure else None
        required = None if asked in (None, "none") else asked == "required"
        user = self.certificate_user
        if user is None and certificate_users and required is not None:
            user = "cn"
        if user is not None and required is None:
            raise ValueError("certificate_user: nobody is asked for a certificate")
        return self._native(at, anonymous, required, user)

    @property
    def is_secure(self) -> bool:
        """Whether the broker's certificate is needed."""
        return self.scheme in _SECURE

    def _native(
        self, host: str, anonymous: bool, required: bool | None, user: str | None
    ) -> dict[str, Any]:
        return {
            "scheme": self.scheme,
            "host": host,
            "port": self.port or 0,
            "file": self.file,
            "mode": 0o600 if self.mode is None else self.mode,
            "anonymous": anonymous,
            "mount_point": self.mount_point,
            "versions": self.versions,
            "max_connections": self.max_connections,
            "connection_rate": self.connection_rate,
            "proxies": self.proxies,
            "path": "/mqtt" if self.path is None else self.path,
            "origins": self.origins,
            "compression": self.compression,
            "certificate_required": required,
            "certificate_user": user,
        }

    def _check(self) -> None:
        is_unix = self.scheme == "unix"
        for fits, what, names in (
            (not is_unix, "an IP address", ("host", "port")),
            (is_unix, "a Unix socket", ("file", "mode")),
            (self.scheme in _WEB, "a WebSocket", ("path", "origins", "compression")),
            (self.is_secure, "TLS", ("client_certificates", "certificate_user")),
            (self.scheme != "quic", "TCP or a Unix socket", ("proxies",)),
        ):
            for name in names:
                if not fits and getattr(self, name) is not None:
                    raise ValueError(f"{name}: {self.scheme!r} has none, {what} has")
        instance_of(str | None, mount_point=self.mount_point, path=self.path)
        instance_of(bool | None, anonymous=self.anonymous)
        if is_unix and self.file is None:
            raise ValueError("file: a Unix socket needs one")
        if self.host is not None:
            check_host(self.host)
        for name, least, most in (
            ("port", 0, 65_535), ("mode", 0, 0o7777), ("max_connections", 1, _MOST_CONNECTIONS),
        ):
            if (value := getattr(self, name)) is not None:
                in_range(least, most, **{name: value})
        in_range(0, _MOST_RATE, connection_rate=self.connection_rate)
        if self.path is not None and self.path != "*" and not self.path.startswith("/"):
            raise ValueError(f"path must begin with '/', or be '*', not {self.path!r}")
        if self.proxies == [] and not is_unix:
            raise ValueError("proxies: they have to be named, or anybody could claim any address")
        _one_of(("required", "optional", "none"), client_certificates=self.client_certificates)
        _one_of(("cn", "dn", "dns", "email", "uri"), certificate_user=self.certificate_user)
        check_listener(self._native(self.host or "127.0.0.1", True, None, None))


def is_local(host: str) -> bool:
    """Whether only this machine gets there."""
    return host == "::1" or host.startswith("127.")


def check_host(host: str) -> None:
    """Raises for what is no IP address."""
    instance_of(str, host=host)
    if host not in ("127.0.0.1", "::1", "0.0.0.0", "::"):
        from ipaddress import ip_address

        try:
            ip_address(host)
        except ValueError:
            raise ValueError(f"host must be an IP address, not {host!r}") from None


def in_range(least: int, most: int, **argument: object) -> None:
    """Raises for one that is no int, or out of range."""
    instance_of(int, **argument)
    for name, value in argument.items():
        if isinstance(value, int) and not least <= value <= most:
            raise ValueError(f"{name} must be {least} to {most}, got {value}")


def path_of(**argument: str | PathLike[str] | None) -> str | None:
    """Of one path; None of None."""
    from os import fspath

    ((name, path),) = argument.items()
    try:
        text = None if path is None else fspath(path)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    instance_of(str | None, **{name: text})
    if text is not None and (not text or "\0" in text):
        raise ValueError(f"{name} is the name of a file or folder, not {text!r}")
    return text


def _versions(versions: Sequence[int | str] | None) -> list[int]:
    if versions is None:
        return [3, 4, 5]
    if isinstance(versions, str) or not isinstance(versions, Sequence):
        raise TypeError(f"versions is a sequence of them, not {type(versions).__name__}")
    for version in versions:
        instance_of(int | str, versions=version)
        if version not in VERSIONS:
            raise ValueError(f"versions are 3, 4 and 5 (or '3.1', '3.1.1', '5.0'), not {version!r}")
    if not versions:
        raise ValueError("versions: a listener speaks one at least")
    return sorted({VERSIONS[version] for version in versions})


def _texts(**argument: Sequence[str] | None) -> list[str] | None:
    ((name, texts),) = argument.items()
    if texts is None:
        return None
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"{name} is a sequence of str, not {type(texts).__name__}")
    for text in texts:
        instance_of(str, **{name: text})
    return list(texts)


def _one_of(choices: tuple[str, ...], **argument: str | None) -> None:
    for name, value in argument.items():
        instance_of(str | None, **{name: value})
        if value is not None and value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
