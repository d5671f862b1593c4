story: A subscription that was there before gets a retained message with retain 0.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.3.1-9
proves 5: MQTT-3.3.1-12

anna connects
ben connects
ben subscribes filter=lamp qos=1
anna publishes topic=lamp payload=on qos=1 retain=1
ben receives topic=lamp payload=on qos=1 retain=0
