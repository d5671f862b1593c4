"""Packet types by number and name."""


class PacketTypes:
    """Packet types; `WILLMESSAGE` stands for the will part of CONNECT."""

    indexes = range(1, 16)

    (
        CONNECT,
        CONNACK,
        PUBLISH,
        PUBACK,
        PUBREC,
        PUBREL,
        PUBCOMP,
        SUBSCRIBE,
        SUBACK,
        UNSUBSCRIBE,
        UNSUBACK,
        PINGREQ,
        PINGRESP,
        DISCONNECT,
        AUTH,
    ) = indexes

    WILLMESSAGE = 99

    Names = (
        "reserved",
        *(
            name.capitalize()
            for name in (
                "CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE "
                "UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH"
            ).split()
        ),
    )
