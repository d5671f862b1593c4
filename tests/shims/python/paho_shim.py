"""The shim of paho-mqtt, a client of another make, and with `--ternmq` of `ternmq.paho` in its place;
tests/shims/README.md describes the lines."""

import queue
import sys

if "--ternmq" in sys.argv[1:]:
    # Before the first import of paho, also of those in `paho_fields`.
    import ternmq.paho

    ternmq.paho.install()

import paho.mqtt.client as mqtt
from line import Line, answer
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from paho_fields import options, properties, property_fields

# Seconds: shorter than the runner's patience, so that the shim can still say what did not come.
PATIENCE = 10


class Shim:
    def __init__(self) -> None:
        self.client: mqtt.Client | None = None
        self.version = 4
        # What came of connecting: what CONNACK has, or None for an end without one.
        self.connects: queue.Queue = queue.Queue(10)
        self.answers: queue.Queue = queue.Queue(10)
        self.losses: queue.Queue = queue.Queue(10)
        self.inbox: queue.Queue = queue.Queue(1000)
        self.sent: list[mqtt.MQTTMessageInfo] = []
        # By packet id, of what was published and not asked for yet.
        self.reasons: dict[int, mqtt.ReasonCode] = {}

    def act(self, line: Line) -> str:
        step = getattr(self, f"do_{line.verb}", None)
        if step is None:
            return answer("failed", ("what", f"unknown verb {line.verb}"))
        try:
            return step(line)
        except queue.Empty:
            return "nothing"
        except (ValueError, RuntimeError, OSError) as error:
            return answer("failed", ("what", repr(error)))

    def do_connects(self, line: Line) -> str:
        self.version = line.number("version")
        clean = line.number("clean_start", 1) == 1
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            line.text("client_id", ""),
            clean_session=None if self.version == 5 else clean,
            protocol=self.version,
            reconnect_on_failure=False,
        )
        client.on_connect = lambda c, u, flags, code, p: self.connects.put((flags, code, p))
        client.on_disconnect = lambda c, u, flags, code, p: self.lost(code)
        client.on_message = lambda c, u, message: self.inbox.put(message)
        client.on_subscribe = lambda c, u, mid, codes, p: self.answers.put(codes)
        client.on_unsubscribe = lambda c, u, mid, codes, p: self.answers.put(codes)
        client.on_publish = lambda c, u, mid, code, p: self.reasons.__setitem__(mid, code)
        if line.raw("username") is not None:
            client.username_pw_set(line.text("username"), line.raw("password"))
        if line.raw("will_topic") is not None:
            client.will_set(
                line.text("will_topic"),
                line.raw("will_payload"),
                line.number("will_qos"),
                line.number("will_retain") == 1,
                self.properties(line, PacketTypes.WILLMESSAGE, "will."),
            )
        options = {}
        if self.version == 5:
            options = {
                "clean_start": clean,
                "properties": self.properties(line, PacketTypes.CONNECT),
            }
        client.connect(
            line.text("host"), line.number("port"), line.number("keep_alive", 60), **options
        )
        return self.connected()

    def do_reconnects(self, line: Line) -> str:
        self.client.loop_stop()
        self.connects = queue.Queue(10)
        self.client.reconnect()
        return self.connected()

    def connected(self) -> str:
        self.client.loop_start()
        connack = self.connects.get(timeout=PATIENCE)
        if connack is None:
            return answer("failed", ("reason", self.losses.get(timeout=PATIENCE).value))
        flags, code, received = connack
        if code.is_failure:
            return answer("refused", ("reason", self.on_the_wire(code.value)))
        fields = property_fields(received) if self.version == 5 else []
        return answer("ok", ("session_present", int(flags.session_present)), *fields)

    def lost(self, code: mqtt.ReasonCode) -> None:
        self.losses.put(code)
        self.connects.put(None)

    def on_the_wire(self, code: int) -> int:
        """The number that CONNACK had: callbacks get the codes of MQTT 5 for all versions."""
        old = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}
        return code if self.version == 5 else old.get(code, code)

    def do_subscribes(self, line: Line) -> str:
        filters = [(f["filter"], self.options(f)) for f in line.filters()]
        self.client.subscribe(filters, properties=self.properties(line, PacketTypes.SUBSCRIBE))
        return self.codes()

    def do_unsubscribes(self, line: Line) -> str:
        self.client.unsubscribe([f["filter"] for f in line.filters()])
        return self.codes()

    def do_publishes(self, line: Line) -> str:
        info = self.publish(line)
        info.wait_for_publish(PATIENCE)
        if not info.is_published():
            return "nothing"
        # The callback comes before the wait ends.
        reason = self.reasons.pop(info.mid, None)
        if self.version == 5 and line.number("qos") > 0:
            return answer("ok", ("reason", reason.value))
        return "ok"

    def do_sends(self, line: Line) -> str:
        self.sent.append(self.publish(line))
        return "ok"

    def do_settles(self, line: Line) -> str:
        for info in self.sent:
            info.wait_for_publish(PATIENCE)
            self.reasons.pop(info.mid, None)
        done = all(info.is_published() for info in self.sent)
        self.sent.clear()
        return "ok" if done else "nothing"

    def do_receives(self, line: Line) -> str:
        message = self.inbox.get(timeout=PATIENCE)
        fields = [
            ("topic", message.topic),
            ("payload", message.payload),
            ("qos", message.qos),
            ("retain", int(message.retain)),
            ("dup", int(message.dup)),
        ]
        if self.version == 5:
            fields += property_fields(message.properties)
        return answer("ok", *fields)

    def do_loses(self, line: Line) -> str:
        return answer("ok", ("reason", self.losses.get(timeout=PATIENCE).value))

    def do_disconnects(self, line: Line) -> str:
        if self.version == 5:
            reason = mqtt.ReasonCode(PacketTypes.DISCONNECT, identifier=line.number("reason"))
            self.client.disconnect(reason, properties(line, PacketTypes.DISCONNECT))
        else:
            self.client.disconnect()
        self.losses.get(timeout=PATIENCE)
        self.client.loop_stop()
        return "ok"

    def publish(self, line: Line) -> mqtt.MQTTMessageInfo:
        return self.client.publish(
            line.text("topic"),
            line.raw("payload"),
            line.number("qos"),
            line.number("retain") == 1,
            self.properties(line, PacketTypes.PUBLISH),
        )

    def codes(self) -> str:
        codes = self.answers.get(timeout=PATIENCE)
        return answer("ok", *(("code", code.value) for code in codes))

    def options(self, request: dict) -> int | SubscribeOptions:
        return options(request) if self.version == 5 else request["qos"]

    def properties(self, line: Line, packet: int, prefix: str = "") -> Properties | None:
        return properties(line, packet, prefix) if self.version == 5 else None


shim = Shim()
for text in sys.stdin:
    line = Line(text)
    if line.verb == "connects":
        shim = Shim()
    print(shim.act(line), flush=True)
if shim.client is not None:
    shim.client.disconnect()
    shim.client.loop_stop()
