"""How a client reaches its server: what the application says of it, and opening an asyncio transport."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._checks import instance_of
from ._ternmq import QuicConnection, Relay, Tunnel, check_opening, parse_url
from .values import Compression, Tls

if TYPE_CHECKING:
    import asyncio
    from ssl import SSLContext

# Authority, path, whether TLS is spoken, lines of HTTP.
Opening = tuple[str, str, bool, list[tuple[str, str]], Compression | None]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_SCHEMES = {
    ("tcp", False): "mqtt",
    ("tcp", True): "mqtts",
    ("websockets", False): "ws",
    ("websockets", True): "wss",
    ("unix", False): "unix",
    # It is TLS always, said or not.
    ("quic", True): "quic",
    ("quic", False): "quic",
}
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443, "unix": 0, "quic": 14_567}


class Reach:
    """A server's address and the way to it."""

    relay: Relay | None = None
    # The last connection by QUIC that was made.
    quic: QuicConnection | None = None
    scheme: str
    host: str
    port: int
    path: str
    context: SSLContext | None
    tls: Tls | None

    def __init__(
        self,
        url: str | None,
        host: str | None,
        port: int | None,
        transport: str | None,
        path: str | None,
        headers: Headers | None,
        proxy: str | None,
        tls: "SSLContext | Tls | bool | None",
        compression: Compression | bool,
    ) -> None:
        self.user: str | None = None
        self.password: bytes | None = None
        instance_of(str | None, url=url)
        if url is not None:
            given = {"host": host, "port": port, "transport": transport, "path": path}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"{name}: the url says that")
            self.scheme, self.host, self.port, self.path, self.user, self.password = parse_url(url)
        else:
            self._by_fields(host, port, transport, path, bool(tls))
        self.secure: bool = self.scheme in ("mqtts", "wss", "quic")
        self.websocket: bool = self.scheme in ("ws", "wss")
        self.headers: list[tuple[str, str]] = _headers(headers)
        self.compression: Compression | None = Compression.of(compression)
        self.proxy: str | None = proxy
        self.context, self.tls = self._tls(tls)
        self._check()

    @property
    def authority(self) -> str:
        """Host and port, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.path if self.scheme == "unix" else self.authority

    def opening(self) -> Opening | None:
        """What a WebSocket is opened with, if there is one."""
        if not self.websocket:
            return None
        return self.authority, self.path, self.secure, self.headers, self.compression

    async def connect(self, protocol: asyncio.BaseProtocol) -> None:
        """Opens a transport for the protocol: through the proxy, with TLS by the event loop."""
        from asyncio import get_running_loop

        loop = get_running_loop()

        def factory() -> asyncio.BaseProtocol:
            return protocol

        if self.scheme == "unix":
            await loop.create_unix_connection(factory, self.path)
            return
        if self.scheme == "quic":
            await self._connect_quic(factory)
            return
        context = self.ssl_context()
        name = None if context is None else (self.tls and self.tls.server_name) or self.host
        if self.proxy is None:
            await loop.create_connection(
                factory, self.host, self.port, ssl=context, server_hostname=name
            )
            return
        sock = await _through(self.proxy, self.host, self.port)
        try:
            await loop.create_connection(factory, sock=sock, ssl=context, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    async def _connect_quic(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """The event loop gets a socket of this machine, out of which comes what QUIC carries."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        failed = OSError(f"no address for {self.host!r}")
        for _, _, _, _, address in found:
            try:
                self.quic, sock = await _greeted(self.host, address, self.tls or Tls())
            except OSError as error:
                failed = error
                continue
            try:
                await loop.create_unix_connection(factory, sock=sock)
            except BaseException:
                self.quic = None
                sock.close()
                raise
            return
        raise failed

    def _by_fields(
        self, host: str | None, port: int | None, transport: str | None, path: str | None, tls: bool
    ) -> None:
        transport = transport or "tcp"
        scheme = _SCHEMES.get((transport, tls))
        if scheme is None:
            if transport == "unix":
                raise ValueError("tls: there is none over a Unix socket")
            raise ValueError(
                f"transport must be 'tcp', 'websockets', 'unix' or 'quic', not {transport!r}"
            )
        needed = ("path", path) if scheme == "unix" else ("host", host)
        for name, value in (("host", host), ("path", path)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} is str, not {type(value).__name__}")
        if not needed[1]:
            raise ValueError(f"{needed[0]}: a url or a {needed[0]} is needed")
        instance_of(int | None, port=port)
        if port is not None and not 0 < port < 65536:
            raise ValueError("port must be from 1 to 65535")
        self.scheme, self.host = scheme, host or ""
        self.port = _PORTS[scheme] if port is None else port
        self.path = path or ("/mqtt" if scheme in ("ws", "wss") else "")
        if scheme in ("ws", "wss"):
            self.path = parse_url(f"ws://h{self.path if self.path[:1] == '/' else '/' + self.path}")[3]

    def _tls(self, tls: "SSLContext | Tls | bool | None") -> "tuple[SSLContext | None, Tls | None]":
        if tls is None or tls is True or tls is False:
            if tls and not self.secure:
                raise ValueError(f"tls: the url says {self.scheme}://, without TLS")
            if tls is False and self.secure:
                raise ValueError(f"tls: the url says {self.scheme}://, which is with TLS")
            return None, Tls() if self.secure else None
        is_context = not isinstance(tls, Tls)
        if is_context:
            from ssl import SSLContext

            if not isinstance(tls, SSLContext):
                kind = type(tls).__name__
                raise TypeError(f"tls is an ssl.SSLContext, a ternmq.Tls or bool, not {kind}")
        if not self.secure:
            raise ValueError(f"tls: the url says {self.scheme}://, without TLS")
        if self.scheme == "quic" and is_context:
            # A context of Python's makes TLS of streams, and QUIC has TLS in its datagrams.
            raise ValueError("tls: for QUIC a ternmq.Tls, not an ssl.SSLContext")
        return (None, tls) if isinstance(tls, Tls) else (tls, None)

    def _check(self) -> None:
        if self.headers and not self.websocket:
            raise ValueError("headers: only WebSockets have them")
        if self.compression is not None and not self.websocket:
            raise ValueError("compression: only WebSockets have it")
        if opening := self.opening():
            check_opening(opening)
        if self.proxy is not None:
            if not isinstance(self.proxy, str):
                raise TypeError(f"proxy is str, not {type(self.proxy).__name__}")
            if self.scheme == "unix":
                raise ValueError("proxy: a Unix socket is reached without one")
            if self.scheme == "quic":
                raise ValueError("proxy: no proxy carries QUIC")
            if "://" not in self.proxy:
                raise ValueError(f"proxy: http://host:port or socks5://host:port, not {self.proxy!r}")
            Tunnel(self.proxy, self.host, self.port)

    def ssl_context(self) -> "SSLContext | None":
        """With what TLS is spoken, if it is. Reads the files that are named."""
        if self.context is None and self.tls is not None:
            self.context = self.tls.context()
        return self.context


