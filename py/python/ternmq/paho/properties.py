"""Properties of MQTT 5: an attribute each, named as in the standard without the spaces."""

import struct
from typing import Any

from .exception import MalformedPacket, MQTTException
from .packettypes import PacketTypes as P

__all__ = ["MQTTException", "MalformedPacket", "PacketTypes", "Properties", "VariableByteIntegers"]

PacketTypes = P

_BYTE, _TWO, _FOUR, _VARIABLE, _BINARY, _TEXT, _PAIR = range(7)
_WILL = P.WILLMESSAGE
_ANY = [*(t for t in P.indexes if t not in (P.PINGREQ, P.PINGRESP)), _WILL]
_REASONED = [
    P.CONNACK, P.PUBACK, P.PUBREC, P.PUBREL, P.PUBCOMP, P.SUBACK, P.UNSUBACK, P.DISCONNECT, P.AUTH,
]

# Name: identifier, type, and where it may stand (section 2.2.2.2 of the standard).
_TABLE: dict[str, tuple[int, int, list[int]]] = {
    "Payload Format Indicator": (1, _BYTE, [P.PUBLISH, _WILL]),
    "Message Expiry Interval": (2, _FOUR, [P.PUBLISH, _WILL]),
    "Content Type": (3, _TEXT, [P.PUBLISH, _WILL]),
    "Response Topic": (8, _TEXT, [P.PUBLISH, _WILL]),
    "Correlation Data": (9, _BINARY, [P.PUBLISH, _WILL]),
    "Subscription Identifier": (11, _VARIABLE, [P.PUBLISH, P.SUBSCRIBE]),
    "Session Expiry Interval": (17, _FOUR, [P.CONNECT, P.CONNACK, P.DISCONNECT]),
    "Assigned Client Identifier": (18, _TEXT, [P.CONNACK]),
    "Server Keep Alive": (19, _TWO, [P.CONNACK]),
    "Authentication Method": (21, _TEXT, [P.CONNECT, P.CONNACK, P.AUTH]),
    "Authentication Data": (22, _BINARY, [P.CONNECT, P.CONNACK, P.AUTH]),
    "Request Problem Information": (23, _BYTE, [P.CONNECT]),
    "Will Delay Interval": (24, _FOUR, [_WILL]),
    "Request Response Information": (25, _BYTE, [P.CONNECT]),
    "Response Information": (26, _TEXT, [P.CONNACK]),
    "Server Reference": (28, _TEXT, [P.CONNACK, P.DISCONNECT]),
    "Reason String": (31, _TEXT, _REASONED),
    "Receive Maximum": (33, _TWO, [P.CONNECT, P.CONNACK]),
    "Topic Alias Maximum": (34, _TWO, [P.CONNECT, P.CONNACK]),
    "Topic Alias": (35, _TWO, [P.PUBLISH]),
    "Maximum QoS": (36, _BYTE, [P.CONNACK]),
    "Retain Available": (37, _BYTE, [P.CONNACK]),
    "User Property": (38, _PAIR, _ANY),
    "Maximum Packet Size": (39, _FOUR, [P.CONNECT, P.CONNACK]),
    "Wildcard Subscription Available": (40, _BYTE, [P.CONNACK]),
    "Subscription Identifier Available": (41, _BYTE, [P.CONNACK]),
    "Shared Subscription Available": (42, _BYTE, [P.CONNACK]),
}
_NAMES = {name: number for name, (number, _, _) in _TABLE.items()}
_PLACES = {number: (kind, places) for number, kind, places in _TABLE.values()}
_IDENTIFIERS = {name.replace(" ", ""): number for name, number in _NAMES.items()}
_ATTRIBUTES = {number: name for name, number in _IDENTIFIERS.items()}
_FULL_NAMES = {number: name for name, number in _NAMES.items()}
# What the native part calls an attribute, and back.
_NATIVE = {name.replace(" ", ""): name.lower().replace(" ", "_") for name in _NAMES}
_FROM_NATIVE = {native: attribute for attribute, native in _NATIVE.items()}
_OWN = ("packetType", "types", "names", "properties")
_FLAGS = ("RequestResponseInformation", "RequestProblemInformation", "PayloadFormatIndicator")
_NOT_ZERO = {"ReceiveMaximum": 65535, "TopicAlias": 65535, "MaximumPacketSize": 268435455}


