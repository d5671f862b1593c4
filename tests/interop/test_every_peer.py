"""What every client library does, in every version of MQTT that it speaks."""

import pytest
from peers import Peer, each, kept

# Publishes where a test is about the subscriber.
QUICK = Peer("mosquitto", 4)
PAYLOADS = [b"", b"\x00", bytes(range(256)) * 400]


@each()
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_payloads_go_both_ways(start, topic, peer, qos):
    anna = start(peer)
    anna.connects(clean_start=1)
    anna.subscribes(f"{topic}/x", qos)
    for payload in PAYLOADS:
        anna.publishes(f"{topic}/x", payload, qos)
        anna.receives(f"{topic}/x", payload, qos)


@each()
def test_wildcards_match_by_level(start, topic, peer):
    anna, ben = start(peer), start(QUICK)
    anna.connects()
    anna.subscribes(f"{topic}/+/door/#")
    for name in ("a/door", "a/window", "a/b/door", "b/door/1", "door", "c/door/1/2"):
        ben.publishes(f"{topic}/{name}", name)
    for name in ("a/door", "b/door/1", "c/door/1/2"):
        anna.receives(f"{topic}/{name}", name)


@each()
def test_a_retained_message_is_kept_replaced_and_removed(start, topic, peer):
    anna, ben, carla = start(peer), start(peer), start(peer)
    anna.connects()
    anna.publishes(topic, "first", retain=1)
    anna.publishes(topic, "second", qos=1, retain=1)
    ben.connects()
    ben.subscribes(topic)
    ben.receives(topic, "second", qos=1, retain=1)
    anna.publishes(topic, b"", retain=1)
    ben.receives(topic, b"")
    carla.connects()
    carla.subscribes(topic)
    anna.publishes(topic, "live", retain=0)
    carla.receives(topic, "live")


@each()
def test_a_killed_client_leaves_its_will(start, topic, peer):
    anna, ben = start(peer), start(peer)
    ben.connects()
    ben.subscribes(f"{topic}/will")
    anna.connects(will_topic=f"{topic}/will", will_payload="anna is gone", will_qos=1, will_retain=1)
    anna.subscribes(f"{topic}/other")
    anna.dies()
    ben.receives(f"{topic}/will", "anna is gone", qos=1)
    carla = start(peer)
    carla.connects()
    carla.subscribes(f"{topic}/will")
    carla.receives(f"{topic}/will", "anna is gone", qos=1, retain=1)


@each("goodbye")
def test_a_client_that_says_goodbye_leaves_no_will(start, topic, peer):
    anna, ben = start(peer), start(peer)
    ben.connects()
    ben.subscribes(f"{topic}/#")
    anna.connects(will_topic=f"{topic}/will", will_payload="anna is gone")
    anna.subscribes(f"{topic}/other", 0)
    anna.disconnects()
    ben.publishes(f"{topic}/next")
    ben.receives(f"{topic}/next")


@each()
@pytest.mark.parametrize("ending", ["disconnects", "dies"])
def test_a_kept_session_collects_messages(start, topic, peer, ending):
    anna, ben, again = start(peer), start(QUICK), start(peer)
    first = anna.connects(**kept(peer))
    anna.subscribes(topic)
    getattr(anna, ending)()
    # Most libraries hand over a QoS 2 message when it is released, so order is kept within a QoS.
    missed = [(1, "first"), (1, "second"), (2, "third"), (2, "fourth")]
    for qos, payload in missed:
        ben.publishes(topic, payload, qos)
    again.client_id = anna.client_id
    second = again.resumes(topic, **kept(peer))
    for qos, payload in missed:
        again.receives(topic, payload, qos)
    if peer.version > 3 and peer.can("session present"):
        assert [first.number("session_present"), second.number("session_present")] == [0, 1]
    again.publishes(topic, "live")
    again.receives(topic, "live")


@each("unsubscribe")
def test_unsubscribe_ends_the_flow(start, topic, peer):
    anna = start(peer)
    anna.connects()
    anna.subscribes(f"{topic}/a/+")
    anna.subscribes(f"{topic}/b")
    anna.unsubscribes(f"{topic}/a/+")
    anna.publishes(f"{topic}/a/1")
    anna.publishes(f"{topic}/b", "next")
    anna.receives(f"{topic}/b", "next")


@each()
def test_user_name_and_password_are_taken_where_none_are_needed(start, topic, peer):
    anna = start(peer)
    anna.connects(username="anna", password="secret of anna")
    anna.subscribes(topic)
    anna.publishes(topic, "in")
    anna.receives(topic, "in")


@each()
def test_the_longest_topic(start, topic, peer):
    longest = topic + "/" + "x" * (65_535 - len(topic) - 1)
    anna = start(peer)
    anna.connects()
    anna.subscribes(longest)
    anna.publishes(longest, "far")
    anna.receives(longest, "far")


@each("loss")
def test_a_second_connection_takes_over(start, topic, peer):
    anna, again = start(peer), start(peer)
    anna.connects()
    again.client_id = anna.client_id
    again.connects()
    lost = anna.loses()
    if peer.version == 5:
        assert lost.number("reason") == 0x8E
    again.subscribes(topic)
    again.publishes(topic, "here")
    again.receives(topic, "here")


@each()
def test_a_burst_arrives_in_order(start, topic, peer):
    anna, ben = start(peer), start(peer)
    ben.connects()
    ben.subscribes(topic)
    anna.connects()
    for qos in (0, 1, 2):
        for number in range(30):
            anna.ok("sends", topic=topic, payload=number, qos=qos)
        anna.ok("settles")
        for number in range(30):
            ben.receives(topic, str(number), qos)
