story: A message with retain 0 neither replaces nor removes the retained one.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.3.1-12
proves 5: MQTT-3.3.1-8

anna connects
anna publishes topic=lamp payload=kept qos=1 retain=1
anna publishes topic=lamp payload=passing qos=1
anna publishes topic=lamp qos=1
ben connects
ben subscribes filter=lamp qos=1
ben receives topic=lamp payload=kept retain=1
