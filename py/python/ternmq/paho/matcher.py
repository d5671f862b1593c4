"""A map from topic filters to values, asked by topic name."""

from collections.abc import Iterator
from typing import Any

# What stands below each level of filters. The value of a filter that ends is under None, which is no level.
_Levels = dict[str | None, Any]


class MQTTMatcher:
    """Values by topic filter: `matcher[filter] = value`, `del matcher[filter]`, and
    `matcher.iter_match(topic)` for the values of all filters that match a topic name."""

    def __init__(self) -> None:
        self._levels: _Levels = {}

    def __setitem__(self, key: str, value: Any) -> None:
        below = self._levels
        for level in key.split("/"):
            below = below.setdefault(level, {})
        below[None] = value

    def __getitem__(self, key: str) -> Any:
        return self._way(key)[-1][None]

    def __delitem__(self, key: str) -> None:
        way = self._way(key)
        del way[-1][None]
        for above, level in zip(way[-2::-1], reversed(key.split("/")), strict=True):
            if not above[level]:
                del above[level]

    def iter_match(self, topic: str) -> Iterator[Any]:
        """The values of the filters that match a topic name; where filters part, of those with the level
        itself first, then of `+` and of `#`."""
        # A wildcard at the front keeps away from topics that belong to the server [MQTT-4.7.2-1].
        return _matching(self._levels, topic.split("/"), not topic.startswith("$"))

    def _way(self, key: str) -> list[_Levels]:
        """What lies above and below each level of a filter that has a value."""
        way = [self._levels]
        for level in key.split("/"):
            way.append(way[-1].get(level, {}))
        if None not in way[-1]:
            raise KeyError(key)
        return way


def _matching(here: _Levels, levels: list[str], wild: bool) -> Iterator[Any]:
    if levels:
        for level in (levels[0], "+") if wild else levels[:1]:
            if level in here:
                yield from _matching(here[level], levels[1:], True)
    elif None in here:
        yield here[None]
    if wild and None in here.get("#", ()):
        yield here["#"][None]
