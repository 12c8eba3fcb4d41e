"""A process host that is built on a thread of its own: engines take seconds to load, and services answer meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from onboard_vla.core.process import ProcessHost


class Loading:
    """Begins to build with its creation. Its thread ends with the process, because a library's call cannot be."""

    def __init__(self, build: Callable[[], ProcessHost]) -> None:
        self._build = build
        self._host: ProcessHost | None = None
        self._error: BaseException | None = None
        self._begun_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether `host` answers at once."""
        return not self._thread.is_alive()

    @property
    def since_s(self) -> float:
        """How long ago it was begun, s."""
        return time.monotonic() - self._begun_s

    def host(self) -> ProcessHost:
        """What was built, in the caller's hands from now on; waits for it. Raises what building it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._host is not None  # or there is an error
        return self._host

    def _run(self) -> None:
        try:
            self._host = self._build()
        except BaseException as error:  # whatever it is, it is the waiting thread's
            self._error = error
