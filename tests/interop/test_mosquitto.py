"""What only mosquitto's programs do, and how scripts use them."""

import subprocess

import pytest
from actors import PATIENCE
from mosquitto import VERSIONS
from peers import Peer, each


def mosquitto(version):
    return Peer("mosquitto", version)


def request(broker, version, topic, *options):
    """mosquitto_rr: publishes a request and prints the answer."""
    return subprocess.Popen(
        ["mosquitto_rr", "-h", broker.host, "-p", str(broker.port), "-V", VERSIONS[version],
         "-t", f"{topic}/request", "-e", f"{topic}/response", "-q", "2", "-W", str(PATIENCE),
         "-m", "how much?", *options],
        stdout=subprocess.PIPE,
    )  # fmt: skip


def answer_of(process):
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, f"mosquitto_rr ended with {process.returncode}"
    return said


@each(versions=(5,))
def test_every_library_answers_a_request(troupe, start, topic, peer):
    server = start(peer)
    server.connects()
    server.subscribes(f"{topic}/request")
    asking = request(troupe.broker, 5, topic, "-D", "publish", "correlation-data", "number-7")
    came = server.receives(f"{topic}/request", "how much?")
    assert came.text("correlation") == "number-7"
    back = came.text("response_topic")
    assert back == f"{topic}/response"
    server.publishes(back, "this much", correlation=came.text("correlation"))
    assert answer_of(asking) == b"this much\n"


def test_a_request_in_3_1_1_has_an_agreed_response_topic(troupe, start, topic):
    server = start(mosquitto(4))
    server.connects()
    server.subscribes(f"{topic}/request")
    asking = request(troupe.broker, 4, topic)
    server.receives(f"{topic}/request", "how much?")
    server.publishes(f"{topic}/response", "this much")
    assert answer_of(asking) == b"this much\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_it_unsubscribes_while_it_connects(start, topic, version):
    anna = start(mosquitto(version))
    kept = {"clean_start": 0} | ({"session_expiry": 600} if version == 5 else {})
    anna.connects(**kept)
    anna.subscribes(f"{topic}/old")
    anna.disconnects()
    anna.connects(**kept)
    anna.subscribes(f"{topic}/new", instead_of=f"{topic}/old")
    ben = start(mosquitto(version))
    # Both packets leave before the answer to either, and are answered in their order.
    anna.until(b"Client %s received UNSUBACK" % anna.client_id.encode())
    ben.publishes(f"{topic}/old", "old")
    ben.publishes(f"{topic}/new", "new")
    anna.receives(f"{topic}/new", "new")


def test_in_mqtt_5_it_leaves_with_its_will(start, topic):
    anna, ben = start(mosquitto(5)), start(mosquitto(3))
    ben.connects()
    ben.subscribes(f"{topic}/will")
    anna.connects(will_topic=f"{topic}/will", will_payload="goodbye", will_qos=1)
    anna.subscribes(topic)
    anna.disconnects()
    ben.receives(f"{topic}/will", "goodbye", 1)


def test_it_publishes_the_lines_of_its_input(troupe, start, topic):
    anna = start(mosquitto(5))
    anna.connects()
    anna.subscribes(topic)
    lines = "".join(f"line {n}\n" for n in range(200))
    port = str(troupe.broker.port)
    options = ["-h", troupe.broker.host, "-p", port, "-q", "1", "-t", topic, "-l"]
    subprocess.run(["mosquitto_pub", *options], input=lines.encode(), check=True, timeout=PATIENCE)
    for n in range(200):
        anna.receives(topic, f"line {n}", 1)
