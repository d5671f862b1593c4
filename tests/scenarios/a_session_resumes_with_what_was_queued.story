story: A session that is kept goes on: its subscriptions hold, and what came meanwhile is delivered in order.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.3-2 MQTT-3.1.2-4 MQTT-3.1.2-5 MQTT-3.2.2-2 MQTT-4.1.0-1
proves 5: MQTT-3.1.3-2 MQTT-3.1.2-5 MQTT-3.1.2-23 MQTT-3.2.2-3 MQTT-4.1.0-1

in 3.1.1: anna connects clean_start=0 => session_present=0
in 5: anna connects clean_start=0 session_expiry=600 => session_present=0
anna subscribes filter=post qos=2
anna dies
ben connects
ben publishes topic=post payload=one qos=1
ben publishes topic=post payload=two qos=1
ben publishes topic=post payload=three qos=1
in 3.1.1: anna connects clean_start=0 => session_present=1
in 5: anna connects clean_start=0 session_expiry=600 => session_present=1
ben publishes topic=post payload=four qos=1
# The session had this subscription all the time; some faces have no queue for it without asking.
anna subscribes filter=post qos=2
anna receives topic=post payload=one qos=1
anna receives topic=post payload=two qos=1
anna receives topic=post payload=three qos=1
anna receives topic=post payload=four qos=1
