"""MQTT 3.1, 3.1.1 and 5.0 for Python: an asyncio client, a blocking client, an embedded broker.

Nothing is imported before it is used: `import ternmq` loads neither asyncio nor the native part.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._listener import Listener
    from ._ternmq import Message, Will
    from .aio import Client, Subscription
    from .broker import Broker
    from .errors import (
        ConnectError,
        ConnectionLostError,
        ConnectTimeoutError,
        ForkError,
        MqttError,
        MqttTimeoutError,
        ProtocolError,
        PublishError,
        QueueFullError,
        SubscribeError,
    )
    from .reasons import ReasonCode
    from .values import Auth, Backoff, Compression, PublishResult, State, Tls

__all__ = [
    "Auth",
    "Backoff",
    "Broker",
    "Client",
    "Compression",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "ForkError",
    "Listener",
    "Message",
    "MqttError",
    "MqttTimeoutError",
    "ProtocolError",
    "PublishError",
    "PublishResult",
    "QueueFullError",
    "ReasonCode",
    "State",
    "SubscribeError",
    "Subscription",
    "Tls",
    "Will",
]

_HOMES = {
    "Auth": "values",
    "Backoff": "values",
    "Broker": "broker",
    "Client": "aio",
    "Compression": "values",
    "Listener": "_listener",
    "Message": "_ternmq",
    "PublishResult": "values",
    "ReasonCode": "reasons",
    "State": "values",
    "Subscription": "aio",
    "Tls": "values",
    "Will": "_ternmq",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'ternmq' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"ternmq.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
