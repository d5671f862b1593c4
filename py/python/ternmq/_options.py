"""What both clients are made from."""

from collections.abc import Mapping, Sequence
from os import fspath
from typing import Any

from ._checks import VERSIONS, at_least, instance_of, seconds
from ._reach import Reach
from ._ternmq import check_options, topic_matches
from .values import Auth, Backoff

Buffer = bytes | bytearray | memoryview
User = Sequence[tuple[str, str]] | Mapping[str, str]
Filters = str | Sequence[str | tuple[str, int]]

_NUMBERS = (
    "session_expiry", "keepalive", "queue", "inflight", "outbox", "outbox_bytes", "max_packet_size",
    "receive_maximum",
)


def check_times(reconnect: object, **timeouts: object) -> None:
    """Raises TypeError now, and not when the connection is lost."""
    if reconnect is not None and not isinstance(reconnect, Backoff):
        raise TypeError(f"reconnect is a Backoff or None, not {type(reconnect).__name__}")
    at_least(0, **{name: value for name, value in timeouts.items() if value is not None})


def is_manual(ack: str) -> bool:
    """What `ack` says."""
    if ack not in ("auto", "manual"):
        raise ValueError(f"ack must be 'auto' or 'manual', not {ack!r}")
    return ack == "manual"


def filter_pairs(filters: Filters, qos: int) -> list[tuple[str, int]]:
    """Topic filters, each with its QoS."""
    one = isinstance(filters, (str, bytes)) or not isinstance(filters, Sequence)
    entries: Any = [filters] if one else filters
    pairs: list[tuple[str, int]] = [(entry, qos) if isinstance(entry, str) else entry for entry in entries]
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise TypeError(f"a topic filter is str, or a pair of that and a QoS, not {pair!r}")
        instance_of(int, qos=pair[1])
        if not 0 <= pair[1] <= 2:
            raise ValueError(f"qos must be 0, 1 or 2, not {pair[1]}")
    if not pairs:
        raise ValueError("filters: a subscription needs a topic filter")
    return pairs


def filter_names(filters: str | Sequence[str]) -> tuple[str, ...]:
    """What `unsubscribe` is given."""
    names = (filters,) if isinstance(filters, str) else filters
    instance_of(Sequence, filters=names)
    for name in names:
        instance_of(str, filters=name)
        topic_matches(name, "checked")
    if not names:
        raise ValueError("filters: there is none")
    return tuple(names)


def check_subscription(
    filters: Filters,
    qos: int = 0,
    *,
    no_local: bool = False,
    retain_as_published: bool = False,
    retain_handling: int = 0,
    identifier: int | None = None,
    user: User | None = None,
    queue: int | None = None,
    keep: bool = False,
    ack: str = "auto",
    timeout: float | None = None,
) -> list[tuple[str, int]]:
    """What `subscribe` is given; returns the topic filters, each with its QoS. The native part looks at
    the same when a subscription begins, which for a handler is later, where nobody could be told."""
    pairs = filter_pairs(filters, qos)
    for filter, _ in pairs:
        topic_matches(filter, "checked")
    instance_of(bool, no_local=no_local, retain_as_published=retain_as_published, keep=keep)
    instance_of(int, retain_handling=retain_handling)
    instance_of(int | None, identifier=identifier, queue=queue)
    if not 0 <= retain_handling <= 2:
        raise ValueError(f"retain_handling must be 0, 1 or 2, not {retain_handling}")
    if identifier is not None and not 1 <= identifier <= 268_435_455:
        raise ValueError(f"identifier must be 1 to 268,435,455, got {identifier}")
    if queue is not None:
        at_least(1, queue=queue)
    if user is not None and not isinstance(user, (Mapping, Sequence)):
        raise TypeError(f"user is pairs of str, not {type(user).__name__}")
    is_manual(ack)
    seconds(timeout)
    return pairs


def session_options(reach: Reach, auth: Auth | None, **options: Any) -> dict[str, Any]:
    """The options of a session."""
    if auth is not None and not isinstance(auth, Auth):
        raise TypeError(f"auth is a ternmq.Auth or None, not {type(auth).__name__}")
    options["auth_method"] = None if auth is None else auth.method
    instance_of(int | str, version=options["version"])
    version = VERSIONS.get(options["version"])
    if version is None:
        raise ValueError("version must be 3, 4 or 5 (or '3.1', '3.1.1', '5.0')")
    options["version"] = version
    if options["username"] is None:
        options["username"] = reach.user
    if options["password"] is None:
        options["password"] = reach.password
    instance_of(Mapping | None, properties=options["properties"])
    if options["properties"] is not None:
        options["properties"] = dict(options["properties"])
    if options["store"] is not None:
        try:
            options["store"] = fspath(options["store"])
        except TypeError as error:
            raise TypeError(f"outbox_file: {error}") from None
    instance_of(bool, outbox_sync=options["store_sync"])
    if options["store_sync"] and options["store"] is None:
        raise ValueError("outbox_sync is for an outbox_file")
    for name in _NUMBERS:
        if isinstance(options[name], bool):
            raise TypeError(f"{name} is int, not bool")
    _check_who(options)
    check_options(options)
    return options


def _check_who(options: dict[str, Any]) -> None:
    """What every version before MQTT 5 needs to be told."""
    version = options["version"]
    if options["client_id"] == "" and (version == 3 or (version == 4 and not options["clean_start"])):
        raise ValueError("client_id: MQTT 3.1 needs one, and MQTT 3.1.1 without clean_start")
    if version < 5 and options["password"] is not None and options["username"] is None:
        raise ValueError("password: before MQTT 5 it needs a username")
