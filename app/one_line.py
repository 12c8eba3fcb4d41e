"""How commands end that are run as `python -m ...`: with what they made, or with one line of what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from onboard_vla.app.missing_packages import what_is_missing
from onboard_vla.core.errors import OnboardVlaError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def in_one_line(work: Callable[[], str]) -> int:
    """Do the work and print what it says; returns the exit status."""
    try:
        said = work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OnboardVlaError, OSError) as error:
        return _failed(str(error))
    except ModuleNotFoundError as error:
        missing = what_is_missing(error)
        if missing is None:
            raise
        return _failed(missing)
    print(said)  # noqa: T201
    return 0


def _failed(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201
    return 1
