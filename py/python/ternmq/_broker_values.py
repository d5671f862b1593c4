"""What an embedded broker tells and asks, and the rules that it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ._checks import instance_of, integer
from ._ternmq import check_rule
from .reasons import ReasonCode

__all__ = [
    "Acting",
    "Action",
    "ClientInfo",
    "Connected",
    "Connecting",
    "Disconnected",
    "Rule",
    "SessionEnded",
    "StoreEvent",
    "Subscribed",
    "Unsubscribed",
]


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """A session of a broker, as of the moment it was asked for."""

    client_id: str
    connected: bool
    """Whether its client is there. If not, the next three are None."""
    version: int | None
    """3 for MQTT 3.1, 4 for 3.1.1, 5 for 5.0."""
    keepalive: int | None
    """Seconds, 0 for none."""
    username: str | None
    """The user it has shown to be, else the user name it sent."""
    subscriptions: int
    queued: int
    """Messages that wait for it."""
    inflight: int
    """QoS 1 and 2 messages sent to it and not acknowledged in full."""
    received: int
    """Messages it has published."""
    sent: int
    """Messages sent to it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do what, or may not: the first rule of a list that applies decides, and what no rule allows
    is denied. `Rule.allow("plant/%u/#")`, `Rule.deny("$SYS/#", subscribe=True)`.

    In topic filters `%u` stands for the user name and `%c` for the client identifier. In names `*`
    stands for any characters. What can't be raises TypeError or ValueError, which name the field.
    """

    allows: bool
    topics: Sequence[str] = ()
    """Topic filters; none of them: every topic."""
    user: str | None = None
    """For users whose name fits; "" for clients without a user name."""
    client: str | None = None
    """For clients whose identifier fits."""
    address: str | None = None
    """For clients of this address or network, such as "10.0.0.0/8"."""
    publish: bool = True
    subscribe: bool = True
    """About messages, and about subscriptions. What is allowed to be subscribed to are filters that match
    nothing else; what is denied are all filters that match any of it."""
    qos: Sequence[int] = (0, 1, 2)
    retain: bool | None = None
    """Only messages that are, or are not, to be retained."""

    def __post_init__(self) -> None:
        if isinstance(self.topics, str) or not isinstance(self.topics, Sequence):
            raise TypeError(f"topics are several topic filters, not {self.topics!r}")
        for topic in self.topics:
            instance_of(str, topics=topic)
        instance_of(bool, allows=self.allows, publish=self.publish, subscribe=self.subscribe)
        instance_of(str | None, user=self.user, client=self.client, address=self.address)
        instance_of(bool | None, retain=self.retain)
        if isinstance(self.qos, (str, bytes)) or not isinstance(self.qos, Sequence):
            raise TypeError(f"qos is a sequence of ints, not {self.qos!r}")
        for qos in self.qos:
            integer(qos=qos)
            if not 0 <= qos <= 2:
                raise ValueError(f"qos: there is no QoS {qos}")
        check_rule(self)

    @classmethod
    def allow(cls, *topics: str, **fields: Any) -> Self:
        """One that allows; `fields` are the others."""
        return cls(True, topics, **fields)

    @classmethod
    def deny(cls, *topics: str, **fields: Any) -> Self:
        """One that denies."""
        return cls(False, topics, **fields)


@dataclass(frozen=True, slots=True)
class Connecting:
    """A client that wants in."""

    client_id: str
    username: str | None
    password: bytes | None = field(repr=False)
    authenticated: bool
    """It has shown by SCRAM or a certificate that it is this user."""
    version: int
    clean_start: bool
    peer: str | None
    """Its address and port."""
    listener: int
    """The place in `Broker.urls` of the listener it came in through."""
    certificate: str | None
    """The subject of its certificate."""
    properties: Mapping[str, Any]
    """Those of its CONNECT, by their names in the standard."""


@dataclass(frozen=True, slots=True)
class Acting:
    """A client that wants to do something."""

    client_id: str
    username: str | None
    peer: str | None
    """Its address."""
    listener: int
    version: int


@dataclass(frozen=True, slots=True)
class Action:
    """What a client wants to do."""

    kind: Literal["publish", "subscribe"]
    topic: str
    """The topic, or the topic filter without what makes it a shared subscription."""
    qos: int
    retain: bool
    will: bool
    """It is the will of a client that wants in."""
    share: str | None
    """The name of the group, of a shared subscription."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A client was let in."""

    client_id: str
    username: str | None
    peer: str | None
    version: int
    session_present: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection of a client is over."""

    client_id: str
    by: Literal["client", "broker", "lost"]
    """Who has ended it; "lost" without a DISCONNECT."""
    reason_code: ReasonCode | None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A client has subscribed."""

    client_id: str
    filter: str
    qos: int


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """A client has unsubscribed."""

    client_id: str
    filter: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session of a client is over, with all it had."""

    client_id: str


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """Something has become of the folder of a broker."""

    kind: Literal[
        "restored", "set_aside", "damaged", "not_restored", "not_stored", "not_swept", "log_full", "stored_again"
    ]
    """restored: what was kept is there again. set_aside: the whole file was damaged, what can be read of it is
    in a new one. damaged: records can't be read, the rest is served. not_restored: retained messages could not
    be read. not_stored: nothing can be written, as on a full disk: who publishes with QoS 1 and 2 what is to
    be kept is refused, until stored_again. not_swept: no room can be given back. log_full: the messages
    there take as much as they may, and the oldest are dropped though sessions wait for them."""
    text: str
    """The same in words, with what the system says."""
    file: str | None
    """set_aside: where the damaged file is now."""
    numbers: Mapping[str, int]
    """restored: how many sessions, retained and delayed messages, how many were over_limits or damaged;
    set_aside and damaged: how many records; log_full: how many messages were dropped."""
