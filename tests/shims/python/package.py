"""What our own package calls the fields of a line."""

import ternmq
from line import Line

# What stories call a property, and what the package calls it.
NAMES = {
    "payload_format": "payload_format",
    "message_expiry": "expiry",
    "content_type": "content_type",
    "response_topic": "response_topic",
    "correlation": "correlation_data",
}


def message_properties(line: Line, prefix: str = "") -> dict[str, object]:
    """The properties of a message or a will as keyword arguments."""
    found: dict[str, object] = {}
    for name, argument in NAMES.items():
        if line.raw(prefix + name) is None:
            continue
        if name in ("payload_format", "message_expiry"):
            found[argument] = line.number(prefix + name)
        elif name == "correlation":
            found[argument] = line.raw(prefix + name)
        else:
            found[argument] = line.text(prefix + name)
    if pairs := line.pairs(prefix + "user"):
        found["user"] = pairs
    return found


def will(line: Line) -> ternmq.Will | None:
    """The will of `connects`."""
    topic = line.text("will_topic")
    if topic is None:
        return None
    return ternmq.Will(
        topic,
        line.raw("will_payload") or b"",
        line.number("will_qos"),
        line.number("will_retain") == 1,
        delay=line.number("will.will_delay"),
        **message_properties(line, "will."),
    )


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
