story: A will is in CONNECT with its topic, payload, QoS and retain flag.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-9 MQTT-3.1.2-14
proves 5: MQTT-3.1.2-9 MQTT-3.1.2-12

in 3.1.1: anna connects will_topic=will/anna will_payload=%00gone will_qos=2 will_retain=1
in 5: anna connects will_topic=will/anna will_payload=%00gone will_qos=2 will_retain=1 will.will_delay=5
in 3.1.1: peer expects CONNECT connect_flags=0x36 will_topic=will/anna will_payload=%00gone will_qos=2 will_retain=1
in 5: peer expects CONNECT connect_flags=0x36 will_topic=will/anna will_payload=%00gone will_qos=2 will_retain=1 will.will_delay=5
peer sends CONNACK
