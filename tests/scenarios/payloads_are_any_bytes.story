story: A payload is any bytes, and none at all is a payload too.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-4.5.0-1
proves 5: MQTT-4.5.0-1

anna connects
ben connects
ben subscribes filter=raw qos=1
anna publishes topic=raw payload=%00%01%ff%fe%0a%20 qos=1
ben receives topic=raw payload=%00%01%ff%fe%0a%20
anna publishes topic=raw qos=1
ben receives topic=raw payload=
