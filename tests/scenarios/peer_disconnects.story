story: A client tells its user the reason of a server's DISCONNECT, and closes.
versions: 5
proves 5: MQTT-4.13.2-1 MQTT-3.14.4-2

anna connects
peer expects CONNECT
peer sends CONNACK
anna publishes topic=a payload=hello
peer expects PUBLISH
peer sends DISCONNECT reason=0x8b
peer sees-close
anna loses => reason=0x8b
