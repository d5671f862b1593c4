"""The lines of a story in and out; tests/shims/README.md describes them."""

import urllib.parse

import ternmq

# What stories call a property, and what the package calls it.
NAMES = {
    "payload_format": "payload_format",
    "message_expiry": "expiry",
    "content_type": "content_type",
    "response_topic": "response_topic",
    "correlation": "correlation_data",
}


class Line:
    """A word, and fields in order; a value is bytes."""

    def __init__(self, text: str) -> None:
        verb, *parts = text.split()
        self.verb = verb
        self.fields = [
            (name, urllib.parse.unquote_to_bytes(value))
            for name, _, value in (part.partition("=") for part in parts)
        ]

    def raw(self, name: str) -> bytes | None:
        return next((value for key, value in self.fields if key == name), None)

    def text(self, name: str, otherwise: str | None = None) -> str | None:
        value = self.raw(name)
        return otherwise if value is None else value.decode()

    def number(self, name: str, otherwise: int = 0) -> int:
        value = self.raw(name)
        return otherwise if value is None else int(value, 0)

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Every `name=key:value`, as pairs."""
        found = (value.decode() for key, value in self.fields if key == name)
        return [(key, value) for key, _, value in (pair.partition(":") for pair in found)]

    def message_properties(self, prefix: str = "") -> dict[str, object]:
        """The properties of a message or a will as keyword arguments."""
        found: dict[str, object] = {}
        for name, argument in NAMES.items():
            if self.raw(prefix + name) is None:
                continue
            if name in ("payload_format", "message_expiry"):
                found[argument] = self.number(prefix + name)
            elif name == "correlation":
                found[argument] = self.raw(prefix + name)
            else:
                found[argument] = self.text(prefix + name)
        if pairs := self.pairs(prefix + "user"):
            found["user"] = pairs
        return found

    def message(self) -> tuple[str, bytes, int, bool]:
        """Topic, payload, QoS and RETAIN."""
        retain = self.number("retain") == 1
        return self.text("topic", ""), self.raw("payload") or b"", self.number("qos"), retain

    def will(self) -> ternmq.Will | None:
        """The will of `connects`."""
        topic = self.text("will_topic")
        if topic is None:
            return None
        return ternmq.Will(
            topic,
            self.raw("will_payload") or b"",
            self.number("will_qos"),
            self.number("will_retain") == 1,
            delay=self.number("will.will_delay"),
            **self.message_properties("will."),
        )

    def filters(self) -> list[dict[str, object]]:
        """The filters of `subscribes`, each with the fields that follow it."""
        found: list[dict[str, object]] = []
        for name, value in self.fields:
            if name == "filter":
                found.append({"filter": value.decode(), "qos": 0})
            elif found:
                found[-1][name] = int(value, 0)
        return found


def answer(word: str, *fields: tuple[str, object]) -> str:
    """An outcome as it is written."""
    return " ".join([word, *(f"{name}={_escape(value)}" for name, value in fields)])


def message_fields(message) -> list[tuple[str, object]]:
    """What `receives` answers with."""
    fields: list[tuple[str, object]] = [
        ("topic", message.topic),
        ("payload", message.payload),
        ("qos", message.qos),
        ("retain", int(message.retain)),
        ("dup", int(message.dup)),
    ]
    fields += [("subscription_id", n) for n in message.subscription_ids]
    for name, attribute in NAMES.items():
        value = getattr(message, attribute)
        if value is not None:
            fields.append((name, value))
    return fields + [("user", f"{key}:{value}") for key, value in message.user]


def _escape(value: object) -> str:
    data = value if isinstance(value, bytes) else str(value).encode()
    return urllib.parse.quote_from_bytes(data, safe="/$+#:!*()'&=?@[]{},;<>|")
