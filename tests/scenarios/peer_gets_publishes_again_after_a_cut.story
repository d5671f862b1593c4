story: After a reconnect to its session a client sends its unacknowledged messages again, in order, with DUP and the old ids.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-2.3.1-3 MQTT-4.6.0-1
proves 5: MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.6.0-1

in 3.1.1: anna connects clean_start=0
in 5: anna connects clean_start=0 session_expiry=600
peer expects CONNECT clean_start=0
peer sends CONNACK
anna sends topic=a payload=x qos=1
anna sends topic=b payload=y qos=1
peer expects PUBLISH dup=0 topic=a id=<p>
peer expects PUBLISH dup=0 topic=b id=<q>
peer cuts
anna loses
anna reconnects => session_present=1
in 3.1.1: peer expects CONNECT clean_start=0
in 5: peer expects CONNECT clean_start=0 session_expiry=600
peer sends CONNACK session_present=1
peer expects PUBLISH dup=1 qos=1 topic=a payload=x id=<p>
peer expects PUBLISH dup=1 qos=1 topic=b payload=y id=<q>
peer sends PUBACK id=<p>
peer sends PUBACK id=<q>
anna settles
