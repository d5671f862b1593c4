"""The same programs with paho-mqtt and with ternmq.paho: what they see is the same, but for what is
listed here and in `py/docs/coming-from.md` with its reason."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ternmq

PROGRAMS = Path(__file__).with_name("paho_programs.py")


def begin(package: str, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAMS), package, str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="module")
def outcomes() -> tuple[dict[str, Any], dict[str, Any]]:
    with ternmq.Broker() as one, ternmq.Broker() as other:
        both = begin("paho.mqtt", one.port), begin("ternmq.paho", other.port)
        theirs, ours = (json.loads(process.communicate(timeout=100)[0]) for process in both)
        assert [process.returncode for process in both] == [0, 0]
    return theirs, ours


def programs() -> list[str]:
    """Their names, without running them: they are keys of a dict that needs arguments."""
    names = [f"life VERSION{v} {p}" for v in (1, 2) for p in (3, 4, 5)]
    names += [f"refused VERSION{v} {p}" for v in (1, 2) for p in (4, 5)]
    names += [f"{what} VERSION{v}" for what in ("lost", "goodbye") for v in (1, 2)]
    return names + [
        "properties", "silent", "comes again", "nobody there", "before connecting", "by filter", "raises", "manual",
        "outer loop", "subclass", "helpers", "will", "bad calls",
    ]  # fmt: skip


@pytest.mark.parametrize("program", programs())
def test_program(program: str, outcomes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = (outcome[program] for outcome in outcomes)
    assert not isinstance(ours, str), ours  # an exception of the program itself
    if program == "silent":
        # paho-mqtt says twice that one connection has ended.
        theirs["on_disconnect"] = theirs["on_disconnect"][:1]
    if program == "raises":
        # paho-mqtt hands a message out again and again whose callback has raised.
        assert ours == [["KeyError"], ["raises", "raises", "raises"]]
        return
    assert ours == theirs


def test_every_program_is_compared(outcomes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert set(outcomes[0]) == set(outcomes[1]) == set(programs())
