story: PUBRECs come in the order of their PUBLISHes, and PUBRELs in the order of their PUBRECs.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.6.0-3 MQTT-4.6.0-4
proves 5: MQTT-4.6.0-3 MQTT-4.6.0-4

anna connects
peer expects CONNECT
peer sends CONNACK
peer sends PUBLISH qos=2 id=3 topic=a payload=x
peer sends PUBLISH qos=2 id=1 topic=a payload=y
peer expects PUBREC id=3
peer expects PUBREC id=1
anna sends topic=b payload=1 qos=2
anna sends topic=b payload=2 qos=2
peer expects PUBLISH id=<p> payload=1
peer expects PUBLISH id=<q> payload=2
peer sends PUBREC id=<q>
peer sends PUBREC id=<p>
peer expects PUBREL id=<q>
peer expects PUBREL id=<p>
peer sends PUBCOMP id=<q>
peer sends PUBCOMP id=<p>
anna settles
