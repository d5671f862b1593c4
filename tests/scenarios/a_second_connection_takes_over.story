story: When a second client connects with the same client id the first connection is ended.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.4-2
proves 5: MQTT-3.1.4-3

anna connects client_id=same
ben connects client_id=same
in 3.1.1: anna loses
in 5: anna loses => reason=0x8e
cora connects
ben subscribes filter=after qos=1
cora publishes topic=after payload=x qos=1
ben receives topic=after payload=x
