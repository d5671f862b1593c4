story: A refused client is told the reason, and closes.
versions: 3.1.1 5
proves 5: MQTT-4.13.2-1

in 3.1.1: anna connects => refused reason=5
in 5: anna connects => refused reason=0x87
peer expects CONNECT
in 3.1.1: peer sends CONNACK reason=5
in 5: peer sends CONNACK reason=0x87
peer sees-close
