story: An idle client sends PINGREQ before its keep alive has passed.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-23
proves 5: MQTT-3.1.2-20

anna connects keep_alive=1
peer expects CONNECT keep_alive=1
peer sends CONNACK
peer expects PINGREQ
peer sends PINGRESP
peer expects PINGREQ
peer sends PINGRESP
