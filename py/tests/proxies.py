"""Proxies that tests go through: HTTP's CONNECT and SOCKS5, with a user and without."""

import base64
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    # Keeps it to itself when a server has gone.
    deaf: bool
    # What clients asked for, in order.
    targets: list[str]
    login: tuple[str, str] | None


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def tunnel(self, host: str, port: int, accepted: bytes) -> None:
        self.server.targets.append(f"{host}:{port}")
        with socket.create_connection(("127.0.0.1" if host == "no.such.name" else host, port)) as far:
            self.wfile.write(accepted)
            ends = not self.server.deaf
            back = threading.Thread(target=_copy, args=(far, self.connection, ends), daemon=True)
            back.start()
            _copy(self.connection, far)
            back.join()


class _Http(_Handler):
    def handle(self) -> None:
        request = self.rfile.readline().decode()
        headers = {}
        while (line := self.rfile.readline().decode().strip()):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        if self.server.login is not None:
            expected = base64.b64encode(":".join(self.server.login).encode()).decode()
            if headers.get("proxy-authorization") != f"Basic {expected}":
                self.wfile.write(b"HTTP/1.1 407 Who are you\r\n\r\n")
                return
        host, _, port = request.split()[1].rpartition(":")
        self.tunnel(host.strip("[]"), int(port), b"HTTP/1.1 200 Go\r\n\r\n")


class _Socks(_Handler):
    def handle(self) -> None:
        methods = self.rfile.read(self.rfile.read(2)[1])
        if self.server.login is None:
            self.wfile.write(b"\5\0")
        elif 2 not in methods:
            self.wfile.write(b"\5\xff")
            return
        else:
            self.wfile.write(b"\5\2")
            self.rfile.read(1)
            said = tuple(self.rfile.read(self.rfile.read(1)[0]).decode() for _ in range(2))
            right = said == self.server.login
            self.wfile.write(b"\1\0" if right else b"\1\1")
            if not right:
                return
        kind = self.rfile.read(4)[3]
        if kind == 3:
            host = self.rfile.read(self.rfile.read(1)[0]).decode()
        else:
            family = socket.AF_INET if kind == 1 else socket.AF_INET6
            host = socket.inet_ntop(family, self.rfile.read(4 if kind == 1 else 16))
        port = int.from_bytes(self.rfile.read(2))
        if host == "forbidden.example":
            self.wfile.write(b"\5\2\0\1\0\0\0\0\0\0")
            return
        self.tunnel(host, port, b"\5\0\0\1\0\0\0\0\0\0")


class Proxy:
    """A proxy that runs."""

    def __init__(self, server: _Server, scheme: str) -> None:
        self.targets = server.targets
        self.address = f"127.0.0.1:{server.server_address[1]}"
        self.url = f"{scheme}://{self.address}"
        if server.login is not None:
            self.url = f"{scheme}://{':'.join(server.login)}@{self.address}"


@contextmanager
def proxy(
    scheme: str, login: tuple[str, str] | None = None, *, deaf: bool = False
) -> Iterator[Proxy]:
    """`scheme`: http or socks5. `deaf`: clients are not told when their server has gone."""
    with _Server(("127.0.0.1", 0), _Http if scheme == "http" else _Socks) as server:
        server.targets, server.login, server.deaf = [], login, deaf
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield Proxy(server, scheme)
        server.shutdown()


def _copy(source: socket.socket, target: socket.socket, ends: bool = True) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass  # a reset is an end too
    if ends:
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
