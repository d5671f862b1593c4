story: After a reconnect to its session a client repeats the PUBREL that had no PUBCOMP, not the PUBLISH.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.4.0-1
proves 5: MQTT-4.4.0-1 MQTT-4.3.3-5 MQTT-4.3.3-6

in 3.1.1: anna connects clean_start=0
in 5: anna connects clean_start=0 session_expiry=600
peer expects CONNECT clean_start=0
peer sends CONNACK
anna sends topic=a payload=x qos=2
peer expects PUBLISH dup=0 topic=a id=<p>
peer sends PUBREC id=<p>
peer expects PUBREL id=<p>
peer cuts
anna loses
anna reconnects => session_present=1
in 3.1.1: peer expects CONNECT clean_start=0
in 5: peer expects CONNECT clean_start=0 session_expiry=600
peer sends CONNACK session_present=1
peer expects PUBREL id=<p>
peer sends PUBCOMP id=<p>
anna settles
