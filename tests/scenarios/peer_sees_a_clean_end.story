story: A client that disconnects sends DISCONNECT last and closes the connection.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-3.14.4-1 MQTT-3.14.4-2
proves 5: MQTT-3.14.4-1 MQTT-3.14.4-2

anna connects
peer expects CONNECT
peer sends CONNACK
anna disconnects
in 3.1: peer expects DISCONNECT
in 3.1.1: peer expects DISCONNECT
in 5: peer expects DISCONNECT reason=0
peer sees-close
