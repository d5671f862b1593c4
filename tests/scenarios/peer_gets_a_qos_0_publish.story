story: A QoS 0 PUBLISH has neither DUP nor a packet id.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.3.1-2 MQTT-2.3.1-5 MQTT-4.3.1-1 MQTT-3.3.2-1
proves 5: MQTT-3.3.1-2 MQTT-2.2.1-2 MQTT-4.3.1-1 MQTT-3.3.2-1

anna connects
peer expects CONNECT
peer sends CONNACK
anna publishes topic=a/b payload=x qos=0 retain=1
peer expects PUBLISH dup=0 qos=0 retain=1 topic=a/b id=! payload=x
