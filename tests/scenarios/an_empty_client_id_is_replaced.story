story: Clients with an empty client id and a clean start all get in, each with an id of its own.
versions: 3.1.1 5
proves 3.1.1: MQTT-3.1.3-6
proves 5: MQTT-3.1.3-6 MQTT-3.1.3-7 MQTT-3.2.2-16

anna connects client_id= clean_start=1 => session_present=0
ben connects client_id= clean_start=1 => session_present=0
anna subscribes filter=both qos=1
ben publishes topic=both payload=x qos=1
anna receives topic=both payload=x
