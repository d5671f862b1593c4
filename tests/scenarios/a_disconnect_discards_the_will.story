story: After a DISCONNECT the will is not published.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-3.1.2-10 MQTT-3.14.4-3
proves 5: MQTT-3.1.2-10 MQTT-3.14.4-3

ben connects
ben subscribes filter=will/+ qos=1
anna connects will_topic=will/anna will_payload=gone will_qos=1
anna disconnects
cora connects
cora publishes topic=will/none payload=end qos=1
ben receives topic=will/none payload=end
