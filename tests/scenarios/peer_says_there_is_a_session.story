story: A client with a clean start that is told of a session closes the connection.
versions: 5
proves 5: MQTT-3.2.2-4

anna connects clean_start=1 => failed
peer expects CONNECT clean_start=1
peer sends CONNACK session_present=1
peer expects DISCONNECT reason=0x82
peer sees-close
