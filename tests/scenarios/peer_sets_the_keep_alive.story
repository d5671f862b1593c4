story: A client takes the keep alive that the server sets in CONNACK.
versions: 5
proves 5: MQTT-3.1.2-21 MQTT-3.2.2-21

anna connects keep_alive=600
peer expects CONNECT keep_alive=600
peer sends CONNACK server_keep_alive=1
peer expects PINGREQ
peer sends PINGRESP
