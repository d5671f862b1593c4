"""What both clients are made from."""

from collections.abc import Mapping, Sequence
from typing import Any

from ._ternmq import parse_url

Buffer = bytes | bytearray | memoryview
User = Sequence[tuple[str, str]] | Mapping[str, str]

_VERSIONS = {3: 3, 4: 4, 5: 5, "3.1": 3, "3.1.1": 4, "5": 5, "5.0": 5}


def session_options(url: str, **options: Any) -> tuple[str, int, dict[str, Any]]:
    """Host, port, and the options of a session."""
    host, port, user, password = parse_url(url)
    version = _VERSIONS.get(options["version"])
    if version is None:
        raise ValueError("version must be 3, 4 or 5 (or '3.1', '3.1.1', '5.0')")
    options["version"] = version
    if options["username"] is None:
        options["username"] = user
    if options["password"] is None:
        options["password"] = password
    if options["properties"] is not None:
        options["properties"] = dict(options["properties"])
    return host, port, options
