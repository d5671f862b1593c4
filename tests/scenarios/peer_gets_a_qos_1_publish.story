story: A QoS 1 PUBLISH has a packet id and no DUP, and is done with its PUBACK.
versions: 3.1.1 5
proves 3.1.1: MQTT-2.3.1-1 MQTT-4.3.2-1
proves 5: MQTT-2.2.1-3 MQTT-4.3.2-1 MQTT-4.3.2-2 MQTT-4.3.2-3

anna connects
peer expects CONNECT
peer sends CONNACK
anna publishes topic=a/b payload=x qos=1
peer expects PUBLISH dup=0 qos=1 retain=0 topic=a/b id=<p> payload=x
peer sends PUBACK id=<p>
anna disconnects
peer expects DISCONNECT