def _headers(headers: Headers | None) -> list[tuple[str, str]]:
    if headers is None:
        return []
    # A Mapping is an Iterable, so its kind is not told apart by type checkers.
    given: Any = headers.items() if isinstance(headers, Mapping) else headers
    if not isinstance(given, Iterable):
        raise TypeError(f"headers are names and values, not {type(headers).__name__}")
    pairs: list[tuple[str, str]] = list(given)
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(s, str) for s in pair)):
            raise TypeError("headers are names and values, all str")
    return pairs


async def _greeted(
    host: str, address: tuple[Any, ...], tls: Tls
) -> tuple[QuicConnection, socket.socket]:
    """A connection of QUIC that is there, and the socket that its bytes go through."""
    from asyncio import get_running_loop

    scope = address[3] if len(address) == 4 else 0
    quic = QuicConnection(address[0], address[1], scope, host, tls)
    descriptor = quic.take()
    assert descriptor is not None
    sock = socket.socket(fileno=descriptor)
    try:
        if await get_running_loop().sock_recv(sock, 1):
            return quic, sock
        raise OSError(quic.error or "the server closed the connection")
    except BaseException:
        sock.close()
        raise


async def _through(proxy: str, host: str, port: int) -> socket.socket:
    """A socket that leads through the proxy to host and port."""
    from asyncio import get_running_loop

    tunnel = Tunnel(proxy, host, port)
    loop = get_running_loop()
    sock = await _connected(*tunnel.address)
    try:
        opened = False
        while not opened:
            if request := tunnel.take():
                await loop.sock_sendall(sock, request)
            opened = tunnel.feed(await loop.sock_recv(sock, 1024))
        return sock
    except BaseException:
        sock.close()
        raise


async def _connected(host: str, port: int) -> socket.socket:
    """A socket that is connected to one of the addresses of a name."""
    from asyncio import get_running_loop

    loop = get_running_loop()
    failed: OSError | None = None
    for family, kind, number, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, number)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            failed = error
        except BaseException:
            sock.close()
            raise
    raise failed or OSError(f"no address for {host!r}")
