"""What can go wrong. Nothing in this package reports a failure by a return value."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from .reasons import ReasonCode


class MqttError(Exception):
    """Every error of this package is one.

    `reason_code` is what the server (or the protocol) said, None when it said nothing.
    `properties` are those of its packet, such as `reason_string`.
    """

    reason_code: ReasonCode | None
    properties: Mapping[str, Any]

    def __init__(
        self,
        message: str = "",
        reason_code: int | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self.reason_code = None if reason_code is None else ReasonCode(reason_code)
        self.properties = properties or {}
        if self.reason_code is not None:
            message = f"{message}: {self.reason_code.name} ({self.reason_code:#04x})"
        if "reason_string" in self.properties:
            message = f"{message}: {self.properties['reason_string']}"
        super().__init__(message)

    def copy(self) -> Self:
        """The same error for another one who waits: a traceback grows with each raise."""
        copy = self.__class__.__new__(self.__class__)
        copy.args = self.args
        copy.__dict__.update(self.__dict__)
        copy.__cause__ = self.__cause__
        return copy


class ConnectError(MqttError):
    """There is no connection: nobody answered, or the server refused with `reason_code`."""


class MqttTimeoutError(MqttError, TimeoutError):
    """The answer did not come in time. What was asked for may still happen."""


class ConnectTimeoutError(ConnectError, MqttTimeoutError):
    """The connection was not made in time."""


class ConnectionLostError(MqttError, ConnectionError):
    """The connection has ended, or there is none."""


class ProtocolError(ConnectionLostError):
    """The server broke the protocol; the connection was ended because of it."""


class PublishError(MqttError):
    """The message was refused by the server, or given up."""


class SubscribeError(MqttError):
    """A subscription was refused. `codes` are the server's answers, one for each filter."""

    codes: Sequence[ReasonCode] = ()

    def _refused(self, codes: Sequence[int]) -> None:
        self.codes = tuple(ReasonCode(code) for code in codes)


class QueueFullError(MqttError):
    """Too many messages wait to be sent."""


class ForkError(MqttError):
    """The object was made in another process, before a fork."""
