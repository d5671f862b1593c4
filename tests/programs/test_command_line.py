"""The programs of Debian's paho.mqtt.c-examples, as they come, on our library."""

from collections.abc import Callable
from pathlib import Path

import pytest
from actors import Shim
from broker import Broker
from conftest import Program

Run = Callable[..., Program]

PUBLISHERS = ["paho_c_pub", "paho_cs_pub"]
SUBSCRIBERS = ["paho_c_sub", "paho_cs_sub"]
VERSIONS = ["31", "311", "5"]


def to(broker: Broker, topic: str, *more: str) -> list[str]:
    return ["-h", broker.host, "-p", str(broker.port), "-t", topic, *more]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PUBLISHERS)
def test_a_message_goes_out(
    run: Run, broker: Broker, witness: Shim, topic: str, name: str, version: str, qos: int
) -> None:
    witness.subscribes(topic)
    run(name, *to(broker, topic, "-V", version, "-q", str(qos), "-m", "from C: \u00e4")).ends()
    witness.receives(topic, "from C: \u00e4", qos)


@pytest.mark.parametrize("name", PUBLISHERS)
def test_lines_go_out_one_by_one(
    run: Run, broker: Broker, witness: Shim, topic: str, name: str
) -> None:
    witness.subscribes(topic)
    program = run(name, *to(broker, topic, "-q", "2"))
    for number in range(20):
        program.types(f"line {number}\n")
    for number in range(20):
        # It sends the end of the line with the line.
        assert witness.ok("receives").raw("payload").rstrip(b"\n") == b"line %d" % number
    program.process.kill()
    program.process.wait()
    program.had_ours()


@pytest.mark.parametrize("name", PUBLISHERS)
def test_a_file_is_retained_and_cleared(
    run: Run, broker: Broker, witness: Shim, topic: str, tmp_path: Path, name: str
) -> None:
    content = bytes(range(256)) * 400
    file = tmp_path / "content"
    file.write_bytes(content)
    run(name, *to(broker, topic, "-q", "1", "-r", "-f", str(file))).ends()
    witness.subscribes(topic)
    witness.receives(topic, content, 1, retain=1)
    run(name, *to(broker, topic, "-q", "1", "-r", "-n")).ends()
    witness.receives(topic, b"", 1)
    witness.unsubscribes(topic)
    witness.subscribes(topic)
    # Nothing is retained any more: the next message is one that is sent now.
    run(name, *to(broker, topic, "-q", "1", "-m", "now")).ends()
    witness.receives(topic, "now", 1)


@pytest.mark.parametrize("name", PUBLISHERS)
def test_properties_of_version_5_go_out(
    run: Run, broker: Broker, witness: Shim, topic: str, name: str
) -> None:
    witness.subscribes(topic)
    options = ["-V", "5", "-q", "1", "-m", "dressed", "--message-expiry", "600"]
    run(name, *to(broker, topic, *options, "--user-property", "colour", "teal")).ends()
    came = witness.receives(topic, "dressed", 1)
    assert came.all("user") == ["colour:teal"], came
    assert 0 < came.number("message_expiry") <= 600, came


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SUBSCRIBERS)
def test_a_message_comes_in(
    run: Run, broker: Broker, witness: Shim, topic: str, name: str, version: str, qos: int
) -> None:
    options = ["-V", version, "-q", str(qos), "-v", "--trace", "protocol"]
    program = run(name, *to(broker, topic, *options))
    program.hears("SUBACK")
    witness.publishes(topic, "to C", 2)
    # Verbose: the topic and the message; the asynchronous one has the length first.
    length = [str(len("to C"))] if name == "paho_c_sub" else []
    assert program.hears(topic + "\t").split() == [*length, topic, "to", "C"]
    witness.publishes(topic, "again", qos)
    length = [str(len("again"))] if name == "paho_c_sub" else []
    assert program.hears(topic + "\t").split() == [*length, topic, "again"]
    program.stops()


@pytest.mark.parametrize("name", SUBSCRIBERS)
def test_retained_messages_come_unless_they_are_unwanted(
    run: Run, broker: Broker, witness: Shim, topic: str, name: str
) -> None:
    witness.publishes(topic, "kept", 1, retain=1)
    program = run(name, *to(broker, topic))
    assert program.hears("kept") == "kept"
    program.stops()
    witness.publishes(topic, "", 1, retain=1)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SUBSCRIBERS)
def test_the_will_is_published(
    run: Run, broker: Broker, witness: Shim, topic: str, name: str, version: str
) -> None:
    will = f"{topic}/will"
    witness.subscribes(will)
    # The program takes a value after --will-retain, and ignores it.
    options = ["--will-topic", will, "--will-payload", "gone", "--will-qos", "2", "--will-retain", "1"]
    program = run(name, *to(broker, topic, "-V", version, "--trace", "protocol", *options))
    program.hears("SUBACK")
    program.dies()
    witness.receives(will, "gone", 2)
    witness.unsubscribes(will)
    witness.subscribes(will)
    witness.receives(will, "gone", 2, retain=1)


@pytest.mark.parametrize("name", ["paho_cs_pub", "paho_cs_sub"])
def test_a_server_that_is_not_there_is_told_unless_quiet(run: Run, name: str) -> None:
    nobody = ["-h", "127.0.0.1", "-p", "1", "-t", "t"]
    nobody += ["-m", "m"] if name in PUBLISHERS else []
    told = run(name, *nobody).ends()
    assert any("Connect failed" in line for line in told), told
    quiet = run(name, *nobody, "--quiet").ends()
    assert not any("failed" in line for line in quiet), quiet


def test_an_asynchronous_program_hears_why_it_is_not_connected(run: Run) -> None:
    program = run("paho_c_sub", "-h", "127.0.0.1", "-p", "1", "-t", "t")
    assert "Connect failed, rc Failure" in program.hears("onnect")
    # It tries again for ever.
    program.dies()


def test_the_version_program_sees_our_library_under_all_names(run: Run) -> None:
    told = run("MQTTVersion").ends()
    assert sum("TernMQ" in line for line in told) == 4, told
