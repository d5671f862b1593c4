story: Each QoS 2 message goes through its whole handshake and arrives once.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-4.3.3-1 MQTT-4.3.3-2
proves 5: MQTT-4.3.3-4 MQTT-4.3.3-8 MQTT-4.3.3-11

anna connects
ben connects
ben subscribes filter=ledger qos=2 => code=2
anna publishes topic=ledger payload=one qos=2
anna publishes topic=ledger payload=two qos=2
anna publishes topic=ledger payload=three qos=2
ben receives topic=ledger payload=one qos=2
ben receives topic=ledger payload=two qos=2
ben receives topic=ledger payload=three qos=2
