"""Was the machine on time? A process that wants to wake every 20 ms and says when it was late.

It has ordinary priority, as the supervisor has in these runs, and does nothing else: what delays it is the machine.
Each line it says: `<monotonic ns> <seconds late>`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

PERIOD_NS = 20_000_000
SAID_S = 0.03
"""Lateness worth a line: half as much again as a period."""
STARVED_S = 0.1
"""Lateness of a 20 ms timer beyond which a missed limit says nothing about the processes (as in the demo)."""


class LatenessWatch:
    """The probe process and what it has said."""

    def __init__(self, directory: Path) -> None:
        self._said = directory / "lateness.txt"
        with self._said.open("w") as said:
            self._process = subprocess.Popen([sys.executable, "-S", str(Path(__file__))], stdout=said)  # noqa: S603

    def since(self, begin_ns: int) -> float:
        """Greatest lateness from a monotonic time on, s.

        Raises:
            AssertionError: the probe has ended.
        """
        if self._process.poll() is not None:
            raise AssertionError("the lateness probe has ended: nothing says whether the machine was on time")
        lines = [line.split() for line in self._said.read_text().splitlines()[1:]]
        return max((float(words[1]) for words in lines if len(words) == 2 and int(words[0]) >= begin_ns), default=0.0)

    def close(self) -> None:
        """End the probe."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    """The probe itself."""
    due_ns = time.monotonic_ns()
    sys.stdout.write("up\n")
    sys.stdout.flush()
    while True:
        due_ns += PERIOD_NS
        time.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
        now_ns = time.monotonic_ns()
        late_s = (now_ns - due_ns) / 1e9
        if late_s > SAID_S:
            sys.stdout.write(f"{now_ns} {late_s}\n")
            sys.stdout.flush()
            due_ns = now_ns


if __name__ == "__main__":
    main()
