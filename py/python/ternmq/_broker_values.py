"""What an embedded broker tells."""

from dataclasses import dataclass

__all__ = ["ClientInfo"]


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """A session of a broker, as of the moment it was asked for."""

    client_id: str
    connected: bool
    """Whether its client is there. If not, the next three are None."""
    version: int | None
    """3 for MQTT 3.1, 4 for 3.1.1, 5 for 5.0."""
    keepalive: int | None
    """Seconds, 0 for none."""
    username: str | None
    """The user it has shown to be, else the user name it sent."""
    subscriptions: int
    queued: int
    """Messages that wait for it."""
    inflight: int
    """QoS 1 and 2 messages sent to it and not acknowledged in full."""
    received: int
    """Messages it has published."""
    sent: int
    """Messages sent to it."""
