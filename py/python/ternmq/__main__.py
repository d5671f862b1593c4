"""The command `ternmq`: the server, `pub`, `sub` and `passwd`. `python -m ternmq` is the same."""

import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command with the arguments of the process, and ends the process."""
    # Python's handler of Ctrl-C takes a note for an interpreter that is not running while the command
    # is. What the process was told to ignore when it was started is left alone.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ._ternmq import run_command

    sys.exit(run_command([_name(), *sys.argv[1:]]))


def _name() -> str:
    """What the command was called by, for its help."""
    called = os.path.basename(sys.argv[0])
    if called != "__main__.py":
        return called
    return f"{os.path.basename(sys.executable)} -m ternmq"


if __name__ == "__main__":
    main()
