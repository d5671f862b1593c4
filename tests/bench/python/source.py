"""Writes messages to a broker as bytes, so that receivers can be measured without another library.

    python source.py PORT TOPIC QOS COUNT SIZE
"""

import socket
import struct
import sys

WINDOW = 20


def packet(first, body):
    length, head = len(body), bytearray([first])
    while True:
        head.append(length % 128 | (128 if length > 127 else 0))
        length //= 128
        if not length:
            return bytes(head) + body


def text(value):
    return struct.pack("!H", len(value)) + value


def exactly(sock, count):
    got = b""
    while len(got) < count:
        more = sock.recv(count - len(got))
        if not more:
            raise SystemExit("the broker has closed the connection")
        got += more
    return got


def main(port, topic, qos, count, size):
    qos, count = int(qos), int(count)
    sock = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x00" + text(b"bench-source")))
    assert exactly(sock, 4)[3] == 0, "refused"
    window = 256 if qos == 0 else WINDOW
    messages = [
        packet(0x30 | qos << 1, text(topic.encode()) + (struct.pack("!H", n + 1) if qos else b"") + b"x" * int(size))
        for n in range(window)
    ]
    while count:
        batch = min(count, window)
        sock.sendall(b"".join(messages[:batch]))
        if qos:
            acks = exactly(sock, 4 * batch)
        if qos == 2:
            sock.sendall(b"".join(b"\x62" + acks[at + 1 : at + 4] for at in range(0, len(acks), 4)))
            exactly(sock, 4 * batch)
        count -= batch
    sock.sendall(b"\xe0\x00")


if __name__ == "__main__":
    main(*sys.argv[1:])
