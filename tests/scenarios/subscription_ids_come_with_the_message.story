story: A message carries the subscription identifier of the subscription it matched.
versions: 5
proves 5: MQTT-3.3.4-3

anna connects
anna subscribes filter=one/+ qos=1 subscription_id=7
anna subscribes filter=two/+ qos=1 subscription_id=268435455
anna publishes topic=one/x payload=a qos=1
anna receives topic=one/x payload=a subscription_id=7
anna publishes topic=two/x payload=b qos=1
anna receives topic=two/x payload=b subscription_id=268435455
