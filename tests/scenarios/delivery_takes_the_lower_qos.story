story: A message is delivered at the lower of the published and the granted QoS.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.8.4-6
proves 5: MQTT-3.8.4-8

anna connects
ben connects
ben subscribes filter=low qos=0 filter=middle qos=1 filter=high qos=2 => code=0 code=1 code=2
anna publishes topic=low payload=a qos=2
ben receives topic=low payload=a qos=0
anna publishes topic=middle payload=b qos=2
ben receives topic=middle payload=b qos=1
anna publishes topic=high payload=c qos=2
ben receives topic=high payload=c qos=2
anna publishes topic=high payload=d qos=1
ben receives topic=high payload=d qos=1
anna publishes topic=high payload=e qos=0
ben receives topic=high payload=e qos=0
