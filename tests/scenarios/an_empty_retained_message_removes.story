story: An empty message with retain 1 is delivered to those who listen, and removes what was retained.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.3.1-10 MQTT-3.3.1-11
proves 5: MQTT-3.3.1-6 MQTT-3.3.1-7

anna connects
ben connects
ben subscribes filter=flag/a qos=1
anna publishes topic=flag/a payload=up qos=1 retain=1
ben receives topic=flag/a payload=up retain=0
anna publishes topic=flag/a qos=1 retain=1
ben receives topic=flag/a payload= retain=0
cora connects
cora subscribes filter=flag/+ qos=1
anna publishes topic=flag/b payload=end qos=1
cora receives topic=flag/b payload=end
