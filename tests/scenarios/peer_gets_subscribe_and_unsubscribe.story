story: SUBSCRIBE and UNSUBSCRIBE carry their filters in order under a packet id each.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.8.1-1 MQTT-3.8.3-3 MQTT-3.10.1-1 MQTT-3.10.3-2 MQTT-2.3.1-1
proves 5: MQTT-3.8.1-1 MQTT-3.8.3-2 MQTT-3.10.1-1 MQTT-3.10.3-2 MQTT-2.2.1-3

anna connects
peer expects CONNECT
peer sends CONNACK
anna subscribes filter=a/+ qos=2 filter=b qos=0 => code=2 code=0
peer expects SUBSCRIBE id=<s> filter=a/+ options=2 filter=b options=0
peer sends SUBACK id=<s> code=2 code=0
anna unsubscribes filter=a/+ filter=b
peer expects UNSUBSCRIBE id=<u> filter=a/+ filter=b
in 3.1.1: peer sends UNSUBACK id=<u>
in 5: peer sends UNSUBACK id=<u> code=0 code=0x11
