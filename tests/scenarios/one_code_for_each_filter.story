story: One SUBSCRIBE with several filters gets one SUBACK with a code for each, in their order.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.8.4-4 MQTT-3.8.4-5 MQTT-3.9.3-1 MQTT-3.9.3-2
proves 5: MQTT-3.8.4-5 MQTT-3.8.4-6 MQTT-3.8.4-7 MQTT-3.9.3-1 MQTT-3.9.3-2

anna connects
anna subscribes filter=a qos=2 filter=b qos=0 filter=c/# qos=1 filter=d/+ qos=2 => code=2 code=0 code=1 code=2
anna publishes topic=c/1 payload=x qos=1
anna receives topic=c/1 payload=x qos=1
