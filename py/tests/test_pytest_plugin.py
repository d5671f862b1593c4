"""The pytest plugin, by tests that run tests."""

import re
from pathlib import Path

import pytest
import ternmq

pytest_plugins = ["pytester"]

BASIC = """
import pytest, ternmq

def test_fresh(mqtt_broker, mqtt_client):
    assert len(mqtt_broker.clients()) == 1
    mqtt_client.publish("a", b"1", qos=1, retain=True)

def test_nothing_is_left_of_the_test_before(mqtt_broker, mqtt_client):
    with mqtt_client.subscribe("#") as messages:
        mqtt_client.publish("b", b"2", qos=1)
        assert messages.get(10).topic == "b"

def test_time_moves_and_the_client_stays(mqtt_broker, mqtt_client):
    mqtt_broker.time.advance(hours=10)
    mqtt_client.publish("a", b"", qos=1)

@pytest.mark.mqtt_broker(users={"u": "p"}, tls=True, ws=True)
def test_arguments(mqtt_broker, mqtt_client):
    assert set(mqtt_broker.urls) == {"mqtt", "mqtts", "ws", "wss"}
    assert next(iter(mqtt_broker.clients().values())).username == "u"
    with pytest.raises(ternmq.ConnectError):
        from ternmq.blocking import Client
        Client(mqtt_broker.url).connect()

@pytest.mark.mqtt_broker(port=None, tls=True)
def test_tls_alone(mqtt_broker, mqtt_client):
    assert list(mqtt_broker.urls) == ["mqtts"]
    mqtt_client.publish("a", b"1", qos=1)

def test_one_for_all_1(mqtt_broker_session, mqtt_client):
    mqtt_broker_session.publish("kept", str(mqtt_broker_session.port), retain=True)

def test_one_for_all_2(mqtt_broker_session, mqtt_client):
    with mqtt_client.subscribe("kept") as kept:
        assert kept.get(10).payload == str(mqtt_broker_session.port).encode()

def test_a_broker_that_is_stopped_by_the_test(mqtt_broker, mqtt_client, mqtt_capture):
    mqtt_client.publish("t", b"x", qos=1)
    mqtt_broker.stop()
    assert mqtt_capture.payloads() == [b"x"]

def test_what_is_published(mqtt_broker, mqtt_capture, mqtt_client):
    mqtt_broker.publish("a/1", b"1")
    mqtt_client.publish("a/2", b"2", qos=1)
    assert mqtt_capture.wait_for("a/2").payload == b"2"
    assert mqtt_capture.payloads("a/+") == [b"1", b"2"]
    mqtt_capture.clear()
    assert mqtt_capture.messages == []
    with pytest.raises(ternmq.MqttTimeoutError):
        mqtt_capture.wait_for("a/1", timeout=0.01)
"""

ASYNC = """
import ternmq, pytest
{mark}

async def test_async(mqtt_broker, mqtt_client, mqtt_capture):
    async with mqtt_client, mqtt_client.subscribe("a/#", 1) as messages:
        await mqtt_client.publish("a/b", b"x", qos=1)
        assert (await messages.get(10)).payload == b"x"
        assert (await mqtt_capture.wait_for_async("a/+")).topic == "a/b"
"""


def test_a_broker_and_a_client_for_each_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BASIC)
    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=9)


def test_under_xdist(pytester: pytest.Pytester) -> None:
    # Two processes may each have one broker for all of their tests.
    pytester.makepyfile(BASIC.replace("test_one_for_all", "check"))
    run_apart(pytester, "-p", "no:asyncio", "-n", "2").assert_outcomes(passed=7)


def test_with_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ASYNC.format(mark="pytestmark = pytest.mark.asyncio"))
    run(pytester).assert_outcomes(passed=1)


def test_with_anyio(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    pytester.makepyfile(ASYNC.format(mark="pytestmark = pytest.mark.anyio"))
    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=1)


def test_an_outside_broker(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, broker: ternmq.Broker
) -> None:
    monkeypatch.setenv("TERNMQ_TEST_BROKER", broker.url)
    pytester.makepyfile(f"""
import pytest

def test_it_is_that_one(mqtt_broker, mqtt_client):
    assert mqtt_broker.port == {broker.port}
    assert mqtt_broker.urls == {{"mqtt": mqtt_broker.url}}
    mqtt_broker.publish("t", "kept", retain=True)
    with mqtt_client.subscribe("t") as messages:
        mqtt_broker.publish("t", "x")
        assert messages.get(10).payload in (b"kept", b"x")

def test_what_is_published(mqtt_client, mqtt_capture):
    mqtt_client.publish("a", b"1", qos=1)
    assert mqtt_capture.wait_for("a").payload == b"1"
    assert mqtt_capture.payloads() == [b"1"]

def test_what_it_has_not(mqtt_broker):
    mqtt_broker.time.advance(1)

@pytest.mark.mqtt_broker(tls=True)
def test_what_it_is_not(mqtt_broker):
    raise AssertionError

def test_what_nobody_has(mqtt_broker_session):
    with pytest.raises(AttributeError):
        mqtt_broker_session.nonsense
""")
    run(pytester).assert_outcomes(passed=3, skipped=2)


def test_mistakes_are_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import pytest

@pytest.mark.mqtt_broker(True)
def test_positional(mqtt_broker): ...

@pytest.mark.mqtt_broker(nonsense=1)
def test_unknown(mqtt_broker): ...
""")
    result = run(pytester, "--strict-markers")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*takes keyword arguments*", "*nonsense*"])


def test_markers_of_module_class_and_test_are_taken_together(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import pytest

pytestmark = pytest.mark.mqtt_broker(tls=True, users={"module": "p"})

@pytest.mark.mqtt_broker(ws=True)
class TestThem:
    def test_of_the_class(self, mqtt_broker, mqtt_client):
        assert set(mqtt_broker.urls) == {"mqtt", "mqtts", "ws", "wss"}
        assert next(iter(mqtt_broker.clients().values())).username == "module"

    @pytest.mark.mqtt_broker(port=None, users={"farther": "p"})
    @pytest.mark.mqtt_broker(tls=None, users={"test": "p"})
    def test_the_nearest_has_the_last_word(self, mqtt_broker, mqtt_client):
        assert set(mqtt_broker.urls) == {"ws"}
        assert next(iter(mqtt_broker.clients().values())).username == "test"
""")
    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=2)


def test_who_asks_for_nothing_pays_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_x(): assert 'ternmq._ternmq' not in sys.modules\n")
    run_apart(pytester, "-p", "no:asyncio").assert_outcomes(passed=1)


def test_500_tests_have_a_fresh_broker_and_client_each(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import pytest

@pytest.mark.parametrize("n", range(500))
def test_x(mqtt_broker, mqtt_client, n):
    mqtt_client.publish("t", str(n), qos=1)
    assert [message.payload for message in mqtt_broker.messages] == [str(n).encode()]
""")
    run_apart(pytester).assert_outcomes(passed=500)


def test_the_readmes_tests_pass(pytester: pytest.Pytester) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    programs = re.findall(r"```python[^\n]*\n(.*?)```", readme, re.DOTALL)
    [tests] = [program for program in programs if "mqtt_broker" in program]
    pytester.makepyfile(tests)
    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=2)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """In this process, which saves starting one."""
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def run_apart(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """In a process of its own."""
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
