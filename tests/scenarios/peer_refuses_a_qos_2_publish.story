story: A PUBREC with an error ends the handshake: no PUBREL follows, and the next message is a new one.
versions: 5
proves 5: MQTT-4.3.3-4 MQTT-4.4.0-2

anna connects
peer expects CONNECT
peer sends CONNACK
anna sends topic=a payload=x qos=2
peer expects PUBLISH qos=2 topic=a id=<p>
peer sends PUBREC id=<p> reason=0x97
anna publishes topic=b payload=y qos=1
peer expects PUBLISH qos=1 topic=b id=<q> dup=0
peer sends PUBACK id=<q>
