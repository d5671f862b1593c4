"""Publishers that send as fast as they can to subscribers that read one message in ten, in one thread.

How fast is left to the machine; that there is ten times more than is read is counted, not timed."""

import selectors
import socket
import struct
import time

PAYLOAD = b"x" * 64
BATCH = 500
# PUBLISHes that come in have one of two lengths, by their first byte.
SIZES = {0x30: 75, 0x32: 77}


def text(value):
    return struct.pack("!H", len(value)) + value


def connect(address, client_id):
    """A connection that was let in."""
    sock = socket.socket()
    # What waits here is nothing that the broker has to deal with.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    sock.settimeout(30)
    sock.connect(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = text(b"MQTT") + bytes([4, 2, 0, 0]) + text(client_id)
    sock.sendall(bytes([0x10, len(body)]) + body)
    expect(sock, 4, 0x20)
    return sock


def expect(sock, length, first):
    got = b""
    while len(got) < length:
        more = sock.recv(length - len(got))
        if not more:
            raise ConnectionError("the broker has closed a connection")
        got += more
    if got[0] != first:
        raise ConnectionError(f"not what was expected: {got.hex()}")
    return got


def subscribed(address, client_id, filter_):
    sock = connect(address, client_id)
    body = struct.pack("!H", 1) + text(filter_) + b"\1"
    sock.sendall(bytes([0x82, len(body)]) + body)
    expect(sock, 5, 0x90)
    return sock


def batch(qos):
    packets = []
    for number in range(1, BATCH + 1):
        body = text(b"flood/%d" % qos) + (struct.pack("!H", number) if qos else b"") + PAYLOAD
        packets.append(bytes([0x30 | qos << 1, len(body)]) + body)
    return b"".join(packets)


class Publisher:
    """Sends batches of one QoS; with QoS 1 the next one when the last is acknowledged."""

    def __init__(self, sock, qos):
        sock.setblocking(False)
        self.sock, self.qos, self.batch = sock, qos, memoryview(batch(qos))
        self.at, self.acks, self.sent = 0, 0, 0

    def resting(self):
        """Nothing is begun and unfinished."""
        return self.at == 0 and self.acks == 0

    def go_on(self, may_begin):
        """Writes what the socket takes, and reads acknowledgements."""
        if self.acks:
            got = self.sock.recv(65_536)
            if not got:
                raise ConnectionError("the broker has closed a publisher")
            self.acks -= len(got)
            return
        if self.at or may_begin:
            self.at += self.sock.send(self.batch[self.at :])
        if self.at == len(self.batch):
            self.at, self.sent = 0, self.sent + BATCH
            self.acks = 4 * BATCH * self.qos

    def wants(self):
        return selectors.EVENT_READ if self.acks else selectors.EVENT_WRITE


class Subscriber:
    def __init__(self, sock):
        sock.setblocking(False)
        self.sock, self.got, self.rest = sock, 0, b""

    def read(self):
        """Takes what there is, up to 8 KiB, and acknowledges it; whether there was anything."""
        try:
            more = self.sock.recv(8192)
        except BlockingIOError:
            return False
        if not more:
            raise ConnectionError("the broker has closed a subscriber")
        self.rest += more
        at, acks = 0, bytearray()
        while at < len(self.rest) and at + SIZES[self.rest[at]] <= len(self.rest):
            if self.rest[at] == 0x32:
                acks += b"\x40\x02" + self.rest[at + 11 : at + 13]
            at += SIZES[self.rest[at]]
            self.got += 1
        self.rest = self.rest[at:]
        if acks:
            self.sock.setblocking(True)
            self.sock.sendall(acks)
            self.sock.setblocking(False)
        return True


class Flood:
    def __init__(self, address, publishers=10, subscribers=4):
        self.subscribers = [Subscriber(subscribed(address, b"slow-%d" % n, b"flood/+")) for n in range(subscribers)]
        self.publishers = [Publisher(connect(address, b"flood-%d" % n), n % 2) for n in range(publishers)]
        self.ready = selectors.DefaultSelector()
        for publisher in self.publishers:
            self.ready.register(publisher.sock, selectors.EVENT_WRITE, publisher)

    def sent(self):
        return sum(publisher.sent for publisher in self.publishers)

    def got(self):
        return sum(subscriber.got for subscriber in self.subscribers)

    def turn(self, may_begin):
        """Every publisher that can go on does; subscribers read while they have less than a tenth."""
        for key, _ in self.ready.select(0.01):
            before = key.data.wants()
            try:
                key.data.go_on(may_begin)
            except BlockingIOError:
                pass
            if key.data.wants() != before:
                self.ready.modify(key.fileobj, key.data.wants(), key.data)
        for subscriber in self.subscribers:
            if (subscriber.got + 200) * 10 < self.sent():
                subscriber.read()

    def until(self, over, every=0.1):
        """Goes on until `over()`, which is asked now and then."""
        asked = time.monotonic()
        while True:
            self.turn(True)
            if time.monotonic() - asked >= every:
                asked = time.monotonic()
                if over():
                    return

    def end(self):
        """Finishes what is begun."""
        deadline = time.monotonic() + 60
        while not all(publisher.resting() for publisher in self.publishers):
            if time.monotonic() > deadline:
                raise TimeoutError("publishers were not let finish within a minute")
            self.turn(False)

    def drain(self, dropped):
        """Reads all that comes, until everything is had or counted as dropped; how many copies are neither."""
        deadline, quiet = time.monotonic() + 120, 0
        while time.monotonic() < deadline:
            if any([subscriber.read() for subscriber in self.subscribers]):
                quiet = 0
                continue
            quiet += 1
            selectors_wait([subscriber.sock for subscriber in self.subscribers], 0.05)
            if quiet >= 4:
                left = self.sent() * len(self.subscribers) - self.got() - dropped()
                if left == 0 or quiet >= 100:
                    return left
        raise TimeoutError("not drained within two minutes")

    def close(self):
        for one in (*self.publishers, *self.subscribers):
            one.sock.close()


def selectors_wait(socks, seconds):
    with selectors.DefaultSelector() as ready:
        for sock in socks:
            ready.register(sock, selectors.EVENT_READ)
        ready.select(seconds)


def round_trip(address, name):
    """Milliseconds from connecting until a message of QoS 1 has come back."""
    begun = time.monotonic()
    sock = subscribed(address, name, b"again")
    body = text(b"again") + struct.pack("!H", 9) + b"x"
    sock.sendall(bytes([0x32, len(body)]) + body)
    got = b""
    while body[:7] not in got:
        more = sock.recv(4096)
        if not more:
            raise ConnectionError("the broker has closed a connection")
        got += more
    took = (time.monotonic() - begun) * 1e3
    sock.close()
    return took
