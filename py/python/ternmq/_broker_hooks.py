"""The application's say in an embedded broker, called by the broker's threads.

Whatever the application raises is logged with its traceback and ends here: it denies what was asked, and
harms no thread and no other client. SystemExit too: in a thread of the broker it would end nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ._broker_values import (
    Acting,
    Action,
    Connected,
    Connecting,
    Disconnected,
    Rule,
    SessionEnded,
    StoreEvent,
    Subscribed,
    Unsubscribed,
)
from ._ternmq import Message
from .reasons import ReasonCode

if TYPE_CHECKING:
    from logging import Logger

Authenticate = Callable[[Connecting], bool | str | int | None]
Authorise = Callable[[Acting, Action], bool | None]
# What native code takes: whether it may come in, None without an opinion; as which user; the reason code.
Decision = tuple[bool | None, str | None, int]


def logger() -> "Logger":
    from ._log import logger

    return logger("broker")


def hooks(
    authenticate: Authenticate | None,
    authorise: Authorise | None,
    acl: Sequence[Rule] | None,
    on_publish: Callable[[Message], object] | None,
    on_store: Callable[[StoreEvent], object] | None,
    told: dict[str, Callable[[Any], object] | None],
) -> dict[str, Any]:
    """What native code is given. `told`: the other callables by the kind of event."""
    listeners = {kind: call for kind, call in told.items() if call is not None}
    asked = {"authenticate": authenticate, "authorise": authorise, "on_publish": on_publish, "on_store": on_store}
    for name, call in (asked | {f"on_{kind}": call for kind, call in listeners.items()}).items():
        if call is not None and not callable(call):
            raise TypeError(f"{name}: {call!r} can't be called")
    return {
        "authenticate": None if authenticate is None else _authenticating(authenticate),
        "authorise": None if authorise is None else _authorising(authorise),
        "on_events": _telling(listeners),
        "on_store": _telling_of_store(on_store),
        "on_publish": None if on_publish is None else _passing_on(on_publish),
        "acl": None if acl is None else rules(acl),
    }


def rules(acl: Iterable[Rule]) -> list[Rule]:
    """The same as a list."""
    if not isinstance(acl, Iterable):
        raise TypeError(f"acl is a sequence of rules, not {type(acl).__name__}")
    all = list(acl)
    for rule in all:
        if not isinstance(rule, Rule):
            raise TypeError(f"acl is made of Rule.allow(...) and Rule.deny(...), not of {rule!r}")
    return all


def _authenticating(ask: Authenticate) -> Callable[..., Decision]:
    def authenticate(*fields: Any) -> Decision:
        try:
            client = Connecting(*fields)
            return _decision(ask(client), client)
        except BaseException:
            logger().exception("authenticate has failed for the client %r", fields[0])
            return False, None, ReasonCode.NOT_AUTHORIZED

    return authenticate


def _decision(answer: bool | str | int | None, client: Connecting) -> Decision:
    if answer is None or answer is True:
        return answer, None, 0
    if answer is False:
        named = client.username is not None
        wrong = ReasonCode.BAD_USER_NAME_OR_PASSWORD if named else ReasonCode.NOT_AUTHORIZED
        return False, None, wrong
    if isinstance(answer, str):
        return True, answer, 0
    if isinstance(answer, int) and 0x80 <= answer <= 0xFF:
        return False, None, answer
    raise TypeError(f"authenticate returns True, False, None, a user name or a reason code, not {answer!r}")


def _authorising(ask: Authorise) -> Callable[..., bool | None]:
    def authorise(client: tuple[Any, ...], action: tuple[Any, ...]) -> bool | None:
        try:
            answer = ask(Acting(*client), Action(*action))
            if answer is None or isinstance(answer, bool):
                return answer
            raise TypeError(f"authorise returns True, False or None, not {answer!r}")
        except BaseException:
            logger().exception("authorise has failed for the client %r", client[0])
            return False

    return authorise


_KINDS: dict[str, Callable[..., object]] = {
    "connect": lambda *fields: Connected(*fields[:-1]),
    "disconnect": lambda who, by, reason, _: Disconnected(
        who, by, None if reason is None else ReasonCode(reason)
    ),
    "subscribe": Subscribed,
    "unsubscribe": Unsubscribed,
    "session_end": lambda who, _: SessionEnded(who),
}


def _telling(listeners: dict[str, Callable[[Any], object]]) -> Callable[[list[Any]], None]:
    def tell(events: list[Any]) -> None:
        # Imported with the first broker: `logging` is more than half of what this package takes to import.
        from ._broker_log import log_clients

        try:
            log_clients(events)
        except BaseException:
            logger().exception("what clients do could not be logged")
        for kind, *fields in events:
            call = listeners.get(kind)
            if call is None:
                continue
            try:
                call(_KINDS[kind](*fields))
            except BaseException:
                logger().exception("on_%s has failed", kind)

    return tell


def _telling_of_store(call: Callable[[StoreEvent], object] | None) -> Callable[..., None]:
    def tell(kind: Any, text: str, file: str | None, numbers: dict[str, int]) -> None:
        if not kind:
            return
        try:
            if kind in ("listening", "listener_closed"):
                from ._broker_log import log_listener

                log_listener(kind, numbers["listener"], text)
                return
            event = StoreEvent(kind, text, file, numbers)
            _log_of_store(event)
            if call is not None:
                call(event)
        except BaseException:
            logger().exception("on_store has failed")

    return tell


def _log_of_store(event: StoreEvent) -> None:
    from logging import ERROR, INFO, WARNING

    lost = any(event.numbers.get(name) for name in ("over_limits", "damaged", "copies_lost"))
    levels = {"restored": WARNING if lost else INFO, "stored_again": INFO, "log_full": WARNING}
    level = levels.get(event.kind, ERROR)
    file = f" ({event.file})" if event.file else ""
    numbers = "".join(f", {name}: {number}" for name, number in event.numbers.items() if number)
    extra = {"event": event.kind, "file": event.file, "numbers": event.numbers}
    logger().log(level, "%s%s%s", event.text, file, numbers, extra=extra)


def _passing_on(call: Callable[[Message], object]) -> Callable[[list[Message], int], None]:
    def pass_on(messages: list[Message], dropped: int) -> None:
        if dropped:
            logger().warning("on_publish is too slow: %d messages were not passed on", dropped)
        for message in messages:
            try:
                call(message)
            except BaseException:
                logger().exception("on_publish has failed")

    return pass_on
