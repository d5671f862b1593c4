"""What MQTT 5.0 adds, with every client library that speaks it."""

import pytest
from peers import Peer, each, kept

V5 = (5,)
PROPERTIES = {
    "payload_format": 1,
    "content_type": "text/plain",
    "response_topic": "answers/to/anna",
    "correlation": "number-7",
    "user": ["colour:red", "colour:blue", "size:9"],
}


def assert_same(came, properties):
    for name, value in properties.items():
        assert came.all(name) == [str(v) for v in (value if isinstance(value, list) else [value])], came


@each(versions=V5)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_come_as_they_were_sent(start, topic, peer, qos):
    anna = start(peer)
    anna.connects()
    anna.subscribes(topic, qos)
    anna.publishes(topic, "text", qos, **PROPERTIES)
    came = anna.receives(topic, "text", qos)
    assert_same(came, PROPERTIES)
    assert came.properties() == set(PROPERTIES)


@each(versions=V5)
def test_a_retained_message_keeps_its_properties(start, topic, peer):
    anna = start(peer)
    anna.connects()
    anna.publishes(topic, "text", retain=1, **PROPERTIES)
    anna.subscribes(topic, retain_as_published=1)
    assert_same(anna.receives(topic, "text", retain=1), PROPERTIES)
    anna.publishes(topic, "", retain=1)
    anna.receives(topic, "", retain=1)


@each(versions=V5)
def test_a_will_has_properties(start, topic, peer):
    anna, ben = start(peer), start(peer)
    ben.connects()
    ben.subscribes(f"{topic}/will")
    will = {"will_topic": f"{topic}/will", "will_payload": "gone", "will_qos": 2}
    anna.connects(**will, will__content_type="text/plain")
    anna.subscribes(f"{topic}/other")
    anna.dies()
    assert ben.receives(f"{topic}/will", "gone").text("content_type") == "text/plain"


@each(versions=V5)
def test_what_is_left_of_an_expiry_is_told(start, topic, peer):
    anna = start(peer)
    anna.connects()
    anna.subscribes(topic)
    anna.publishes(topic, "soon old", message_expiry=300)
    left = anna.receives(topic, "soon old").number("message_expiry")
    assert 0 < left <= 300


@each(versions=V5)
def test_a_message_comes_with_its_subscriptions(start, topic, peer):
    anna = start(peer)
    anna.connects()
    anna.subscribes(f"{topic}/a", subscription_id=268_435_455)
    anna.publishes(f"{topic}/a", "one")
    assert anna.receives(f"{topic}/a", "one").all("subscription_id") == ["268435455"]


@each("unsubscribe", versions=V5)
def test_overlapping_subscriptions_give_one_copy_with_all_identifiers(start, topic, peer):
    anna = start(peer)
    anna.connects()
    anna.subscribes(f"{topic}/a", subscription_id=7)
    anna.subscribes(f"{topic}/+", qos=1, subscription_id=8)
    anna.subscribes(f"{topic}/b")
    anna.publishes(f"{topic}/a", "one")
    anna.publishes(f"{topic}/b", "two")
    assert sorted(anna.receives(f"{topic}/a", "one").all("subscription_id")) == ["7", "8"]
    assert anna.receives(f"{topic}/b", "two").all("subscription_id") == ["8"]


@each("topic alias", versions=V5)
def test_a_client_uses_topic_aliases(start, topic, peer):
    anna, ben = start(peer), start(Peer("mosquitto", 3))
    ben.connects()
    ben.subscribes(f"{topic}/#")
    anna.connects()
    anna.publishes(f"{topic}/a", "sets 1", topic_alias=1)
    anna.publishes(f"{topic}/b", "sets 2", topic_alias=2)
    anna.publishes("", "uses 1", topic_alias=1)
    anna.publishes("", "uses 2", topic_alias=2)
    for name, payload in [("a", "sets 1"), ("b", "sets 2"), ("a", "uses 1"), ("b", "uses 2")]:
        ben.receives(f"{topic}/{name}", payload)


@each("publish reason", versions=V5)
def test_a_publisher_learns_whether_somebody_listens(start, topic, peer):
    anna = start(peer)
    anna.connects()
    assert anna.publishes(topic, "to nobody", 1).number("reason") == 0x10
    anna.subscribes(topic)
    assert anna.publishes(topic, "to anna", 1).number("reason") == 0
    anna.receives(topic, "to anna", 1)


@each("unsubscribe code", versions=V5)
def test_unsubscribing_what_is_not_subscribed(start, topic, peer):
    anna = start(peer)
    anna.connects()
    anna.subscribes(topic)
    assert anna.unsubscribes(topic).number("code") == 0
    assert anna.unsubscribes(topic).number("code") == 0x11


@each("assigned id", versions=V5)
def test_a_client_without_an_id_gets_one(start, topic, peer):
    anna = start(peer)
    given = anna.connects(client_id="").text("assigned_client_id")
    assert given
    # It is the id of the session, under which another connection takes over.
    ben = start(peer)
    ben.connects(client_id=given)
    assert anna.loses().number("reason") == 0x8E


@each("session present", "disconnect properties", versions=V5)
def test_a_session_lasts_as_long_as_its_expiry(start, topic, peer):
    anna = start(peer)
    anna.connects(**kept(peer))
    anna.subscribes(topic)
    anna.disconnects(session_expiry=0)
    again = start(peer)
    again.client_id = anna.client_id
    assert again.connects(**kept(peer)).number("session_present") == 0
    again.disconnects(session_expiry=600)
    third = start(peer)
    third.client_id = anna.client_id
    # Kept by its last DISCONNECT; from here on it ends with its connection.
    assert third.connects(clean_start=0).number("session_present") == 1
    third.disconnects()
    fourth = start(peer)
    fourth.client_id = anna.client_id
    assert fourth.connects(clean_start=0).number("session_present") == 0


@each("disconnect properties", versions=V5)
def test_a_client_leaves_with_its_will(start, topic, peer):
    anna, ben = start(peer), start(peer)
    ben.connects()
    ben.subscribes(f"{topic}/will")
    anna.connects(will_topic=f"{topic}/will", will_payload="on purpose")
    anna.disconnects(reason=4)
    ben.receives(f"{topic}/will", "on purpose", 0)


@each("unsubscribe", versions=V5)
def test_no_local(start, topic, peer):
    anna, ben = start(peer), start(peer)
    anna.connects()
    anna.subscribes(topic, no_local=1)
    ben.connects()
    anna.publishes(topic, "my own")
    ben.publishes(topic, "of ben")
    anna.receives(topic, "of ben")


@each("unsubscribe", versions=V5)
def test_retain_handling(start, topic, peer):
    anna = start(peer)
    anna.connects()
    anna.publishes(topic, "kept", retain=1)
    anna.subscribes(topic, retain_handling=2)
    anna.publishes(topic, "live")
    anna.receives(topic, "live")
    anna.subscribes(topic, retain_handling=1)  # not a new one
    anna.publishes(topic, "again")
    anna.receives(topic, "again")
    anna.subscribes(topic, retain_handling=0)
    anna.receives(topic, "kept", retain=1)
    anna.publishes(topic, "", retain=1)
    anna.receives(topic)
