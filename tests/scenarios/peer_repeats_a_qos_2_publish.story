story: A QoS 2 PUBLISH that comes twice before its PUBREL is delivered once.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.3.3-2
proves 5: MQTT-4.3.3-8 MQTT-4.3.3-10 MQTT-4.3.3-11 MQTT-4.3.3-12

anna connects
peer expects CONNECT
peer sends CONNACK
anna subscribes filter=a qos=2
peer expects SUBSCRIBE id=<s>
peer sends SUBACK id=<s> code=2
peer sends PUBLISH qos=2 id=5 topic=a payload=one
peer expects PUBREC id=5
peer sends PUBLISH qos=2 id=5 topic=a payload=one dup=1
peer expects PUBREC id=5
peer sends PUBREL id=5
peer expects PUBCOMP id=5
peer sends PUBLISH qos=2 id=5 topic=a payload=two
peer expects PUBREC id=5
peer sends PUBREL id=5
peer expects PUBCOMP id=5
anna receives topic=a payload=one qos=2
anna receives topic=a payload=two qos=2