class VariableByteIntegers:
    """Variable Byte Integers (section 1.5.5)."""

    @staticmethod
    def encode(x: int) -> bytes:
        """A number as one to four bytes."""
        if not 0 <= x <= 268435455:
            raise ValueError("a Variable Byte Integer is from 0 to 268435455")
        out = bytearray()
        while True:
            x, low = x >> 7, x & 0x7F
            out.append(low | (0x80 if x else 0))
            if not x:
                return bytes(out)

    @staticmethod
    def decode(buffer: bytes | bytearray) -> tuple[int, int]:
        """The number at the start, and how many bytes it takes."""
        value = 0
        for place, byte in enumerate(buffer[:4]):
            value |= (byte & 0x7F) << 7 * place
            if not byte & 0x80:
                return value, place + 1
        raise MalformedPacket("not a Variable Byte Integer")


class Properties:
    """The properties of one packet: `p = Properties(PacketTypes.PUBLISH); p.ContentType = "x"`.

    Assigning to `UserProperty` or `SubscriptionIdentifier` adds to those that are there.
    """

    packetType: int
    types = [
        "Byte",
        "Two Byte Integer",
        "Four Byte Integer",
        "Variable Byte Integer",
        "Binary Data",
        "UTF-8 Encoded String",
        "UTF-8 String Pair",
    ]
    names = _NAMES
    properties = _PLACES

    def __init__(self, packetType: int) -> None:
        object.__setattr__(self, "packetType", packetType)

    def allowsMultiple(self, compressedName: str) -> bool:
        """Whether a packet may have several of it."""
        return self.getIdentFromName(compressedName) in (11, 38)

    def getIdentFromName(self, compressedName: str) -> int:
        """The identifier of an attribute, -1 for none."""
        return _IDENTIFIERS.get(compressedName, -1)

    def getNameFromIdent(self, identifier: int) -> str | None:
        """The name in the standard, None for none."""
        return _FULL_NAMES.get(identifier)

    def __setattr__(self, name: str, value: Any) -> None:
        name = name.replace(" ", "")
        if name in _OWN:
            object.__setattr__(self, name, value)
            return
        number = _IDENTIFIERS.get(name)
        if number is None:
            raise MQTTException(f"{name} is no property; they are {', '.join(_IDENTIFIERS)}")
        if self.packetType not in _PLACES[number][1]:
            raise MQTTException(f"{name} is no property of {_packet_name(self.packetType)}")
        most = _NOT_ZERO.get(name)
        if most is not None and not 1 <= value <= most:
            raise MQTTException(f"{name} must be from 1 to {most}")
        if name in _FLAGS and value not in (0, 1):
            raise MQTTException(f"{name} must be 0 or 1")
        if number in (11, 38):
            value = [*self.__dict__.get(name, ()), *(value if isinstance(value, list) else [value])]
        object.__setattr__(self, name, value)

    def _present(self) -> list[tuple[int, str]]:
        there = self.__dict__
        return [(number, name) for number, name in _ATTRIBUTES.items() if name in there]

    def __str__(self) -> str:
        return "[" + ", ".join(f"{name} : {getattr(self, name)}" for _, name in self._present()) + "]"

    def json(self) -> dict[str, Any]:
        """The properties by name; Correlation Data in hexadecimal digits."""
        values = ((name, getattr(self, name)) for _, name in self._present())
        return {name: value.hex() if isinstance(value, bytes) else value for name, value in values}

    def isEmpty(self) -> bool:
        """Whether there are none."""
        return not self._present()

    def clear(self) -> None:
        """Removes all."""
        for _, name in self._present():
            delattr(self, name)

    def writeProperty(self, identifier: int, type: int, value: Any) -> bytes:
        """One property as it stands in a packet."""
        return VariableByteIntegers.encode(identifier) + _encode(type, value)

    def pack(self) -> bytes:
        """All of them as they stand in a packet, with the length in front."""
        body = b""
        for number, name in self._present():
            value = getattr(self, name)
            for one in value if isinstance(value, list) else [value]:
                body += self.writeProperty(number, _PLACES[number][0], one)
        return VariableByteIntegers.encode(len(body)) + body

    def readProperty(self, buffer: bytes, type: int, propslen: int) -> tuple[Any, int]:
        """The value at the start, of `propslen` bytes that are left, and how many it takes."""
        return _decode(buffer[:propslen], type)

    def unpack(self, buffer: bytes) -> tuple["Properties", int]:
        """Reads what `pack` writes; returns itself, and how many bytes that were."""
        self.clear()
        length, start = VariableByteIntegers.decode(buffer)
        body = bytes(buffer[start : start + length])
        if len(body) < length:
            raise MalformedPacket("the properties end early")
        while body:
            number, size = VariableByteIntegers.decode(body)
            if number not in _PLACES:
                raise MalformedPacket(f"{number} is no property")
            body = body[size:]
            value, size = self.readProperty(body, _PLACES[number][0], len(body))
            body = body[size:]
            name = _ATTRIBUTES[number]
            if name in self.__dict__ and number not in (11, 38):
                raise MQTTException(f"{name} must not exist more than once")
            setattr(self, name, value)
        return self, start + length


