story: Topics of any script arrive as they were sent, a byte order mark included.
versions: 3.1.1 5
proves 3.1.1: MQTT-1.5.3-3
proves 5: MQTT-1.5.4-3

anna connects
ben connects
ben subscribes filter=%ef%bb%bfmark qos=0 filter=温度/厨房/𝄞 qos=0
anna publishes topic=mark payload=without
anna publishes topic=%ef%bb%bfmark payload=with
ben receives topic=%ef%bb%bfmark payload=with
anna publishes topic=温度/厨房/𝄞 payload=21°
ben receives topic=温度/厨房/𝄞 payload=21°
