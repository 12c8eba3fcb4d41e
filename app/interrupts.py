"""What ends a command that runs until somebody ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

Handler = Callable[[int, Any], Any]


def interrupted_by(*numbers: signal.Signals) -> None:
    """These signals raise KeyboardInterrupt in the main thread, as `handle_even_in_background` has it."""
    handle_even_in_background(signal.default_int_handler, *numbers)


def handle_even_in_background(handler: Handler, *numbers: signal.Signals) -> None:
    """Have these signals handled, also those that were ignored at the start; but SIGHUP, which nohup asks to ignore.

    A shell without job control starts `command &` with SIGINT ignored, and Python leaves it so: `kill -INT` would do
    nothing. What runs for long, and closes something at its end, has to be ended by it; one-shot commands leave it.
    """
    for number in numbers:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
