"""The loggers of the package, and what becomes of their records in a program that has set up no logging."""

import logging

__all__ = ["logger"]


class _Unheard(logging.Handler):
    """Errors, a handler's traceback among them, then go to standard error, as Python does by itself; what may
    happen any day, such as a refused client, does not. Where anybody listens this adds nothing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        asked: logging.Logger | None = logging.getLogger(record.name)
        while asked is not None:
            if any(handler is not self for handler in asked.handlers):
                return
            asked = asked.parent if asked.propagate else None
        if logging.lastResort is not None:
            logging.lastResort.handle(record)


logging.getLogger("ternmq").addHandler(_Unheard())


def logger(name: str) -> logging.Logger:
    """`ternmq.` and this name."""
    return logging.getLogger(f"ternmq.{name}")
