story: A client that asks for its session where there is none gets a new one, and is told so.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.2.2-3
proves 5: MQTT-3.1.2-6 MQTT-3.2.2-3

anna connects clean_start=0 => session_present=0
