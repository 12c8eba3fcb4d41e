"""A terminal that shows lines with a table below them, and what is done about one that is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.table import Table

Shown = TypeVar("Shown")


class Screen:
    """Lines, and the newest table below them. A terminal that fails is not written to again.

    Without that Rich would keep all that it could not write, and try it once more each time.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)

    def say(self, line: str) -> None:
        """Add a line.

        Raises:
            OSError: the terminal is gone.
        """
        with self._written():
            self._console.print(line, markup=False)

    def show(self, table: Table) -> None:
        """Put this table in the place of the one before.

        Raises:
            OSError: the terminal is gone.
        """
        with self._written():
            self._live.update(table, refresh=True)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        # What the run came to stands, whether or not anybody looks.
        with suppress(OSError), self._written():
            self._live.stop()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except SystemExit:
            # Rich's answer to a broken pipe.
            self._console.quiet = True
            raise BrokenPipeError("the terminal is gone") from None
        except OSError:
            self._console.quiet = True
            raise


def unhindered(show: Callable[[Shown], object]) -> Callable[[Shown], None]:
    """The same, but what cannot be shown (a closed terminal or pipe, a full disk) is not, and nobody is hindered."""

    def shown(what: Shown) -> None:
        with suppress(OSError, ValueError):
            show(what)

    return shown
