story: UNSUBSCRIBE removes the filter that is the same character for character, and answers in any case.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.10.4-1 MQTT-3.10.4-5
proves 5: MQTT-3.10.4-1 MQTT-3.10.4-5 MQTT-3.11.3-2

anna connects
ben connects
ben subscribes filter=news/# qos=1
in 3.1.1: ben unsubscribes filter=news/+
in 5: ben unsubscribes filter=news/+ => code=0x11
anna publishes topic=news/1 payload=still qos=1
ben receives topic=news/1 payload=still
