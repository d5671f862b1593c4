"""`python -m ternmq.paho.shadow DIR` writes a folder that stands for paho-mqtt: with it in PYTHONPATH
every `import paho` of a program, and of the packages that it uses, gives `ternmq.paho`."""

import sys
from pathlib import Path

from . import __version__

_PACKAGE = '''"""Leads to ternmq.paho, which speaks for paho-mqtt."""

import sys

from ternmq.paho import lead

__path__ = []
lead(sys.modules[__name__])
'''

_METADATA = f"""Metadata-Version: 2.1
Name: paho-mqtt
Version: {__version__}
Summary: Leads to ternmq.paho
"""


def write(folder: Path) -> None:
    """Writes the package `paho`, and what package tools ask for, into a folder."""
    if (folder / "paho" / "mqtt").exists():
        raise FileExistsError(f"{folder} has a paho of another make")
    package = folder / "paho"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(_PACKAGE)
    info = folder / f"paho_mqtt-{__version__}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(_METADATA)


def main(arguments: list[str]) -> int:
    """The command."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m ternmq.paho.shadow DIR", file=sys.stderr)
        return 2
    try:
        write(Path(arguments[0]))
    except OSError as error:
        print(f"ternmq.paho.shadow: {error}", file=sys.stderr)
        return 1
    print(f"PYTHONPATH={Path(arguments[0]).resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
