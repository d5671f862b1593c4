story: A will with retain 1 is published as a retained message.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-17
proves 5: MQTT-3.1.2-15

ben connects
ben subscribes filter=will/+ qos=1
anna connects will_topic=will/anna will_payload=gone will_qos=1 will_retain=1
anna dies
ben receives topic=will/anna payload=gone retain=0
cora connects
cora subscribes filter=will/anna qos=1
cora receives topic=will/anna payload=gone retain=1
