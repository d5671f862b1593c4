story: Retain Handling 1 sends retained messages to a new subscription only, 2 never.
versions: 5
proves 5: MQTT-3.3.1-10 MQTT-3.3.1-11

anna connects
anna publishes topic=lamp payload=on qos=1 retain=1
ben connects
ben subscribes filter=lamp qos=1 retain_handling=2
anna publishes topic=lamp payload=first qos=1
ben receives topic=lamp payload=first retain=0
cora connects
cora subscribes filter=lamp qos=1 retain_handling=1
cora receives topic=lamp payload=on retain=1
cora subscribes filter=lamp qos=1 retain_handling=1
anna publishes topic=lamp payload=second qos=1
cora receives topic=lamp payload=second retain=0
