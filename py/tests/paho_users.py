"""Packages that are made on paho-mqtt, as they come from PyPI. `python paho_users.py NAME PORT` uses one
of them as its own documentation says, and fails when that does not work; test_paho_users.py runs it
with ternmq.paho in the place of paho."""

import asyncio
import json
import queue
import sys
import threading

import paho.mqtt.client

HOST, PATIENCE = "127.0.0.1", 10
PORT = int(sys.argv[2])


async def aiomqtt() -> None:
    import aiomqtt

    will = aiomqtt.Will("aiomqtt/will", "gone", 1)
    async with aiomqtt.Client(HOST, PORT, identifier="aiomqtt", will=will) as client:
        assert client.identifier == "aiomqtt"
        await client.subscribe("aiomqtt/#", qos=2)
        payloads = [bytes([n % 256]) * (n * 7 % 3000) for n in range(300)]

        async def send() -> None:
            for n, payload in enumerate(payloads):
                await client.publish(f"aiomqtt/{n % 3}", payload, qos=n % 3)

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(send())
            got = [await anext(client.messages) for _ in payloads]
        assert sorted(bytes(message.payload) for message in got) == sorted(payloads)
        assert {message.qos for message in got} == {0, 1, 2}
        # A loop of publishes leaves its turn to the others.
        busy = asyncio.create_task(forever(client))
        await asyncio.sleep(0)
        while not busy.done():
            # Again and again: asyncio.wait_for of Python 3.11 may swallow one.
            busy.cancel()
            await asyncio.sleep(0)
        await client.unsubscribe("aiomqtt/#")
    try:
        async with aiomqtt.Client(HOST, PORT, protocol=aiomqtt.ProtocolVersion.V5) as client:
            client._client._sock.shutdown(2)
            async for _ in client.messages:
                pass
    except aiomqtt.MqttError:
        pass
    else:
        raise AssertionError("a lost connection went unnoticed")


async def forever(client) -> None:
    while True:
        await client.publish("aiomqtt/busy", b"x")


def flask_mqtt() -> None:
    import flask
    import flask_mqtt

    app = flask.Flask("app")
    app.config.update(
        MQTT_BROKER_URL=HOST, MQTT_BROKER_PORT=PORT, MQTT_CLIENT_ID="flask", MQTT_KEEPALIVE=5,
        MQTT_LAST_WILL_TOPIC="flask/will", MQTT_LAST_WILL_MESSAGE="gone", MQTT_CLEAN_SESSION=True,
    )  # fmt: skip
    mqtt = flask_mqtt.Mqtt(connect_async=True)
    got, done = [], threading.Event()

    @mqtt.on_connect()
    def connected(client, userdata, flags, rc):
        mqtt.subscribe("flask/#", 1)

    @mqtt.on_topic("flask/topic")
    def by_topic(client, userdata, message):
        got.append(["topic", message.payload.decode()])
        done.set()

    @mqtt.on_message()
    def message(client, userdata, message):
        got.append(["message", message.payload.decode()])
        mqtt.publish("flask/topic", "second", 1)

    @mqtt.on_subscribe()
    def subscribed(client, userdata, mid, granted):
        mqtt.publish("flask/other", "first", 1)

    mqtt.init_app(app)
    assert done.wait(PATIENCE)
    assert got == [["message", "first"], ["topic", "second"]]
    assert mqtt.client._client_id == b"flask"
    mqtt.unsubscribe_all()
    mqtt._disconnect()


def ha_mqtt_discoverable() -> None:
    from ha_mqtt_discoverable import Settings
    from ha_mqtt_discoverable.sensors import BinarySensor, BinarySensorInfo, Switch, SwitchInfo

    seen, changed = {}, threading.Condition()
    watcher = paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2)

    def on_message(client, userdata, message):
        with changed:
            seen[message.topic] = message.payload.decode()
            changed.notify_all()

    watcher.on_message = on_message
    watcher.connect(HOST, PORT)
    watcher.subscribe("#", 1)
    watcher.loop_start()

    def wait_for(topic: str) -> str:
        with changed:
            assert changed.wait_for(lambda: topic in seen, PATIENCE), seen
            return seen[topic]

    settings = Settings.MQTT(host=HOST, port=PORT)
    sensor = BinarySensor(Settings(mqtt=settings, entity=BinarySensorInfo(name="door", device_class="door")))
    sensor.on()
    assert wait_for("hmd/binary_sensor/door/state") == "on"
    assert json.loads(wait_for("homeassistant/binary_sensor/door/config"))["name"] == "door"
    commands = queue.Queue(10)
    switch = Switch(
        Settings(mqtt=settings, entity=SwitchInfo(name="lamp")),
        lambda client, userdata, message: commands.put(message.payload.decode()),
    )
    switch.off()
    assert wait_for("hmd/switch/lamp/state") == "OFF"
    watcher.publish("hmd/switch/lamp/command", "ON", 1).wait_for_publish(PATIENCE)
    assert commands.get(timeout=PATIENCE) == "ON"
    watcher.disconnect()
    watcher.loop_stop()


if __name__ == "__main__":
    assert paho.mqtt.client.__name__ == "ternmq.paho.client"
    user = {"aiomqtt": lambda: asyncio.run(aiomqtt()), "flask-mqtt": flask_mqtt, "ha-mqtt-discoverable": ha_mqtt_discoverable}
    user[sys.argv[1]]()
    print("done")
