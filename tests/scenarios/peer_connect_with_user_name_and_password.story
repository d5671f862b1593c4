story: User name and password are in CONNECT when the user gave them, and any bytes are a password.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-19 MQTT-3.1.2-21
proves 5: MQTT-3.1.2-17 MQTT-3.1.2-19

anna connects username=anna password=%00secret%ff
peer expects CONNECT connect_flags=0xc2 username=anna password=%00secret%ff
peer sends CONNACK
