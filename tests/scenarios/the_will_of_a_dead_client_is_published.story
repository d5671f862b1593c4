story: When a client dies without DISCONNECT its will is published.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-3.1.2-8
proves 5: MQTT-3.1.2-7 MQTT-3.1.2-8

ben connects
ben subscribes filter=will/+ qos=1
anna connects will_topic=will/anna will_payload=gone will_qos=1
anna dies
ben receives topic=will/anna payload=gone qos=1 retain=0
