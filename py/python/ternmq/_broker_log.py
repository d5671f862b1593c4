"""What an embedded broker tells of its clients and listeners, as lines of the logger `ternmq.broker`.

No line holds a password, a key or a payload. Names that clients choose are quoted, so that none of them can
make up a line of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from logging import DEBUG, INFO, WARNING
from typing import Any

from ._log import logger
from .reasons import ReasonCode

_VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5.0"}

_SHUTTING_DOWN, _TAKEN_OVER, _KEEP_ALIVE, _BY_HAND = 0x8B, 0x8E, 0x8D, 0x98
# Ends that are nobody's mistake.
_USUAL = {_SHUTTING_DOWN, _TAKEN_OVER, _KEEP_ALIVE, _BY_HAND, 0x9C, 0x9D}

# Messages that go like this are meant to.
_EXPECTED = {"offline", "expired", "session_ended"}

# Level, text, its arguments, fields for programs.
_Line = tuple[int, str, tuple[object, ...], Mapping[str, object]]


def log_clients(events: Iterable[tuple[Any, ...]]) -> None:
    """Writes down what native code has told of clients."""
    log = logger("broker")
    if not log.isEnabledFor(WARNING):
        return
    for kind, *fields in events:
        make = _LINES.get(kind)
        if make is None:
            continue
        level, text, arguments, extra = make(*fields)
        if log.isEnabledFor(level):
            log.log(level, text, *arguments, extra={"event": kind, **extra})


def log_listener(kind: str, listener: int, address: str) -> None:
    """The same of a listener."""
    text = "listening on %s" if kind == "listening" else "listening no more, listener %s"
    said = address if kind == "listening" else listener
    extra: dict[str, object] = {"event": kind, "listener": listener, "address": address}
    logger("broker").info(text, said, extra=extra)


def _connected(
    client_id: str, username: str | None, peer: str | None, version: int, present: bool, listener: int
) -> _Line:
    user = "" if username is None else f" as {username!r}"
    text = "client %r connected from %s%s, MQTT %s, session present: %s"
    arguments = (client_id, peer or "this machine", user, _VERSIONS[version], present)
    return INFO, text, arguments, {
        "client_id": client_id, "username": username, "peer": peer, "version": version,
        "session_present": present, "listener": listener,
    }


def _refused(
    client_id: str, username: str | None, listener: int, peer: str | None, reason: int | None, what: str
) -> _Line:
    who = f"client {client_id!r}" if client_id else "a connection"
    user = "" if username is None else f" as {username!r}"
    text = "%s from %s%s was refused: %s"
    arguments = (who, peer or "this machine", user, _why(reason, what))
    return WARNING, text, arguments, {
        "client_id": client_id, "username": username, "peer": peer, "listener": listener,
        "reason": reason, "text": what,
    }


def _refused_more(count: int) -> _Line:
    return WARNING, "%d more connections were refused", (count,), {"count": count}


def _disconnected(client_id: str, by: str, reason: int | None, what: str) -> _Line:
    extra: dict[str, object] = {"client_id": client_id, "by": by, "reason": reason, "text": what}
    if by == "lost":
        return INFO, "client %r: the connection was lost", (client_id,), extra
    if by == "client":
        return INFO, "client %r disconnected: %s", (client_id, _why(reason, what)), extra
    level = INFO if reason in _USUAL else WARNING
    return level, "client %r: the connection was ended: %s", (client_id, _why(reason, what)), extra


def _subscribed(client_id: str, filter: str, qos: int) -> _Line:
    extra: dict[str, object] = {"client_id": client_id, "filter": filter, "qos": qos}
    return DEBUG, "client %r subscribed to %r with QoS %d", (client_id, filter, qos), extra


def _unsubscribed(client_id: str, filter: str) -> _Line:
    extra: dict[str, object] = {"client_id": client_id, "filter": filter}
    return DEBUG, "client %r unsubscribed from %r", (client_id, filter), extra


def _session_ended(client_id: str, expired: bool) -> _Line:
    extra: dict[str, object] = {"client_id": client_id, "expired": expired}
    if expired:
        return INFO, "client %r: the session has expired", (client_id,), extra
    return DEBUG, "client %r: the session has ended", (client_id,), extra


def _dropped(client_id: str, dropped: Mapping[str, int]) -> _Line:
    level = INFO if _EXPECTED.issuperset(dropped) else WARNING
    reasons = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
    arguments = (client_id, sum(dropped.values()), reasons)
    extra: dict[str, object] = {"client_id": client_id, "dropped": dropped}
    return level, "client %r: %d messages dropped: %s", arguments, extra


def _why(reason: int | None, what: str) -> str:
    """The words, and the reason code where there is one."""
    if reason is None:
        return what
    name = f"{ReasonCode(reason).name}, 0x{reason:02X}"
    return f"{what} ({name})" if what else name


_LINES: dict[str, Callable[..., _Line]] = {
    "connect": _connected,
    "refused": _refused,
    "refused_more": _refused_more,
    "disconnect": _disconnected,
    "subscribe": _subscribed,
    "unsubscribe": _unsubscribed,
    "session_end": _session_ended,
    "dropped": _dropped,
}
