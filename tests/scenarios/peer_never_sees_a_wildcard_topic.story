story: A client refuses to publish to a topic with a wildcard, and the connection goes on.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.3.2-2 MQTT-4.7.1-1
proves 5: MQTT-3.3.2-2 MQTT-4.7.0-1

anna connects
peer expects CONNECT
peer sends CONNACK
anna publishes topic=a/+ payload=x qos=1 => failed
anna publishes topic=a/# payload=x => failed
anna publishes topic=a/b payload=x
peer expects PUBLISH topic=a/b
