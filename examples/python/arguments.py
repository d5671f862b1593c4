"""What the example programs share: their arguments."""

import sys


def arguments(usage: str) -> list[str]:
    """The arguments of the program, exactly as many as `usage` has words."""
    given = sys.argv[1:]
    if len(given) != len(usage.split()):
        print(f"usage: {sys.argv[0]} {usage}", file=sys.stderr)
        sys.exit(2)
    return given
