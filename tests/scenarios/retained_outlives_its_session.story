story: A retained message stays when the session of its publisher has ended.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.2-7
proves 5: MQTT-3.3.1-9

anna connects clean_start=1
anna publishes topic=last/words payload=hello qos=1 retain=1
anna disconnects
ben connects
ben subscribes filter=last/words qos=0
ben receives topic=last/words payload=hello qos=0 retain=1
