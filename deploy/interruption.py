"""Being told to end: the first time everything ends in order, and that is not interrupted."""

import signal
from collections.abc import Callable
from types import FrameType


def raise_when_interrupted() -> None:
    """From here on SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, once."""
    _on_interruption(_interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _on_interruption(signal.SIG_IGN)
    raise KeyboardInterrupt


def _on_interruption(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)
