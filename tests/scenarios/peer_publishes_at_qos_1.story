story: A client answers a QoS 1 PUBLISH with PUBACK and that id, and several in their order.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.3.2-2 MQTT-4.6.0-2 MQTT-3.3.4-1 MQTT-4.5.0-2
proves 5: MQTT-4.3.2-4 MQTT-4.6.0-2 MQTT-3.3.4-1 MQTT-4.5.0-2

anna connects
peer expects CONNECT
peer sends CONNACK
anna subscribes filter=a/# qos=1 => code=1
peer expects SUBSCRIBE id=<s> filter=a/# options=1
peer sends SUBACK id=<s> code=1
peer sends PUBLISH qos=1 id=10 topic=a/1 payload=x
peer sends PUBLISH qos=1 id=9 topic=a/2 payload=y
peer sends PUBLISH qos=1 id=65535 topic=a/3 payload=z
anna receives topic=a/1 payload=x qos=1
anna receives topic=a/2 payload=y qos=1
anna receives topic=a/3 payload=z qos=1
peer expects PUBACK id=10
peer expects PUBACK id=9
peer expects PUBACK id=65535
