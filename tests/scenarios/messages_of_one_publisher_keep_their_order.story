story: Messages of one publisher arrive in the order in which they were sent.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.6.0-5 MQTT-4.6.0-6
proves 5: MQTT-4.6.0-5 MQTT-4.6.0-6

anna connects
ben connects
ben subscribes filter=steps qos=2
anna sends topic=steps payload=1 qos=1
anna sends topic=steps payload=2 qos=1
anna sends topic=steps payload=3 qos=1
anna sends topic=steps payload=4 qos=1
anna sends topic=steps payload=5 qos=1
anna settles
ben receives topic=steps payload=1
ben receives topic=steps payload=2
ben receives topic=steps payload=3
ben receives topic=steps payload=4
ben receives topic=steps payload=5
