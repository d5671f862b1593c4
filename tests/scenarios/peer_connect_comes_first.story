story: The first packet of a client is CONNECT with the fields the user asked for.
versions: 3.1 3.1.1 5
proves 3.1.1: MQTT-3.1.0-1 MQTT-3.1.3-1 MQTT-3.1.3-3
proves 5: MQTT-3.1.0-1 MQTT-3.1.3-1 MQTT-3.1.3-3

anna connects client_id=someone clean_start=1 keep_alive=77 => session_present=0
in 3.1: peer expects CONNECT protocol_name=MQIsdp level=3 clean_start=1 keep_alive=77 client_id=someone
in 3.1.1: peer expects CONNECT protocol_name=MQTT level=4 clean_start=1 keep_alive=77 client_id=someone
in 5: peer expects CONNECT protocol_name=MQTT level=5 clean_start=1 keep_alive=77 client_id=someone
peer sends CONNACK
anna disconnects
peer expects DISCONNECT
peer sees-close
