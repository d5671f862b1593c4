"""The lines of a story in and out; tests/shims/README.md describes them."""

import urllib.parse

class Line:
    """A word, and fields in order; a value is bytes."""

    def __init__(self, text: str) -> None:
        verb, *parts = text.split()
        self.verb = verb
        self.fields = [
            (name, urllib.parse.unquote_to_bytes(value))
            for name, _, value in (part.partition("=") for part in parts)
        ]

    def raw(self, name: str) -> bytes | None:
        return next((value for key, value in self.fields if key == name), None)

    def text(self, name: str, otherwise: str | None = None) -> str | None:
        value = self.raw(name)
        return otherwise if value is None else value.decode()

    def number(self, name: str, otherwise: int = 0) -> int:
        value = self.raw(name)
        return otherwise if value is None else int(value, 0)

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Every `name=key:value`, as pairs."""
        found = (value.decode() for key, value in self.fields if key == name)
        return [(key, value) for key, _, value in (pair.partition(":") for pair in found)]

    def message(self) -> tuple[str, bytes, int, bool]:
        """Topic, payload, QoS and RETAIN."""
        retain = self.number("retain") == 1
        return self.text("topic", ""), self.raw("payload") or b"", self.number("qos"), retain

    def filters(self) -> list[dict[str, object]]:
        """The filters of `subscribes`, each with the fields that follow it."""
        found: list[dict[str, object]] = []
        for name, value in self.fields:
            if name == "filter":
                found.append({"filter": value.decode(), "qos": 0})
            elif found:
                found[-1][name] = int(value, 0)
        return found


def answer(word: str, *fields: tuple[str, object]) -> str:
    """An outcome as it is written."""
    return " ".join([word, *(f"{name}={_escape(value)}" for name, value in fields)])


def _escape(value: object) -> str:
    data = value if isinstance(value, bytes) else str(value).encode()
    return urllib.parse.quote_from_bytes(data, safe="/$+#:!*()'&=?@[]{},;<>|")
