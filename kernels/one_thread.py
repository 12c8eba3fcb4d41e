"""A thread that runs what others ask of it, one call after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class OneThread:
    """Runs calls in a thread of its own; a daemon, so that it still runs while the process calls its exit hooks."""

    def __init__(self, name: str) -> None:
        self.ended = False
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises.

        Raises:
            RuntimeError: the thread has ended.
        """
        if self.ended:
            raise RuntimeError(f"{self._thread.name}: closed, nothing runs there any more")
        future: Future[T] = Future()
        self._calls.put((future, work))
        return future.result()

    def end(self) -> None:
        """Stop after the calls so far."""
        self.ended = True
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            future, work = asked
            try:
                future.set_result(work())
            except BaseException as error:  # raised again where the call was made
                future.set_exception(error)
