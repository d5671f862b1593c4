story: A QoS 0 message reaches the subscriber of its topic, and nobody else.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-3.2.0-1 MQTT-3.1.4-4 MQTT-3.8.4-1 MQTT-3.3.2-3
proves 5: MQTT-3.2.0-1 MQTT-3.1.4-5 MQTT-3.8.4-1 MQTT-3.3.2-3

anna connects => session_present=0
ben connects => session_present=0
ben subscribes filter=plant/1/temp qos=0 => code=0
anna publishes topic=plant/2/temp payload=other
anna publishes topic=plant/1/temp payload=21.5
ben receives topic=plant/1/temp payload=21.5 qos=0 retain=0 dup=0
anna disconnects
ben disconnects
