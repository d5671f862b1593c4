story: A will with retain 0 reaches those who listen and is not kept.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-16
proves 5: MQTT-3.1.2-14

ben connects
ben subscribes filter=will/+ qos=1
anna connects will_topic=will/anna will_payload=gone will_qos=1
anna dies
ben receives topic=will/anna payload=gone
cora connects
cora subscribes filter=will/+ qos=1
ben publishes topic=will/none payload=end qos=1
cora receives topic=will/none payload=end
