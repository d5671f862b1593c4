story: A subscription with Retain As Published gets the retain flag as it was sent.
versions: 5
proves 5: MQTT-3.3.1-13

anna connects
ben connects
ben subscribes filter=lamp qos=1 retain_as_published=1
anna publishes topic=lamp payload=on qos=1 retain=1
ben receives topic=lamp payload=on retain=1
anna publishes topic=lamp payload=off qos=1 retain=0
ben receives topic=lamp payload=off retain=0
