"""The command out of the package. What it does is shown by the server's own tests, which `tests/run
wheel-command` has run it; here is what is different in a Python process: names, signals, arguments."""

import os
import pty
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from peer import CONNECT, Peer

SCRIPT = [str(Path(sysconfig.get_path("scripts")) / "ternmq")]
MODULE = [sys.executable, "-m", "ternmq"]


@pytest.fixture(params=[SCRIPT, MODULE], ids=["script", "module"])
def command(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    yield request.param


def run(*command: str | bytes) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arguments", [[], ["pub"]], ids=["all", "pub"])
def test_the_help_calls_it_what_the_user_did(arguments: list[str]) -> None:
    for command, name in [(SCRIPT, "ternmq"), (MODULE, f"{Path(sys.executable).name} -m ternmq")]:
        shown = run(*command, *arguments, "--help")
        assert shown.returncode == 0
        assert " ".join(["Usage:", name, *arguments]) in shown.stdout
        assert shown.stderr == ""


def test_the_version_is_that_of_the_package(command: list[str]) -> None:
    from importlib.metadata import version

    assert run(*command, "--version").stdout == f"ternmq {version('ternmq')}\n"


def test_arguments_need_not_be_text(command: list[str]) -> None:
    refused = run(*command, b"pub", b"-t", b"\xff", b"-m", b"x")
    assert refused.returncode == 2
    assert "invalid UTF-8" in refused.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
async def test_a_signal_before_there_is_a_connection(
    command: list[str], peer: Peer, name: str
) -> None:
    # As the binary does, and without a word of Python's.
    number = signal.Signals[name]
    arguments = ["pub", "-L", peer.url, "-t", "a", "-m", "x"]
    program = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
    connection = await peer.client()
    await connection.expect(CONNECT)
    program.send_signal(number)
    assert program.communicate(timeout=60)[1] == ""
    assert program.returncode == -number


def on_a_terminal(command: list[str], **environment: str) -> bytes:
    """What a program says that ends."""
    here, there = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CLICOLOR", "TERM")}
    program = subprocess.Popen(
        command, stdin=there, stdout=there, stderr=there, env=env | {"TERM": "xterm"} | environment
    )
    os.close(there)
    said = b""
    try:
        while chunk := os.read(here, 4096):
            said += chunk
    except OSError:
        pass  # how Linux says that nobody has the other end any more
    finally:
        os.close(here)
    assert program.wait(60) == 1
    return said


def test_colours_on_a_terminal_only(command: list[str]) -> None:
    failing = [*command, "pub", "-t", "a", "-m", "x", "-L", "http://nowhere"]
    assert b"\x1b[31merror:" in on_a_terminal(failing).replace(b"\x1b[1m", b"")
    assert b"\x1b" not in on_a_terminal(failing, NO_COLOR="1")
    assert "\x1b" not in run(*failing).stderr
