story: After UNSUBSCRIBE no message for that filter comes, while others still do.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.10.4-1 MQTT-3.10.4-2 MQTT-3.10.4-4
proves 5: MQTT-3.10.4-1 MQTT-3.10.4-2 MQTT-3.10.4-4

anna connects
ben connects
ben subscribes filter=news/+ qos=1
ben subscribes filter=bell qos=1
anna publishes topic=news/1 payload=first qos=1
ben receives topic=news/1 payload=first
ben unsubscribes filter=news/+
anna publishes topic=news/2 payload=second qos=1
anna publishes topic=bell payload=ding qos=1
ben receives topic=bell payload=ding
