story: A client is told what the server granted for each filter, a refusal among them.
versions: 3.1.1 5
proves 3.1.1: MQTT-2.3.1-1
proves 5: MQTT-2.2.1-3

anna connects
peer expects CONNECT
peer sends CONNACK
in 3.1.1: anna subscribes filter=a qos=2 filter=b qos=1 filter=c qos=1 => code=0 code=0x80 code=1
in 5: anna subscribes filter=a qos=2 filter=b qos=1 filter=c qos=1 => code=0 code=0x87 code=1
peer expects SUBSCRIBE id=<s> filter=a options=2 filter=b options=1 filter=c options=1
in 3.1.1: peer sends SUBACK id=<s> code=0 code=0x80 code=1
in 5: peer sends SUBACK id=<s> code=0 code=0x87 code=1
