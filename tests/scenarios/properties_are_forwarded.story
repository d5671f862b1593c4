story: The properties of a message reach the subscriber as they were sent, user properties in their order.
versions: 5
proves 5: MQTT-3.3.2-4 MQTT-3.3.2-15 MQTT-3.3.2-16 MQTT-3.3.2-17 MQTT-3.3.2-18 MQTT-3.3.2-20

anna connects
ben connects
ben subscribes filter=ask qos=1
anna publishes topic=ask payload=q qos=1 payload_format=1 content_type=text/plain response_topic=answer/1 correlation=%00%ff7 user=b:2 user=a:1 user=b:3
ben receives topic=ask payload=q payload_format=1 content_type=text/plain response_topic=answer/1 correlation=%00%ff7 user=b:2 user=a:1 user=b:3
