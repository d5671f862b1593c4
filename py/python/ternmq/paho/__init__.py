"""The API of paho-mqtt 2.x on TernMQ's core.

`import ternmq.paho.client as mqtt` runs a program that was written for `import paho.mqtt.client as
mqtt`. `install()` puts this package in the place of `paho` in a running interpreter, and
`python -m ternmq.paho.shadow DIR` writes a folder that does so for whoever has it in PYTHONPATH. The
names, signatures and manners are those of paho-mqtt 2.2.0; the differences are listed in the manual,
`py/docs/coming-from.md`.
"""

import sys
from importlib import import_module
from types import ModuleType

from .exception import MQTTException

__all__ = ["MQTTException", "install"]

#: The version of paho-mqtt whose API this is; programs compare it.
__version__ = "2.2.0"

MODULES = (
    "client",
    "enums",
    "exception",
    "matcher",
    "packettypes",
    "properties",
    "publish",
    "reasoncodes",
    "subscribe",
    "subscribeoptions",
)


def install() -> None:
    """Makes `import paho.mqtt.client` and its like give this package's modules.

    To be called before anything imports `paho`: raises RuntimeError afterwards, because what has
    been imported would go on with the other package. Doing it twice does no harm.
    """
    there = sys.modules.get("paho.mqtt")
    if there is sys.modules[__name__]:
        return
    if there is not None or "paho" in sys.modules:
        raise RuntimeError(
            "paho is imported already: call ternmq.paho.install() before the first import of paho, "
            "and of packages that need it"
        )
    package = ModuleType("paho", "Leads to ternmq.paho.")
    package.__path__ = []
    sys.modules["paho"] = package
    lead(package)


def lead(package: ModuleType) -> None:
    """Makes the modules of `package`, a module named paho, those of this package."""
    here = sys.modules[__name__]
    sys.modules["paho.mqtt"] = here
    package.mqtt = here  # type: ignore[attr-defined]
    for name in MODULES:
        sys.modules[f"paho.mqtt.{name}"] = import_module(f".{name}", __name__)
