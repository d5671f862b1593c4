story: A filter that begins with a wildcard does not match a topic that begins with $.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.7.2-1
proves 5: MQTT-4.7.2-1

anna connects
ben connects
ben subscribes filter=# qos=0 filter=+/notes qos=0
anna publishes topic=$own/notes payload=hidden
anna publishes topic=open/end payload=seen
ben receives topic=open/end payload=seen
