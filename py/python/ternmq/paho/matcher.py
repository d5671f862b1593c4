"""A map from topic filters to values, asked by topic name."""

from collections.abc import Iterator
from typing import Any

_MISSING: Any = object()


class MQTTMatcher:
    """Values by topic filter: `matcher[filter] = value`, `del matcher[filter]`, and
    `matcher.iter_match(topic)` for the values of all filters that match a topic name."""

    class Node:
        """What begins with the levels up to here."""

        __slots__ = ("_children", "_content")

        def __init__(self) -> None:
            self._children: dict[str, MQTTMatcher.Node] = {}
            self._content: Any = _MISSING

    def __init__(self) -> None:
        self._root = self.Node()

    def __setitem__(self, key: str, value: Any) -> None:
        node = self._root
        for level in key.split("/"):
            node = node._children.setdefault(level, self.Node())
        node._content = value

    def __getitem__(self, key: str) -> Any:
        node = self._root
        for level in key.split("/"):
            if level not in node._children:
                raise KeyError(key)
            node = node._children[level]
        if node._content is _MISSING:
            raise KeyError(key)
        return node._content

    def __delitem__(self, key: str) -> None:
        levels = key.split("/")
        path = [self._root]
        for level in levels:
            if level not in path[-1]._children:
                raise KeyError(key)
            path.append(path[-1]._children[level])
        if path[-1]._content is _MISSING:
            raise KeyError(key)
        path[-1]._content = _MISSING
        while levels and path[-1]._content is _MISSING and not path[-1]._children:
            path.pop()
            del path[-1]._children[levels.pop()]

    def iter_match(self, topic: str) -> Iterator[Any]:
        """The values of the filters that match a topic name."""
        # A wildcard at the front keeps away from topics that belong to the server [MQTT-4.7.2-1].
        levels = topic.split("/")
        open_front = not topic.startswith("$")
        places = [(self._root, 0)]
        while places:
            node, depth = places.pop()
            wild = open_front or depth > 0
            if wild and (rest := node._children.get("#")) is not None and rest._content is not _MISSING:
                yield rest._content
            if depth == len(levels):
                if node._content is not _MISSING:
                    yield node._content
                continue
            if wild and (any_level := node._children.get("+")) is not None:
                places.append((any_level, depth + 1))
            if (same := node._children.get(levels[depth])) is not None:
                places.append((same, depth + 1))
