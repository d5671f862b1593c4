story: A subscription with No Local does not get what its own client publishes.
versions: 5
proves 5: MQTT-3.8.3-3

anna connects
ben connects
anna subscribes filter=room qos=1 no_local=1
anna publishes topic=room payload=own qos=1
ben publishes topic=room payload=other qos=1
anna receives topic=room payload=other
