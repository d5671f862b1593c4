story: A QoS 1 message is acknowledged to its publisher and reaches the subscriber at QoS 1.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-4.3.2-1 MQTT-4.3.2-2 MQTT-4.5.0-1
proves 5: MQTT-4.3.2-4 MQTT-4.5.0-1 MQTT-2.2.1-5

anna connects
ben connects
ben subscribes filter=orders qos=1 => code=1
anna publishes topic=orders payload=one qos=1
ben receives topic=orders payload=one qos=1 dup=0
anna publishes topic=orders payload=two qos=1
ben receives topic=orders payload=two qos=1 dup=0
