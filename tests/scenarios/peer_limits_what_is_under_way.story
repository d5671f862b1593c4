story: A client has no more messages under way than the server's Receive Maximum, while its other packets go on.
versions: 5
proves 5: MQTT-3.3.4-7 MQTT-3.3.4-8 MQTT-4.9.0-1 MQTT-4.9.0-2 MQTT-4.9.0-3

anna connects
peer expects CONNECT
peer sends CONNACK receive_maximum=1
anna sends topic=a payload=x qos=1
anna sends topic=a payload=y qos=1
anna subscribes filter=b qos=0
peer expects PUBLISH payload=x id=<p>
peer expects SUBSCRIBE id=<s>
peer sends SUBACK id=<s> code=0
peer sends PUBACK id=<p>
peer expects PUBLISH payload=y id=<q>
peer sends PUBACK id=<q>
anna settles
