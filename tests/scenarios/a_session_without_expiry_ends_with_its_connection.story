story: In MQTT 5 a session without an expiry interval is gone when its connection is.
versions: 5
proves 5: MQTT-4.1.0-2 MQTT-3.2.2-3

anna connects clean_start=0
anna subscribes filter=post qos=1
anna disconnects
anna connects clean_start=0 => session_present=0
