"""Reason codes of MQTT 5, by number and by name."""

import functools
import warnings
from types import MappingProxyType
from typing import Any

from .packettypes import PacketTypes as P

_ANSWERS = [P.CONNACK, P.PUBACK, P.PUBREC, P.SUBACK, P.UNSUBACK, P.DISCONNECT]
_ENDS = [P.CONNACK, P.DISCONNECT]
_PUBLISHED = [P.PUBACK, P.PUBREC]
_SUBSCRIBED = [P.SUBACK, P.DISCONNECT]

# Number: name, and where it may stand (section 2.4 of the standard).
_NAMES: dict[int, dict[str, list[int]]] = {
    0: {
        "Success": [P.CONNACK, P.PUBACK, P.PUBREC, P.PUBREL, P.PUBCOMP, P.UNSUBACK, P.AUTH],
        "Normal disconnection": [P.DISCONNECT],
        "Granted QoS 0": [P.SUBACK],
    },
    1: {"Granted QoS 1": [P.SUBACK]},
    2: {"Granted QoS 2": [P.SUBACK]},
    4: {"Disconnect with will message": [P.DISCONNECT]},
    16: {"No matching subscribers": _PUBLISHED},
    17: {"No subscription found": [P.UNSUBACK]},
    24: {"Continue authentication": [P.AUTH]},
    25: {"Re-authenticate": [P.AUTH]},
    128: {"Unspecified error": _ANSWERS},
    129: {"Malformed packet": _ENDS},
    130: {"Protocol error": _ENDS},
    131: {"Implementation specific error": _ANSWERS},
    132: {"Unsupported protocol version": [P.CONNACK]},
    133: {"Client identifier not valid": [P.CONNACK]},
    134: {"Bad user name or password": [P.CONNACK]},
    135: {"Not authorized": _ANSWERS},
    136: {"Server unavailable": [P.CONNACK]},
    137: {"Server busy": _ENDS},
    138: {"Banned": [P.CONNACK]},
    139: {"Server shutting down": [P.DISCONNECT]},
    140: {"Bad authentication method": _ENDS},
    141: {"Keep alive timeout": [P.DISCONNECT]},
    142: {"Session taken over": [P.DISCONNECT]},
    143: {"Topic filter invalid": [P.SUBACK, P.UNSUBACK, P.DISCONNECT]},
    144: {"Topic name invalid": [P.CONNACK, P.PUBACK, P.PUBREC, P.DISCONNECT]},
    145: {"Packet identifier in use": [P.PUBACK, P.PUBREC, P.SUBACK, P.UNSUBACK]},
    146: {"Packet identifier not found": [P.PUBREL, P.PUBCOMP]},
    147: {"Receive maximum exceeded": [P.DISCONNECT]},
    148: {"Topic alias invalid": [P.DISCONNECT]},
    149: {"Packet too large": _ENDS},
    150: {"Message rate too high": [P.DISCONNECT]},
    151: {"Quota exceeded": [P.CONNACK, P.PUBACK, P.PUBREC, P.SUBACK, P.DISCONNECT]},
    152: {"Administrative action": [P.DISCONNECT]},
    153: {"Payload format invalid": [P.PUBACK, P.PUBREC, P.DISCONNECT]},
    154: {"Retain not supported": _ENDS},
    155: {"QoS not supported": _ENDS},
    156: {"Use another server": _ENDS},
    157: {"Server moved": _ENDS},
    158: {"Shared subscription not supported": _SUBSCRIBED},
    159: {"Connection rate exceeded": _ENDS},
    160: {"Maximum connect time": [P.DISCONNECT]},
    161: {"Subscription identifiers not supported": _SUBSCRIBED},
    162: {"Wildcard subscription not supported": _SUBSCRIBED},
}


@functools.total_ordering
class ReasonCode:
    """A reason code of one packet type. Equal to its number and to its name."""

    names = MappingProxyType(_NAMES)

    def __init__(self, packetType: int, aName: str = "Success", identifier: int = -1) -> None:
        self.packetType = packetType
        self.value = 0
        if identifier == -1:
            if packetType == P.DISCONNECT and aName == "Success":
                aName = "Normal disconnection"
            self.set(aName)
        else:
            self.value = identifier
            self.getName()

    def __getName__(self, packetType: int, identifier: int) -> str:
        found = [name for name, places in self.names[identifier].items() if packetType in places]
        if len(found) != 1:
            raise KeyError(f"{identifier} is no reason code of {P.Names[packetType]}")
        return found[0]

    def getId(self, name: str) -> int:
        """The number of a name, for this packet type."""
        for code, names in self.names.items():
            if self.packetType in names.get(name, ()):
                return code
        raise KeyError(f"Reason code name not found: {name}")

    def set(self, name: str) -> None:
        """Becomes the code of that name."""
        self.value = self.getId(name)

    def unpack(self, buffer: bytes | bytearray) -> int:
        """Reads the byte; returns how many bytes that were."""
        self.value = buffer[0]
        self.getName()
        return 1

    def getName(self) -> str:
        """The name in the standard."""
        return self.__getName__(self.packetType, self.value)

    def json(self) -> str:
        """The name."""
        return self.getName()

    def pack(self) -> bytearray:
        """The byte."""
        return bytearray([self.value])

    @property
    def is_failure(self) -> bool:
        """Whether it says that something was not done."""
        return self.value >= 0x80

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.value == other
        if isinstance(other, str):
            return other == str(self)
        if isinstance(other, ReasonCode):
            return self.value == other.value
        return False

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Any) -> bool:
        if isinstance(other, int):
            return self.value < other
        if isinstance(other, ReasonCode):
            return self.value < other.value
        return NotImplemented

    def __str__(self) -> str:
        return self.getName()

    def __repr__(self) -> str:
        return f"ReasonCode({P.Names[self.packetType]}, {self.getName()!r})"


class _CompatibilityIsInstance(type):
    def __instancecheck__(self, other: Any) -> bool:
        return isinstance(other, ReasonCode)


class ReasonCodes(ReasonCode, metaclass=_CompatibilityIsInstance):
    """The old name of `ReasonCode`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn("ReasonCodes is deprecated, use ReasonCode", DeprecationWarning, stacklevel=2)
        super().__init__(*args, **kwargs)
