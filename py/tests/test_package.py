"""The package itself: what importing costs, whether types and names are what they say."""

import subprocess
import sys

import pytest
import ternmq
from ternmq import _ternmq


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_loads_nothing_that_is_slow() -> None:
    code = "import sys; before = set(sys.modules); import ternmq; print(*set(sys.modules) - before)"
    assert python(code) == "ternmq"


@pytest.mark.parametrize("module", ["ternmq", "ternmq.blocking", "ternmq.broker", "ternmq.errors"])
def test_asyncio_and_ssl_wait_until_they_are_used(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'asyncio', 'ssl'}} & set(sys.modules)))"
    assert python(code) == ""


def test_every_name_can_be_imported() -> None:
    for name in ternmq.__all__:
        assert getattr(ternmq, name) is not None
        assert name in dir(ternmq)
    with pytest.raises(AttributeError):
        ternmq.nonsense  # noqa: B018


def test_reason_codes_are_those_of_the_core() -> None:
    named = {code: _ternmq.reason_code_name(code) for code in range(256)}
    assert {code for code, name in named.items() if name} == {int(c) for c in ternmq.ReasonCode}
    for code in ternmq.ReasonCode:
        name = named[code]
        assert name is not None
        # The core says DISCONNECT_WITH_WILL too.
        assert name.upper().translate({32: "_", 45: "_"}).startswith(code.name)
    assert ternmq.ReasonCode(0xF0).name == "UNKNOWN_0XF0"


def test_unknown_keywords_are_refused() -> None:
    with pytest.raises(TypeError):
        ternmq.Client("mqtt://x", ssl=None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ternmq.Broker(bans=[])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "options",
    [
        {"version": 6},
        {"version": 4, "session_expiry": 10},
        {"version": 4, "properties": {"receive_maximum": 10}},
        {"version": 4, "clean_start": False},
        {"version": 4, "will": ternmq.Will("w", delay=5)},
        {"properties": {"nonsense": 1}},
        {"properties": {"receive_maximum": 0}},
        {"properties": {"receive_maximum": 70_000}},
        {"properties": {"content_type": "x"}},
        {"properties": {"authentication_method": "x"}},
    ],
)
def test_options_that_no_connect_can_carry(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        ternmq.Client("mqtt://x", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://x:0", "mqtt://x:99999", "mqtt://x/p"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ValueError):
        ternmq.Client(url)


@pytest.mark.parametrize("arguments", [("",), ("a/#",), ("a", b"", 3), ("a", 5)])
def test_wills_that_are_none(arguments: tuple[str]) -> None:
    with pytest.raises((ValueError, TypeError)):
        ternmq.Will(*arguments)
