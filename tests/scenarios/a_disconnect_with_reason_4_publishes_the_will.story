story: DISCONNECT with reason 0x04 asks for the will to be published.
versions: 5
proves 5: MQTT-3.1.2-8

ben connects
ben subscribes filter=will/+ qos=1
anna connects will_topic=will/anna will_payload=gone will_qos=1
anna disconnects reason=0x04
ben receives topic=will/anna payload=gone
