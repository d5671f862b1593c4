"""The examples are for readers; here they prove that what they show is true."""

import subprocess
import sys
from pathlib import Path

import ternmq

EXAMPLES = Path(__file__).parents[2] / "examples/python"


def start(name: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(name: str, *arguments: str) -> str:
    """What a program says until it ends well."""
    said, errors = start(name, *arguments).communicate(timeout=60)
    assert errors == ""
    return said


def line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().rstrip("\n")


def test_publish_and_subscribe(broker: ternmq.Broker) -> None:
    subscriber = start("subscribe", broker.url, "a/+", "2")
    assert line(subscriber) == "subscribed to a/+"
    for text in ("one", "two"):
        assert output("publish", broker.url, "a/b", text) == f"delivered: {text}\n"
        assert line(subscriber) == f"a/b: {text}"
    assert subscriber.communicate(timeout=60) == ("", "")


def test_request_reply(broker: ternmq.Broker) -> None:
    assert output("request_reply", broker.url, "how are you") == "reply: HOW ARE YOU\n"


def test_last_will(broker: ternmq.Broker) -> None:
    assert output("last_will", broker.url) == "last will: gone without a word\n"


def test_offline() -> None:
    with ternmq.Broker() as broker:
        port = broker.port
    program = start("offline", f"mqtt://127.0.0.1:{port}", "a", "hello")
    assert line(program) == "published: 3 messages"
    with ternmq.Broker(port):
        for n in (1, 2, 3):
            assert line(program) == f"delivered: hello {n}"
        assert program.communicate(timeout=60) == ("", "")


def test_embedded_broker() -> None:
    assert output("embedded_broker", "127.0.0.1:0", "hello") == "example/greeting: hello\n"


def test_wrong_arguments_are_told() -> None:
    program = start("publish", "one")
    assert "URI TOPIC TEXT" in program.communicate(timeout=60)[1]
    assert program.returncode == 2
