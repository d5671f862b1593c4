story: A client resolves the topic aliases that it allowed the server to use.
versions: 5
proves 5: MQTT-3.3.2-10

anna connects topic_alias_maximum=2
peer expects CONNECT topic_alias_maximum=2
peer sends CONNACK
anna subscribes filter=long/# qos=0
peer expects SUBSCRIBE id=<s>
peer sends SUBACK id=<s> code=0
peer sends PUBLISH topic=long/topic/1 topic_alias=1 payload=a
peer sends PUBLISH topic=long/topic/2 topic_alias=2 payload=b
peer sends PUBLISH topic= topic_alias=1 payload=c
peer sends PUBLISH topic=long/topic/3 topic_alias=1 payload=d
peer sends PUBLISH topic= topic_alias=1 payload=e
anna receives topic=long/topic/1 payload=a
anna receives topic=long/topic/2 payload=b
anna receives topic=long/topic/1 payload=c
anna receives topic=long/topic/3 payload=d
anna receives topic=long/topic/3 payload=e
