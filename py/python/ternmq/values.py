"""The small types of the clients."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from os import PathLike
from random import random
from typing import TYPE_CHECKING, Any

from ._checks import at_least, instance_of
from .errors import MqttError
from .reasons import ReasonCode

if TYPE_CHECKING:
    from ssl import SSLContext


class Backoff:
    """How long to wait before connecting again, in seconds.

    The wait doubles from `min` to `max`. Up to `jitter` times the wait is added at random, so that
    clients that lost a server together don't come back together.

    `first_connect`: also when the very first connection could not be made.
    """

    __slots__ = ("first_connect", "jitter", "max", "min")

    def __init__(
        self,
        min: float = 0.1,
        max: float = 30.0,
        jitter: float = 0.2,
        *,
        first_connect: bool = False,
    ) -> None:
        at_least(0, min=min, max=max, jitter=jitter)
        instance_of(bool, first_connect=first_connect)
        if max < min:
            raise ValueError(f"max must be at least min, got {max} and {min}")
        self.min: float = min
        self.max: float = max
        self.jitter: float = jitter
        self.first_connect: bool = first_connect

    def delay(self, attempt: int) -> float:
        """The wait before attempt number `attempt`, which counts from 0."""
        wait: float = min(self.min * 2 ** min(attempt, 60), self.max)
        return wait + wait * self.jitter * random()

    def __repr__(self) -> str:
        return f"Backoff({self.min}, {self.max}, {self.jitter})"


class PublishResult:
    """What the server said of a message: SUCCESS, or NO_MATCHING_SUBSCRIBERS where it tells."""

    __slots__ = ("properties", "reason_code")

    reason_code: ReasonCode
    properties: Mapping[str, Any]

    def __init__(self, reason_code: int = 0, properties: Mapping[str, Any] | None = None) -> None:
        self.reason_code = ReasonCode(reason_code)
        self.properties = properties or {}

    def __repr__(self) -> str:
        return f"PublishResult({self.reason_code.name})"


class State:
    """What `Client.on_state` reports.

    `name` is "connected", "lost" (a reconnection is on its way) or "closed" (for good).
    `session_present` says with "connected" whether the server went on with the session. `error` is
    why it is lost or closed, None when the client closed itself. `properties` are those of CONNACK.
    """

    __slots__ = ("error", "name", "properties", "session_present")

    def __init__(
        self,
        name: str,
        session_present: bool = False,
        error: MqttError | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self.name: str = name
        self.session_present: bool = session_present
        self.error: MqttError | None = error
        self.properties: Mapping[str, Any] = properties or {}

    def __repr__(self) -> str:
        if self.name == "connected":
            return f"<State connected session_present={self.session_present}>"
        return f"<State {self.name}{f': {self.error}' if self.error else ''}>"


class Tls:
    """TLS by files, all PEM.

    `ca`: a file or folder with the certificates that are trusted; None: those of the system.
    `cert` and `key`: our own certificate with those that signed it, and its key, which may be in the
    same file; `key_password` if the key is encrypted.

    `crl`: files in PEM with lists of revoked certificates of servers. With some there has to be one
    of each authority, whose time is not over, or its servers are refused. `keylog_filename`: a file
    that the secrets of connections are appended to, for Wireshark; whoever has it reads everything.
    It is made for its owner alone, one that others may read is refused, and without it nothing is
    written, whatever `SSLKEYLOGFILE` says.

    `verify=False` accepts any certificate: the connection is secret, and nobody knows with whom.
    `check_hostname=False` accepts those that are for another name. `server_name`: the name that is
    asked for and checked, by default the host. `alpn`: protocols to offer.
    """

    __slots__ = (
        "alpn", "ca", "cert", "check_hostname", "crl", "key", "key_password", "keylog_filename",
        "server_name", "verify",
    )

    def __init__(
        self,
        *,
        ca: "str | PathLike[str] | None" = None,
        cert: "str | PathLike[str] | None" = None,
        key: "str | PathLike[str] | None" = None,
        key_password: str | bytes | None = None,
        verify: bool = True,
        check_hostname: bool = True,
        server_name: str | None = None,
        alpn: Sequence[str] = (),
        crl: "Sequence[str | PathLike[str]]" = (),
        keylog_filename: "str | PathLike[str] | None" = None,
    ) -> None:
        if isinstance(crl, str):
            raise TypeError("crl is a sequence of paths")
        paths = [("ca", ca), ("cert", cert), ("key", key), ("keylog_filename", keylog_filename)]
        for name, path in paths + [("crl", path) for path in crl]:
            if path is not None and not isinstance(path, (str, PathLike)):
                raise TypeError(f"{name} is a path, not {type(path).__name__}")
        if key is not None and cert is None:
            raise ValueError("key: a key without a certificate")
        if crl and not verify:
            raise ValueError("crl: without verify no certificate is looked at")
        instance_of(str | None, server_name=server_name)
        instance_of(bool, verify=verify, check_hostname=check_hostname)
        if key_password is not None and not isinstance(key_password, (str, bytes)):
            raise TypeError(f"key_password is str or bytes, not {type(key_password).__name__}")
        if isinstance(alpn, str) or not all(isinstance(name, str) for name in alpn):
            raise TypeError("alpn is a sequence of str")
        self.ca: str | PathLike[str] | None = ca
        self.cert: str | PathLike[str] | None = cert
        self.key: str | PathLike[str] | None = key
        self.key_password: str | bytes | None = key_password
        self.verify: bool = verify
        self.check_hostname: bool = check_hostname
        self.server_name: str | None = server_name
        self.alpn: list[str] = list(alpn)
        self.crl: list[str | PathLike[str]] = list(crl)
        self.keylog_filename: str | PathLike[str] | None = keylog_filename

    def context(self) -> "SSLContext":
        """The same as an `ssl.SSLContext`. Reads the files, and raises what that raises."""
        import ssl
        from os.path import isdir

        # What `create_default_context` does, but for `SSLKEYLOGFILE`.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if sys.version_info >= (3, 13):
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        if self.ca is None:
            context.load_default_certs()
        elif isdir(self.ca):
            context.load_verify_locations(capath=self.ca)
        else:
            context.load_verify_locations(cafile=self.ca)
        for path in self.crl:
            context.load_verify_locations(cafile=path)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        if self.keylog_filename is not None:
            _make_private(self.keylog_filename)
            context.keylog_filename = str(self.keylog_filename)
        context.check_hostname = self.verify and self.check_hostname
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key, self.key_password)
        if self.alpn:
            context.set_alpn_protocols(self.alpn)
        return context

    def __repr__(self) -> str:
        return f"Tls(ca={self.ca!r}, cert={self.cert!r}, verify={self.verify})"


class Compression:
    """Compression of a WebSocket (permessage-deflate, RFC 7692), where the other side wants it too.

    Never for secrets beside what an attacker can choose: the lengths tell of them, also through TLS.

    `context`: both sides keep what was sent and refer to it, so that small messages that resemble each
    other shrink far more; it costs some 420 KiB for each connection. `window_bits`: the largest window,
    as a power of two, 9 to 15. `min_bytes`: packets that are smaller are sent as they are.
    """

    __slots__ = ("context", "min_bytes", "window_bits")

    def __init__(
        self, *, context: bool = False, window_bits: int = 15, min_bytes: int = 256
    ) -> None:
        instance_of(bool, context=context)
        instance_of(int, window_bits=window_bits, min_bytes=min_bytes)
        if not 9 <= window_bits <= 15:
            raise ValueError(f"window_bits must be 9 to 15, got {window_bits}")
        if not 0 <= min_bytes < 2**31:
            raise ValueError(f"min_bytes must be 0 to {2**31 - 1}, got {min_bytes}")
        self.context: bool = context
        self.window_bits: int = window_bits
        self.min_bytes: int = min_bytes

    @classmethod
    def of(cls, compression: "Compression | bool") -> "Compression | None":
        """What an argument says: True is one with the defaults, False none."""
        if isinstance(compression, bool):
            return cls() if compression else None
        if not isinstance(compression, Compression):
            kind = type(compression).__name__
            raise TypeError(f"compression is bool or a ternmq.Compression, not {kind}")
        return compression

    def __repr__(self) -> str:
        return (
            f"Compression(context={self.context}, window_bits={self.window_bits}, "
            f"min_bytes={self.min_bytes})"
        )


def _make_private(path: "str | PathLike[str]") -> None:
    """Makes a file that nobody else reads, if need be."""
    import os

    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.fstat(file).st_mode & 0o077:
            raise ValueError(f"keylog_filename: others may read {path} (chmod 600)")
    finally:
        os.close(file)


class Auth:
    """Enhanced authentication (MQTT 5).

    `method`: its name, such as "SCRAM-SHA-256". `exchange`: called with None when an authentication
    begins, anew for each connection, and returns the first data or None; then with each data of the
    server, and returns the answer. What it returns to the data that comes with success is not sent.
    What it raises ends the connection. For the asyncio client it may be an `async` function.
    """

    __slots__ = ("exchange", "method")

    def __init__(
        self,
        method: str,
        exchange: "Callable[[bytes | None], bytes | None | Awaitable[bytes | None]]",
    ) -> None:
        if not isinstance(method, str):
            raise TypeError(f"method is str, not {type(method).__name__}")
        if not callable(exchange):
            raise TypeError("exchange is a function")
        self.method: str = method
        self.exchange: Callable[[bytes | None], bytes | None | Awaitable[bytes | None]] = exchange

    def __repr__(self) -> str:
        return f"Auth({self.method!r})"
