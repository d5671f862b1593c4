"""The small types of the clients."""

from collections.abc import Mapping
from random import random
from typing import Any

from .errors import MqttError
from .reasons import ReasonCode


class Backoff:
    """How long to wait before connecting again, in seconds.

    The wait doubles from `min` to `max`. Up to `jitter` times the wait is added at random, so that
    clients that lost a server together don't come back together.

    `first_connect`: also when the very first connection could not be made.
    """

    __slots__ = ("first_connect", "jitter", "max", "min")

    def __init__(
        self,
        min: float = 0.1,
        max: float = 30.0,
        jitter: float = 0.2,
        *,
        first_connect: bool = False,
    ) -> None:
        if not 0 <= min <= max or jitter < 0:
            raise ValueError("a backoff needs 0 <= min <= max and jitter >= 0")
        self.min, self.max, self.jitter = min, max, jitter
        self.first_connect = first_connect

    def delay(self, attempt: int) -> float:
        """The wait before attempt number `attempt`, which counts from 0."""
        wait: float = min(self.min * 2 ** min(attempt, 60), self.max)
        return wait + wait * self.jitter * random()

    def __repr__(self) -> str:
        return f"Backoff({self.min}, {self.max}, {self.jitter})"


class PublishResult:
    """What the server said of a message: SUCCESS, or NO_MATCHING_SUBSCRIBERS where it tells."""

    __slots__ = ("properties", "reason_code")

    reason_code: ReasonCode
    properties: Mapping[str, Any]

    def __init__(self, reason_code: int = 0, properties: Mapping[str, Any] | None = None) -> None:
        self.reason_code = ReasonCode(reason_code)
        self.properties = properties or {}

    def __repr__(self) -> str:
        return f"PublishResult({self.reason_code.name})"


class State:
    """What `Client.on_state` reports.

    `name` is "connected", "lost" (a reconnection is on its way) or "closed" (for good).
    `session_present` says with "connected" whether the server went on with the session. `error` is
    why it is lost or closed, None when the client closed itself. `properties` are those of CONNACK.
    """

    __slots__ = ("error", "name", "properties", "session_present")

    def __init__(
        self,
        name: str,
        session_present: bool = False,
        error: MqttError | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.session_present, self.error = name, session_present, error
        self.properties = properties or {}

    def __repr__(self) -> str:
        if self.name == "connected":
            return f"<State connected session_present={self.session_present}>"
        return f"<State {self.name}{f': {self.error}' if self.error else ''}>"
