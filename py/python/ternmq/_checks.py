"""Arguments are looked at when they are given, not when somebody waits for what comes of them."""

from collections.abc import Mapping
from types import UnionType
from typing import Any

# What CONNECT calls a version, by its names.
VERSIONS = {3: 3, 4: 4, 5: 5, "3.1": 3, "3.1.1": 4, "5": 5, "5.0": 5}


def instance_of(kind: type | UnionType, **arguments: object) -> None:
    """Raises TypeError for one that is something else. A bool is no int here: it would be a slip."""
    kinds = (kind,) if isinstance(kind, type) else kind.__args__
    for name, value in arguments.items():
        slip = isinstance(value, bool) and bool not in kinds
        if slip or not isinstance(value, kind):
            wanted = kind.__name__ if isinstance(kind, type) else kind
            raise TypeError(f"{name} is {wanted}, not {type(value).__name__}")


def integer(**arguments: object) -> None:
    """Raises TypeError for one that is no int, or a bool."""
    for name, value in arguments.items():
        if isinstance(value, bool):
            raise TypeError(f"{name} is int, not bool")
        instance_of(int, **{name: value})


def number(**arguments: object) -> None:
    """Raises TypeError for one that is none, or a bool."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} is a number, not {type(value).__name__}")


def at_least(least: float, **arguments: Any) -> None:
    """Raises TypeError for one that is no number, ValueError for one that is less, or NaN."""
    number(**arguments)
    for name, value in arguments.items():
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


def is_callable(**arguments: Any) -> None:
    """Raises TypeError for one that can't be called."""
    for name, value in arguments.items():
        if not callable(value):
            raise TypeError(f"{name} is a function, not {type(value).__name__}")


def error_code(**arguments: Any) -> None:
    """Raises TypeError for one that is no int, ValueError for one that is no reason code of an error."""
    for name, value in arguments.items():
        instance_of(int, **{name: value})
        if not 0x80 <= value <= 0xFF:
            raise ValueError(f"{name} must be a reason code of 0x80 or more, got {value}")


# With what a client may end its connection (section 3.14.2.1).
_ENDS = frozenset({0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A)})


def end_code(**arguments: Any) -> None:
    """Raises TypeError for one that is no int, ValueError for one with which no client disconnects."""
    for name, value in arguments.items():
        instance_of(int, **{name: value})
        if value not in _ENDS:
            raise ValueError(f"{name} must be one of a client's DISCONNECT, got {value}")


def seconds(timeout: float | None) -> float | None:
    """The same timeout: None for no limit, at once if it is negative."""
    if timeout is not None:
        at_least(float("-inf"), timeout=timeout)
    return timeout


def items(**argument: Mapping[Any, Any] | None) -> list[tuple[Any, Any]]:
    """Of one mapping; none of None."""
    instance_of(Mapping | None, **argument)
    return [item for mapping in argument.values() if mapping is not None for item in mapping.items()]
