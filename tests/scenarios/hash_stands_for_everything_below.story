story: A # at the end of a filter stands for the level above it and everything below.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.7.1-2
proves 5: MQTT-4.7.1-1

anna connects
ben connects
ben subscribes filter=house/# qos=0
anna publishes topic=houses/1 payload=other
anna publishes topic=house payload=parent
ben receives topic=house payload=parent
anna publishes topic=house/kitchen payload=child
ben receives topic=house/kitchen payload=child
anna publishes topic=house/kitchen/lamp/1 payload=grandchild
ben receives topic=house/kitchen/lamp/1 payload=grandchild
