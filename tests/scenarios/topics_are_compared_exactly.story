story: Letters of another case, a leading slash or a trailing slash make another topic.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.7.3-4
proves 5: MQTT-4.7.3-4

anna connects
ben connects
ben subscribes filter=Case/x qos=0
anna publishes topic=case/x payload=1
anna publishes topic=/Case/x payload=2
anna publishes topic=Case/x/ payload=3
anna publishes topic=Case/x payload=4
ben receives topic=Case/x payload=4
