story: A QoS 2 PUBLISH goes through PUBREC, PUBREL and PUBCOMP with one packet id.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.3.3-1 MQTT-3.6.1-1 MQTT-2.3.1-6
proves 5: MQTT-4.3.3-1 MQTT-4.3.3-2 MQTT-4.3.3-4 MQTT-3.6.1-1 MQTT-2.2.1-5

anna connects
peer expects CONNECT
peer sends CONNACK
anna publishes topic=a/b payload=x qos=2
peer expects PUBLISH dup=0 qos=2 topic=a/b id=<p> payload=x
peer sends PUBREC id=<p>
peer expects PUBREL id=<p>
peer sends PUBCOMP id=<p>
anna disconnects
peer expects DISCONNECT
