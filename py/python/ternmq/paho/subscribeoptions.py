"""Subscription options of MQTT 5."""

from typing import Any


class MQTTException(Exception):
    """An option that there is not."""


class SubscribeOptions:
    """QoS, No Local, Retain As Published and Retain Handling of a subscription."""

    RETAIN_SEND_ON_SUBSCRIBE, RETAIN_SEND_IF_NEW_SUB, RETAIN_DO_NOT_SEND = range(3)

    names = ["QoS", "noLocal", "retainAsPublished", "retainHandling"]

    QoS: int
    noLocal: bool
    retainAsPublished: bool
    retainHandling: int

    def __init__(
        self,
        qos: int = 0,
        noLocal: bool = False,
        retainAsPublished: bool = False,
        retainHandling: int = RETAIN_SEND_ON_SUBSCRIBE,
    ) -> None:
        self.QoS = qos
        self.noLocal = noLocal
        self.retainAsPublished = retainAsPublished
        self.retainHandling = retainHandling
        self._check()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.names:
            raise MQTTException(f"{name}: the options are {', '.join(self.names)}")
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        assert self.QoS in (0, 1, 2), f"QoS is 0, 1 or 2, not {self.QoS}"
        assert self.noLocal in (True, False), "noLocal is True or False"
        assert self.retainAsPublished in (True, False), "retainAsPublished is True or False"
        assert self.retainHandling in (0, 1, 2), f"retainHandling is 0, 1 or 2, not {self.retainHandling}"

    def pack(self) -> bytes:
        """The byte in SUBSCRIBE."""
        self._check()
        bits = self.retainHandling << 4 | self.retainAsPublished << 3 | self.noLocal << 2 | self.QoS
        return bytes([bits])

    def unpack(self, buffer: bytes) -> int:
        """Reads the byte; returns how many bytes that were."""
        bits = buffer[0]
        self.QoS = bits & 3
        self.noLocal = bool(bits & 4)
        self.retainAsPublished = bool(bits & 8)
        self.retainHandling = bits >> 4 & 3
        self._check()
        return 1

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name}={getattr(self, name)}" for name in self.names) + "}"

    __str__ = __repr__

    def json(self) -> dict[str, Any]:
        """The options by name."""
        return {name: getattr(self, name) for name in self.names}
