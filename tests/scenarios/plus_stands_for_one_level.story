story: A + in a filter stands for exactly one level, wherever it is, and also for an empty one.
versions: 3.1.1 5
proves 3.1.1: MQTT-4.7.1-3
proves 5: MQTT-4.7.1-2

anna connects
ben connects
ben subscribes filter=sport/+/player1 qos=0 filter=+/finish qos=0
anna publishes topic=sport/player1 payload=too-few
anna publishes topic=sport/a/b/player1 payload=too-many
anna publishes topic=sport/tennis/player1 payload=first
ben receives topic=sport/tennis/player1 payload=first
anna publishes topic=sport//player1 payload=second
ben receives topic=sport//player1 payload=second
anna publishes topic=/finish payload=third
ben receives topic=/finish payload=third
