story: The last retained message of each matching topic is sent to a new subscription, with retain 1.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.3.1-5 MQTT-3.3.1-6 MQTT-3.3.1-8
proves 5: MQTT-3.3.1-5 MQTT-3.3.1-9

anna connects
anna publishes topic=state/door payload=open qos=1 retain=1
anna publishes topic=state/door payload=closed qos=1 retain=1
ben connects
ben subscribes filter=state/+ qos=1
ben receives topic=state/door payload=closed qos=1 retain=1
anna publishes topic=state/done payload=x qos=1
ben receives topic=state/done payload=x qos=1 retain=0
