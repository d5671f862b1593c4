"""What the packet parts raise."""


class MQTTException(Exception):
    """A property or an option that the packet cannot have."""


class MalformedPacket(MQTTException):
    """Bytes that are no packet."""
