"""Janus, a WebRTC server of another make, with its two plugins that speak MQTT through Paho's library."""

import json
from collections.abc import Callable
from pathlib import Path

from actors import Shim
from broker import Broker
from conftest import Program

PLUGINS = "/usr/lib/x86_64-linux-gnu/janus"

JANUS = """
general: {{ configs_folder = "{folder}" plugins_folder = "{folder}/none" transports_folder = "{plugins}/transports"
  events_folder = "{plugins}/events" loggers_folder = "{folder}/none" interface = "127.0.0.1" }}
media: {{ }}
nat: {{ ice_enforce_list = "127.0.0.1" }}
transports: {{ disable = "{others}" }}
events: {{ broadcast = true disable = "{other_events}" }}
"""
TRANSPORT = """
general: {{ enabled = true events = true json = "compact" url = "{url}" client_id = "{topic}-transport"
  mqtt_version = "{version}" subscribe_topic = "{topic}/to" publish_topic = "{topic}/from" publish_qos = 2
  subscribe_qos = 2 }}
admin: {{ admin_enabled = false }}
status: {{ enabled = true connect_message = "here" disconnect_message = "away" topic = "{topic}/status" qos = 1 }}
"""
EVENTS = """
general: {{ enabled = true events = "all" json = "compact" url = "{url}" client_id = "{topic}-events"
  topic = "{topic}/events" addevent = true qos = 2 mqtt_version = "{version}"
  connect_status = "listening" disconnect_status = "over" }}
"""


def others(kind: str, keep: str) -> str:
    names = {p.name for p in Path(PLUGINS, kind).glob("*.so")}
    return ",".join(sorted(names - {keep}))


def until(witness: Shim, found: Callable[[str, dict], bool]) -> tuple[str, dict]:
    """The next message in JSON that is the wanted one."""
    for _ in range(100):
        came = witness.ok("receives")
        topic, payload = came.text("topic"), came.raw("payload")
        told = json.loads(payload) if payload[:1] in (b"{", b"[") else {"text": payload.decode()}
        for one in told if isinstance(told, list) else [told]:
            if found(topic, one):
                return topic, one
    raise AssertionError("it never came")


def test_requests_answers_and_events_of_janus(
    run: Callable[..., Program], broker: Broker, witness: Shim, topic: str, tmp_path: Path
) -> None:
    about = {
        "folder": tmp_path, "plugins": PLUGINS, "topic": topic, "version": "3.1.1",
        "url": f"tcp://{broker.host}:{broker.port}",
        "others": others("transports", "libjanus_mqtt.so"),
        "other_events": others("events", "libjanus_mqttevh.so"),
    }
    Path(tmp_path, "none").mkdir()
    for name, text in [("", JANUS), ("transport.mqtt.", TRANSPORT), ("eventhandler.mqttevh.", EVENTS)]:
        Path(tmp_path, f"janus.{name}jcfg").write_text(text.format(**about))
    witness.subscribes(f"{topic}/#")
    janus = run("janus", "-F", tmp_path, "-o")
    until(witness, lambda t, m: (t, m) == (f"{topic}/status", {"text": "here"}))
    janus.hears("successfully subscribed to MQTT topic")
    request = {"janus": "create", "transaction": "first"}
    witness.publishes(f"{topic}/to", json.dumps(request), 2)
    _, answer = until(witness, lambda t, m: t == f"{topic}/from")
    assert (answer["janus"], answer["transaction"]) == ("success", "first"), answer
    session = answer["data"]["id"]
    farewell = {"janus": "destroy", "session_id": session, "transaction": "last"}
    witness.publishes(f"{topic}/to", json.dumps(farewell), 2)
    _, event = until(witness, lambda t, m: t == f"{topic}/events/sessions" and named(m, "destroyed"))
    assert event["session_id"] == session, event
    janus.stops()


def named(message: dict, name: str) -> bool:
    return message.get("event", {}).get("name") == name
