"""The shim of the blocking face, ternmq.blocking.Client; tests/shims/README.md describes the lines."""

import queue
import sys
import threading

import ternmq
from line import Line, answer
from package import message_fields, message_properties, will
from ternmq.blocking import Client, PublishToken, Subscription

# Seconds: shorter than the runner's patience, so that the shim can still say what did not come.
PATIENCE = 10


class Shim:
    def __init__(self) -> None:
        self.client: Client | None = None
        self.version = 5
        self.reconnects = False
        self.subscriptions: dict[tuple[str, ...], Subscription] = {}
        self.inbox: queue.Queue[ternmq.Message] = queue.Queue(1000)
        self.sent: list[PublishToken] = []

    def act(self, line: Line) -> str:
        step = getattr(self, f"do_{line.verb}", None)
        if step is None:
            return answer("failed", ("what", f"unknown verb {line.verb}"))
        try:
            return step(line)
        except (queue.Empty, ternmq.MqttTimeoutError):
            return "nothing"
        except (ternmq.MqttError, ValueError) as error:
            code = getattr(error, "reason_code", None)
            if code is not None and not isinstance(error, ternmq.ConnectionLostError):
                return answer("refused", ("reason", self.on_the_wire(code)))
            return answer("failed", ("what", repr(error)))

    def on_the_wire(self, code: int) -> int:
        """The number that CONNACK had: the client gives the codes of MQTT 5 for all versions."""
        old = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}
        return int(code) if self.version == 5 else old.get(code, int(code))

    def do_connects(self, line: Line) -> str:
        self.version = line.number("version")
        names = ("receive_maximum", "topic_alias_maximum", "maximum_packet_size")
        properties = {name: line.number(name) for name in names if line.raw(name) is not None}
        clean_start = line.number("clean_start", 1) == 1
        self.client = Client(
            f"mqtt://{line.text('host')}:{line.text('port')}",
            client_id=line.text("client_id", ""),
            version=self.version,
            clean_start=clean_start,
            session_expiry=line.number("session_expiry"),
            username=line.text("username"),
            password=line.raw("password"),
            keepalive=line.number("keep_alive", 60),
            will=will(line),
            properties=properties or None,
            # Who keeps a session wants to go on with it.
            reconnect=None if clean_start else ternmq.Backoff(0.01, 0.1),
            timeout=PATIENCE,
            connect_timeout=PATIENCE,
        )
        self.reconnects = not clean_start
        self.client.connect()
        return answer("ok", ("session_present", int(self.client.session_present)))

    def do_reconnects(self, line: Line) -> str:
        self.client.wait_until(True, PATIENCE)
        return answer("ok", ("session_present", int(self.client.session_present)))

    def do_subscribes(self, line: Line) -> str:
        filters = line.filters()
        first = filters[0]
        names = tuple(f["filter"] for f in filters)
        # Every subscription has a queue of its own, and gets what matches: only one is to be heard.
        replaced = self.subscriptions.pop(names, None)
        subscription = self.client.subscribe(
            [(f["filter"], f["qos"]) for f in filters],
            no_local=first.get("no_local") == 1,
            retain_as_published=first.get("retain_as_published") == 1,
            retain_handling=first.get("retain_handling", 0),
            identifier=first.get("subscription_id"),
        )
        self.subscriptions[names] = subscription
        if replaced is not None:
            replaced.unsubscribe()
        threading.Thread(target=self.read, args=(subscription,), daemon=True).start()
        return answer("ok", *(("code", int(code)) for code in subscription.codes))

    def do_unsubscribes(self, line: Line) -> str:
        filters = tuple(f["filter"] for f in line.filters())
        own = self.subscriptions.pop(filters, None)
        codes = self.client.unsubscribe(filters) if own is None else own.unsubscribe()
        return answer("ok", *(("code", int(code)) for code in codes))

    def do_publishes(self, line: Line) -> str:
        result = self.client.publish(*line.message(), **message_properties(line))
        return answer("ok", ("reason", int(result.reason_code)))

    def do_sends(self, line: Line) -> str:
        self.sent.append(self.client.publish_nowait(*line.message(), **message_properties(line)))
        return "ok"

    def do_settles(self, line: Line) -> str:
        for token in self.sent:
            token.wait(PATIENCE)
        self.sent.clear()
        return "ok"

    def do_receives(self, line: Line) -> str:
        return answer("ok", *message_fields(self.inbox.get(timeout=PATIENCE)))

    def do_loses(self, line: Line) -> str:
        if self.reconnects:
            self.client.wait_until(False, PATIENCE)
            return "ok"
        error = self.client.closed(PATIENCE)
        return answer("ok", ("reason", int(error.reason_code or 0) if error else 0))

    def do_disconnects(self, line: Line) -> str:
        self.client.drain()
        self.client.disconnect(line.number("reason"))
        return "ok"

    def read(self, subscription: Subscription) -> None:
        try:
            for message in subscription:
                if subscription in self.subscriptions.values():
                    self.inbox.put(message)
        except ternmq.MqttError:
            pass  # `loses` tells


def main() -> None:
    shim = Shim()
    for text in sys.stdin:
        print(shim.act(Line(text)), flush=True)
    if shim.client is not None:
        shim.client.disconnect()


main()
