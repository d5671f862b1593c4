"""mosquitto_pub and mosquitto_sub as one client: a subscription is a process, and so is a message."""

import signal
import subprocess
from collections import deque
from typing import Any

from actors import Actor, Answer, Lines

VERSIONS = {3: "mqttv31", 4: "mqttv311", 5: "mqttv5"}

# What stories call a property, mosquitto's name for it, and what prints it.
PROPERTIES = {
    "payload_format": ("payload-format-indicator", "%F"),
    "message_expiry": ("message-expiry-interval", "%E"),
    "content_type": ("content-type", "%C"),
    "response_topic": ("response-topic", "%R"),
    "correlation": ("correlation-data", "%D"),
    "subscription_id": ("subscription-identifier", "%S"),
    "topic_alias": ("topic-alias", None),
    "will_delay": ("will-delay-interval", None),
    "user": ("user-property", "%P"),
}
PRINTED = [name for name, (_, sign) in PROPERTIES.items() if sign]
MESSAGE = b"message\t"
FORMAT = r"message\t%t\t%q\t%r\t%x" + "".join(rf"\t{PROPERTIES[name][1]}" for name in PRINTED)


class Mosquitto(Actor):
    """`connects` takes effect with the subscription: mosquitto_sub does both."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.options: list[str] = []
        self.subscription: subprocess.Popen | None = None
        self.lines: Lines | None = None
        # Messages that came before an answer.
        self.inbox: deque[bytes] = deque()

    def step(self, verb: str, **fields: Any) -> Answer:
        return getattr(self, f"do_{verb}")(fields)

    def resumes(self, filter: str, **fields: Any) -> Answer:
        super().resumes(filter, **fields)
        return self.subscribes(filter)

    def do_connects(self, fields: dict[str, Any]) -> Answer:
        self.client_id = fields["client_id"]
        self.options = ["-k", str(fields.get("keep_alive", 60))]
        if "username" in fields:
            self.options += ["-u", fields["username"], "-P", fields["password"]]
        if fields.get("clean_start", 1) == 0:
            self.options.append("-c")
        if "session_expiry" in fields:
            self.options += ["-x", str(fields["session_expiry"])]
        if "will_topic" in fields:
            self.options += [
                "--will-topic", fields["will_topic"], "--will-payload", fields["will_payload"],
                "--will-qos", str(fields.get("will_qos", 0)),
            ]  # fmt: skip
            self.options += ["--will-retain"] if fields.get("will_retain") else []
            self.options += properties("will", fields, "will__")
        self.options += properties("connect", fields)
        return Answer("ok", [])

    def do_subscribes(self, fields: dict[str, Any]) -> Answer:
        # Line by line, which it does by itself only on a terminal; -d tells of its packets.
        self.subscription = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", *self.common(), *self.options, "-i", self.client_id,
             "-d", "-F", FORMAT, "-q", str(fields["qos"]), "-t", fields["filter"],
             *(["--retain-as-published"] if fields.get("retain_as_published") else []),
             *(["-U", fields["instead_of"]] if "instead_of" in fields else []),
             *properties("subscribe", fields)],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.lines = Lines(self.subscription)
        said = self.until(b"Subscribed ")
        return Answer("ok", [("code", said.rpartition(b": ")[2].strip())])

    def do_publishes(self, fields: dict[str, Any]) -> Answer:
        payload = fields["payload"]
        payload = payload if isinstance(payload, bytes) else str(payload).encode()
        said = subprocess.run(
            ["mosquitto_pub", *self.common(), "-i", f"{self.client_id}-pub", "-d",
             "-q", str(fields["qos"]), "-t", fields["topic"], "-s" if payload else "-n",
             *(["-r"] if fields.get("retain") else []), *properties("publish", fields)],
            input=payload, stdout=subprocess.PIPE, timeout=20, check=True,
        ).stdout  # fmt: skip
        # `Client ID received PUBACK (Mid: 1, RC:16)`
        acknowledged = said.partition(b" received PUBACK (")[2].partition(b"RC:")[2]
        code = acknowledged.partition(b")")[0]
        return Answer("ok", [("reason", code)] if code and self.version == 5 else [])

    do_sends = do_publishes

    def do_settles(self, fields: dict[str, Any]) -> Answer:
        return Answer("ok", [])

    def do_receives(self, fields: dict[str, Any]) -> Answer:
        text = self.inbox.popleft() if self.inbox else self.until(MESSAGE)
        topic, qos, retain, payload, *values = text[:-1].split(b"\t")[1:]
        came = [("topic", topic), ("qos", qos), ("retain", retain)]
        came.append(("payload", bytes.fromhex(payload.decode())))
        for name, value in zip(PRINTED, values, strict=True):
            # Several of them are printed with a space between.
            several = name in ("user", "subscription_id")
            came += [(name, one) for one in (value.split() if several else [value]) if one]
        return Answer("ok", came)

    def do_disconnects(self, fields: dict[str, Any]) -> Answer:
        if self.subscription is not None:
            self.subscription.send_signal(signal.SIGTERM)
            self.subscription.wait(timeout=20)
            self.lines.close()
            self.subscription = None
        return Answer("ok", [])

    def dies(self) -> None:
        if self.subscription is not None:
            self.subscription.kill()
            self.subscription.wait()
            self.lines.close()
            self.subscription = None

    def until(self, beginning: bytes) -> bytes:
        while not (text := self.lines.take()).startswith(beginning):
            if text.startswith(MESSAGE):
                self.inbox.append(text)
        return text

    def common(self) -> list[str]:
        port = str(self.broker.port)
        return ["-h", self.broker.host, "-p", port, "-V", VERSIONS[self.version]]


def properties(packet: str, fields: dict[str, Any], prefix: str = "") -> list[str]:
    """The properties among the fields as options of the programs."""
    options: list[str] = []
    for name, value in fields.items():
        known = PROPERTIES.get(name.removeprefix(prefix))
        if known is None or not name.startswith(prefix):
            continue
        for one in value if isinstance(value, list) else [value]:
            words = one.split(":") if name == "user" else [str(one)]
            options += ["-D", packet, known[0], *words]
    return options