def readInt16(buf: bytes) -> int:
    """A Two Byte Integer."""
    return int(struct.unpack("!H", buf[:2])[0])


def readInt32(buf: bytes) -> int:
    """A Four Byte Integer."""
    return int(struct.unpack("!L", buf[:4])[0])


def writeInt16(length: int) -> bytearray:
    """A Two Byte Integer."""
    return bytearray(struct.pack("!H", length))


def writeInt32(length: int) -> bytearray:
    """A Four Byte Integer."""
    return bytearray(struct.pack("!L", length))


def readBytes(buffer: bytes, maxlen: int) -> tuple[bytes, int]:
    """Binary Data within `maxlen` bytes, and how many bytes it takes."""
    if maxlen < 2:
        raise MalformedPacket("the length of binary data is missing")
    length = readInt16(buffer)
    if length > maxlen - 2:
        raise MalformedPacket("binary data that ends early")
    return buffer[2 : 2 + length], 2 + length


def writeBytes(buffer: bytes) -> bytearray:
    """Binary Data."""
    return writeInt16(len(buffer)) + buffer


def readUTF(buffer: bytes, maxlen: int) -> tuple[str, int]:
    """Text within `maxlen` bytes, and how many bytes it takes."""
    data, size = readBytes(buffer, maxlen)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPacket("text that is not UTF-8") from error
    # Surrogates are refused by decoding already.
    if "\0" in text:
        raise MalformedPacket("text with a null character")
    return text, size


def writeUTF(data: str | bytes) -> bytearray:
    """Text."""
    return writeBytes(data if isinstance(data, bytes) else data.encode("utf-8"))


def _encode(kind: int, value: Any) -> bytes:
    if kind == _BYTE:
        return bytes([value])
    if kind == _TWO:
        return bytes(writeInt16(value))
    if kind == _FOUR:
        return bytes(writeInt32(value))
    if kind == _VARIABLE:
        return VariableByteIntegers.encode(value)
    if kind == _BINARY:
        return bytes(writeBytes(value.encode("utf-8") if isinstance(value, str) else value))
    if kind == _TEXT:
        return bytes(writeUTF(value))
    return bytes(writeUTF(value[0]) + writeUTF(value[1]))


def _decode(buffer: bytes, kind: int) -> tuple[Any, int]:
    sizes = {_BYTE: 1, _TWO: 2, _FOUR: 4}
    if len(buffer) < sizes.get(kind, 0):
        raise MalformedPacket("a property that ends early")
    if kind == _BYTE:
        return buffer[0], 1
    if kind == _TWO:
        return readInt16(buffer), 2
    if kind == _FOUR:
        return readInt32(buffer), 4
    if kind == _VARIABLE:
        return VariableByteIntegers.decode(buffer)
    if kind == _BINARY:
        return readBytes(buffer, len(buffer))
    text, size = readUTF(buffer, len(buffer))
    if kind == _TEXT:
        return text, size
    value, more = readUTF(buffer[size:], len(buffer) - size)
    return (text, value), size + more


def _packet_name(packet_type: int) -> str:
    return "a will" if packet_type == _WILL else P.Names[packet_type]


def _of_message(found: dict[str, Any]) -> Properties:
    return of_native(P.PUBLISH, found)


def of_native(packet_type: int, found: dict[str, Any] | None) -> Properties:
    """Properties as the native part gives them."""
    made = Properties(packet_type)
    for native, value in (found or {}).items():
        object.__setattr__(made, _FROM_NATIVE[native], value)
    return made


def to_native(given: Properties | None, *, alias: bool = False) -> dict[str, Any] | None:
    """Properties as the native part takes them, without Topic Alias unless `alias` is set."""
    if given is None:
        return None
    found: dict[str, Any] = {}
    for _, name in given._present():
        value = getattr(given, name)
        if name == "SubscriptionIdentifier":
            value = value[-1]
        if name != "TopicAlias" or alias:
            found[_NATIVE[name]] = value
    return found or None
