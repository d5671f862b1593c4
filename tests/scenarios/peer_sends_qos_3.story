story: A client closes the connection on a PUBLISH with both QoS bits set.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.3.1-4 MQTT-4.8.0-1
proves 5: MQTT-3.3.1-4

anna connects
peer expects CONNECT
peer sends CONNACK
anna publishes topic=a payload=hello
peer expects PUBLISH
peer sends-bytes bytes=%36%05%00%01a%00%01
in 5: peer expects DISCONNECT reason=0x81
peer sees-close
anna loses
