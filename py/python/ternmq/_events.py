"""What a session reports: tuples that begin with one of these numbers.

    READY, key                                      a subscription has got messages
    PUBLISHED, token, reason, properties
    SUBSCRIBED, token, codes, properties
    UNSUBSCRIBED, token, codes, properties
    DROPPED, token, connection_lost, text           there will be no answer
    CONNECTED, session_present, keepalive, assigned_client_id, properties
    REFUSED, reason, properties
    DISCONNECTED, cause, reason, properties, text   cause: local server lost timeout error options
    CROWDED, level                                  1: a queue is full, 2: as full as it may get
    AUTHENTICATE, reason, properties                the server's AUTH

`properties` is a dict, or None when there are none.
"""

from typing import Any

READY = 0
PUBLISHED = 1
SUBSCRIBED = 2
UNSUBSCRIBED = 3
DROPPED = 4
CONNECTED = 5
REFUSED = 6
DISCONNECTED = 7
CROWDED = 8
AUTHENTICATE = 9

Events = list[tuple[Any, ...]]
