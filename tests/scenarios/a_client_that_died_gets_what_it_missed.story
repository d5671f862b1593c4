story: A subscriber that dies in the middle gets each unacknowledged message when it is back.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.4.0-1
proves 5: MQTT-4.4.0-1

in 3.1.1: anna connects clean_start=0
in 5: anna connects clean_start=0 session_expiry=600
anna subscribes filter=work/+ qos=1
anna dies
ben connects
ben sends topic=work/1 payload=a qos=1
ben sends topic=work/2 payload=b qos=1
ben settles
in 3.1.1: anna connects clean_start=0 => session_present=1
in 5: anna connects clean_start=0 session_expiry=600 => session_present=1
# The session had this subscription all the time; some faces have no queue for it without asking.
anna subscribes filter=work/+ qos=1
anna receives topic=work/1 payload=a
anna receives topic=work/2 payload=b
anna disconnects
