"""What paho-mqtt calls the fields of a line; aiomqtt has the same objects."""

from line import Line
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

# What stories call a property, paho's attribute for it, and how its value is read.
PROPERTIES = {
    "payload_format": ("PayloadFormatIndicator", lambda v: int(v, 0)),
    "message_expiry": ("MessageExpiryInterval", lambda v: int(v, 0)),
    "content_type": ("ContentType", bytes.decode),
    "response_topic": ("ResponseTopic", bytes.decode),
    "correlation": ("CorrelationData", bytes),
    "subscription_id": ("SubscriptionIdentifier", lambda v: int(v, 0)),
    "session_expiry": ("SessionExpiryInterval", lambda v: int(v, 0)),
    "assigned_client_id": ("AssignedClientIdentifier", bytes.decode),
    "receive_maximum": ("ReceiveMaximum", lambda v: int(v, 0)),
    "topic_alias_maximum": ("TopicAliasMaximum", lambda v: int(v, 0)),
    "maximum_packet_size": ("MaximumPacketSize", lambda v: int(v, 0)),
    "topic_alias": ("TopicAlias", lambda v: int(v, 0)),
    "will_delay": ("WillDelayInterval", lambda v: int(v, 0)),
    "user": ("UserProperty", lambda v: tuple(v.decode().partition(":")[::2])),
}


def options(request: dict) -> SubscribeOptions:
    """The options of one filter of `subscribes`, in MQTT 5."""
    return SubscribeOptions(
        request["qos"],
        noLocal=request.get("no_local") == 1,
        retainAsPublished=request.get("retain_as_published") == 1,
        retainHandling=request.get("retain_handling", 0),
    )


def properties(line: Line, packet: int, prefix: str = "") -> Properties:
    """The properties of a line for a packet of that type."""
    found = Properties(packet)
    for name, value in line.fields:
        attribute, read = PROPERTIES.get(name.removeprefix(prefix), (None, None))
        if attribute is not None and name.startswith(prefix):
            setattr(found, attribute, read(value))
    return found


def property_fields(found: Properties | None) -> list[tuple[str, object]]:
    """Properties that came, as the fields of an answer."""
    fields: list[tuple[str, object]] = []
    for name, (attribute, _) in PROPERTIES.items():
        value = getattr(found, attribute, None)
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            fields.append((name, ":".join(one) if name == "user" else one))
    return fields
