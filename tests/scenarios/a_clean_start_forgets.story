story: A clean start drops the session that was there, with its subscriptions.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-6 MQTT-3.2.2-1
proves 5: MQTT-3.1.2-4 MQTT-3.2.2-2

in 3.1.1: anna connects clean_start=0 => session_present=0
in 5: anna connects clean_start=0 session_expiry=600 => session_present=0
anna subscribes filter=old qos=1
anna disconnects
anna connects clean_start=1 => session_present=0
anna subscribes filter=new qos=1
ben connects
ben publishes topic=old payload=lost qos=1
ben publishes topic=new payload=seen qos=1
anna receives topic=new payload=seen
