story: Without will, user name and password none of them nor their flags are in CONNECT.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-11 MQTT-3.1.2-13 MQTT-3.1.2-15 MQTT-3.1.2-18 MQTT-3.1.2-20 MQTT-3.1.2-22
proves 5: MQTT-3.1.2-11 MQTT-3.1.2-13 MQTT-3.1.2-16 MQTT-3.1.2-18

anna connects clean_start=1
peer expects CONNECT connect_flags=0x02 username=! password=! will_topic=!
peer sends CONNACK
