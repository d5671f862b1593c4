"""MQTT in WebSocket frames (RFC 6455) over a socket that is there."""

import base64
import hashlib
import os
import socket
import ssl
import struct
from typing import Any

from ._settings import WebSocketHeaders

# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Bytes of the longest answer to the handshake.
_MOST_HEADERS = 64 << 10
# Bytes that are read from the socket at a time.
_READ = 64 << 10


class WebsocketConnectionError(ConnectionError):
    """The server would not speak WebSocket, or not properly."""


class _WebsocketWrapper:
    """A socket whose `send` and `recv` go through frames. `_socket` is the one underneath."""

    OPCODE_CONTINUATION = 0x0
    OPCODE_TEXT = 0x1
    OPCODE_BINARY = 0x2
    OPCODE_CONNCLOSE = 0x8
    OPCODE_PING = 0x9
    OPCODE_PONG = 0xA

    def __init__(
        self,
        socket: "socket.socket | ssl.SSLSocket",
        host: str,
        port: int,
        is_ssl: bool,
        path: str,
        extra_headers: WebSocketHeaders | None,
    ) -> None:
        self.connected = False
        self._ssl = is_ssl
        self._host = host
        self._port = port
        self._socket = socket
        self._path = path
        # What came and is no whole frame yet; payload that nobody has read; frames that are not sent.
        self._raw = bytearray()
        self._ready = bytearray()
        self._frames = bytearray()
        # Bytes of payload in `_frames` that `send` has not reported as sent.
        self._promised = 0
        self._closed = False
        self._do_handshake(extra_headers)

    def __del__(self) -> None:
        self._socket.close()

    def _do_handshake(self, extra_headers: WebSocketHeaders | None) -> None:
        default = self._port == (443 if self._ssl else 80)
        name = self._host if default else f"{self._host}:{self._port}"
        key = base64.b64encode(os.urandom(16))
        headers = {
            "Host": name,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Origin": f"{'https' if self._ssl else 'http'}://{name}",
            "Sec-WebSocket-Key": key.decode("ascii"),
            "Sec-Websocket-Version": "13",
            "Sec-Websocket-Protocol": "mqtt",
        }
        if callable(extra_headers):
            headers = extra_headers(headers)
        elif extra_headers is not None:
            headers.update(extra_headers)
        lines = [f"GET {self._path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        request = "\r\n".join(lines).encode("utf-8")
        self._socket.send(request)
        given = headers.get("Sec-WebSocket-Key", key.decode("ascii"))
        self._check(self._read_answer(), given.encode("utf-8"))
        self.connected = True

    def _read_answer(self) -> list[str]:
        """The lines of the answer. Byte by byte: what follows is of the frames."""
        answer = bytearray()
        while not answer.endswith(b"\r\n\r\n"):
            byte = self._socket.recv(1)
            if not byte or len(answer) > _MOST_HEADERS:
                raise WebsocketConnectionError("the server ended or outgrew its answer to the WebSocket's opening")
            answer += byte
        return answer.decode("utf-8", "replace").split("\r\n")

    def _check(self, lines: list[str], key: bytes) -> None:
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        upgraded = "upgrade" in fields.get("connection", "").lower()
        if not upgraded or fields.get("upgrade", "").lower() != "websocket":
            raise WebsocketConnectionError("the server does not answer as a WebSocket")
        wanted = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode("ascii")
        if fields.get("sec-websocket-accept") != wanted:
            raise WebsocketConnectionError("the server's Sec-WebSocket-Accept is wrong")

    def _create_frame(self, opcode: int, data: bytes | bytearray, do_masking: int = 1) -> bytearray:
        frame = bytearray([0x80 | opcode])
        mask_bit = 0x80 if do_masking else 0
        length = len(data)
        if length < 126:
            frame.append(mask_bit | length)
        elif length < 65536:
            frame += struct.pack("!BH", mask_bit | 126, length)
        else:
            frame += struct.pack("!BQ", mask_bit | 127, length)
        if do_masking:
            key = os.urandom(4)
            frame += key
            data = _masked(data, key)
        return frame + data

    def recv(self, length: int) -> bytes:
        """Payload, at most so much. b"" when the connection is over; BlockingIOError for none yet."""
        while not self._ready:
            if self._closed:
                return b""
            data = self._socket.recv(_READ)
            if not data:
                self._closed = True
                return b""
            self._raw += data
            while self._take_frame():
                pass
        out = bytes(self._ready[:length])
        del self._ready[:length]
        return out

    read = recv

    def _take_frame(self) -> bool:
        """Takes a frame out of what came, if it is all there."""
        raw = self._raw
        if len(raw) < 2:
            return False
        opcode, masked, length, start = raw[0] & 0x0F, raw[1] & 0x80, raw[1] & 0x7F, 2
        if length >= 126:
            form, start = ("!H", 4) if length == 126 else ("!Q", 10)
            if len(raw) < start:
                return False
            (length,) = struct.unpack(form, raw[2:start])
        if length > 1 << 30:
            raise WebsocketConnectionError("a frame of more than 1 GiB")
        body = start + (4 if masked else 0)
        if len(raw) < body + length:
            return False
        data: bytes | bytearray = raw[body : body + length]
        if masked:
            data = _masked(data, bytes(raw[start:body]))
        del raw[: body + length]
        if opcode in (self.OPCODE_BINARY, self.OPCODE_CONTINUATION):
            self._ready += data
        elif opcode == self.OPCODE_PING:
            self._frames += self._create_frame(self.OPCODE_PONG, data)
            self._flush()
        elif opcode == self.OPCODE_CONNCLOSE:
            self._frames += self._create_frame(self.OPCODE_CONNCLOSE, data)
            self._flush()
            self._closed = True
        elif opcode != self.OPCODE_PONG:
            raise WebsocketConnectionError(f"a frame of type {opcode}, which MQTT does not use")
        return True

    def send(self, data: bytes | bytearray) -> int:
        """Sends a frame. 0 when it could not all be sent: to be called again with the same data."""
        if not self._promised:
            self._frames += self._create_frame(self.OPCODE_BINARY, data)
            self._promised = len(data)
        if not self._flush():
            return 0
        sent, self._promised = self._promised, 0
        return sent

    write = send

    def _flush(self) -> bool:
        while self._frames:
            try:
                count = self._socket.send(self._frames)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self._frames[:count]
        return True

    def pending(self) -> int:
        """Bytes that can be read without a look at the socket."""
        under: Any = self._socket
        waiting = under.pending() if hasattr(under, "pending") else 0
        return len(self._ready) + int(waiting)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """Of the socket."""
        self._socket.setblocking(flag)


def _masked(data: bytes | bytearray, key: bytes) -> bytes:
    """Combines data with the key, over and over."""
    size = len(data)
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ mask).to_bytes(size, "big")
