story: Subscribing to the same filter again replaces the subscription and sends retained messages again.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.8.4-3
proves 5: MQTT-3.8.4-3 MQTT-3.8.4-4

anna connects
anna publishes topic=lamp payload=on qos=1 retain=1
ben connects
ben subscribes filter=lamp qos=1 => code=1
ben receives topic=lamp payload=on qos=1 retain=1
ben subscribes filter=lamp qos=0 => code=0
ben receives topic=lamp payload=on qos=0 retain=1
anna publishes topic=lamp payload=off qos=1
ben receives topic=lamp payload=off qos=0 retain=0
anna publishes topic=lamp payload=end qos=1
ben receives topic=lamp payload=end qos=0
