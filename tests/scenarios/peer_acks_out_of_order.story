story: Two messages under way have ids of their own, and either may be acknowledged first.
versions: 3.1.1 5
proves 3.1.1: MQTT-2.3.1-2
proves 5: MQTT-4.3.2-1

anna connects
peer expects CONNECT
peer sends CONNACK
anna sends topic=a payload=x qos=1
anna sends topic=b payload=y qos=1
peer expects PUBLISH topic=a id=<p>
peer expects PUBLISH topic=b id=<q>
peer sends PUBACK id=<q>
peer sends PUBACK id=<p>
anna settles
anna publishes topic=c payload=z
peer expects PUBLISH topic=c
