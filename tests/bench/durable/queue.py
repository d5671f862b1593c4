#!/usr/bin/env python3
"""Fills a session's queue in a durable server, kills the server, and drains the queue."""

import argparse
import itertools
import json
import os
import pathlib
import selectors
import shutil
import socket
import struct
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = pathlib.Path(__file__).resolve().parents[3]


def text(value):
    return struct.pack("!H", len(value)) + value


def packet(first, body):
    length, out = len(body), bytearray([first])
    while True:
        low, length = length % 128, length // 128
        out.append(low | (0x80 if length else 0))
        if not length:
            return bytes(out) + body


def connect(client_id, clean):
    return packet(0x10, text(b"MQTT") + bytes([4, 2 if clean else 0]) + struct.pack("!H", 0) + text(client_id))


class Server:
    """A process of `ternmq serve`, and what it has used."""

    def __init__(self, program, folder, mode):
        self.command = [program, "serve", "--json", "--config", "ternmq.toml", "--data", "data"]
        self.folder = folder
        config = f'shards = 1\n[[listener]]\naddress = "127.0.0.1:0"\ndurability = "{mode}"\n'
        (folder / "ternmq.toml").write_text(config)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        self.told = set()
        host, port = self.wait_for("listening")["address"].rsplit(":", 1)
        self.address = (host, int(port))

    def wait_for(self, wanted):
        """Reads what the server tells until it tells of this, if it has not so far."""
        if wanted in self.told:
            return None
        for line in self.process.stdout:
            event = json.loads(line)
            self.told.add(event["event"])
            if event["event"] == wanted:
                return event
        raise SystemExit(f"the server has ended before it was {wanted}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.communicate()

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak(self):
        """The largest resident memory in MB, since it was asked for last."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
                return int(line.split()[1]) / 1024
        return 0


def introduced(address, client_id, clean):
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(connect(client_id, clean))
    answer = read_exactly(sock, 4)
    if answer[0] != 0x20 or answer[3]:
        raise SystemExit(f"refused: {answer.hex()}")
    return sock


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise SystemExit("the server has closed the connection")
        data += more
    return data


def queued(window):
    """Batches of messages for the session, all the same."""
    payload = b"x" * 64
    return itertools.repeat(
        b"".join(packet(0x32, text(b"bench/t") + struct.pack("!H", n) + payload) for n in range(1, window + 1))
    )


def retained(window, topics):
    """Batches of retained messages, each with a topic of its own."""
    payload = b"x" * 64
    while True:
        yield b"".join(
            packet(0x33, text(b"kept/%09d" % next(topics)) + struct.pack("!H", n) + payload)
            for n in range(1, window + 1)
        )


def publish(address, total, connections, window, batches):
    """Publishes so many messages, each connection with so many in flight."""
    ready = selectors.DefaultSelector()
    left = {}
    for number in range(connections):
        sock = introduced(address, b"publisher-%d" % number, True)
        left[sock] = [total // connections // window, 0]
        sock.sendall(next(batches))
        ready.register(sock, selectors.EVENT_READ)
    while left:
        for key, _ in ready.select():
            state = left[key.fileobj]
            state[1] += len(key.fileobj.recv(1 << 16))
            # A PUBACK has four bytes.
            if state[1] == 4 * window:
                state[0], state[1] = state[0] - 1, 0
                if state[0]:
                    key.fileobj.sendall(next(batches))
                else:
                    ready.unregister(key.fileobj)
                    key.fileobj.close()
                    del left[key.fileobj]


def drain(sock, total, size):
    """Takes and acknowledges so many messages of this size."""
    got, rest = 0, b""
    while got < total:
        rest += sock.recv(1 << 18)
        acks, at = bytearray(), 0
        while at + size <= len(rest):
            # First byte, length, topic of seven bytes, then the identifier.
            acks += b"\x40\x02" + rest[at + 11 : at + 13]
            at += size
            got += 1
        rest = rest[at:]
        sock.sendall(acks)


def leave_session(address, client_id):
    """Subscribes to what is published, and leaves a session that is away."""
    sock = introduced(address, client_id, False)
    sock.sendall(packet(0x82, struct.pack("!H", 1) + text(b"bench/t") + b"\x01"))
    read_exactly(sock, 5)
    sock.sendall(b"\xe0\x00")
    sock.close()


def measure(options, folder):
    server = Server(options.server.resolve(), folder, options.mode)
    leave_session(server.address, b"away")
    for number in range(options.others):
        leave_session(server.address, b"other-%d" % number)
    step = options.connections * options.window
    total, kept = options.messages // step * step, options.retained // step * step
    if kept:
        publish(server.address, kept, options.connections, options.window, retained(options.window, itertools.count()))
    cpu, begun = server.cpu(), time.monotonic()
    publish(server.address, total, options.connections, options.window, queued(options.window))
    seconds = time.monotonic() - begun
    result = {
        "mode": options.mode,
        "messages": total,
        "acknowledged_per_second": round(total / seconds),
        "server_us_per_message": round((server.cpu() - cpu) / total * 1e6, 3),
        "publishing_peak_mb": round(server.peak(), 1),
        "file_mb": round(sum(f.stat().st_size for f in (folder / "data").iterdir() if f.is_file()) / 2**20, 1),
    }
    # Without durability only what a clean stop writes is there again.
    stops = options.stop or options.mode == "none"
    server.stop() if stops else server.kill()
    begun = time.monotonic()
    server.start()
    sock = introduced(server.address, b"away", False)
    how = "stop" if stops else "kill"
    result[f"connack_after_{how}_s"] = round(time.monotonic() - begun, 3)
    result["cpu_until_connack_s"] = server.cpu()
    if kept:
        server.wait_for("restored")
        result[f"all_there_after_{how}_s"] = round(time.monotonic() - begun, 3)
    cpu, begun = server.cpu(), time.monotonic()
    drain(sock, total, 2 + 9 + 2 + 64)
    result["drained_per_second"] = round(total / (time.monotonic() - begun))
    result["drain_us_per_message"] = round((server.cpu() - cpu) / total * 1e6, 3)
    result["draining_peak_mb"] = round(server.peak(), 1)
    server.kill()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=pathlib.Path, default=ROOT / "target/release/ternmq")
    parser.add_argument("--folder", type=pathlib.Path, help="where the data is to be; beside the program")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--retained", type=int, default=0, help="retained messages that are there beside them")
    parser.add_argument("--others", type=int, default=0, help="sessions beside it that are away, and stay so")
    parser.add_argument("--stop", action="store_true", help="stop the server cleanly instead of killing it")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--window", type=int, default=100, help="messages in flight of each connection")
    parser.add_argument("--mode", choices=["none", "group", "each"], default="group")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parent = options.folder or options.server.resolve().parent
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ternmq-bench-", dir=parent))
    try:
        result = measure(options, folder)
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:26} {value}")


if __name__ == "__main__":
    main()
