"""Worker processes that Ctrl-C does not reach: their parent alone is interrupted, and ends them at once."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


class WorkerPool(ProcessPoolExecutor):
    """Spawned workers. Left by an exception, it kills them instead of waiting for what was submitted.

    A worker that Ctrl-C reaches hands KeyboardInterrupt on as its job's result and takes the next job; one that is
    still being started prints a traceback. So SIGINT is blocked in them from their birth on.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers, mp_context=multiprocessing.get_context("spawn"))

    def submit(
        self, fn: Callable[Arguments, Returned], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Returned]:
        """As the base class, which starts workers here; they inherit what is blocked."""
        with _interrupt_held():
            return super().submit(fn, *args, **kwargs)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Wait for all results, or after an exception for none."""
        if kind is not None:
            for worker in multiprocessing.active_children():
                worker.kill()
            self.shutdown(cancel_futures=True)
        return super().__exit__(kind, error, trace)


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """A SIGINT that comes meanwhile is delivered afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
