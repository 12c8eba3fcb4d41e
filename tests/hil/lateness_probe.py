"""A process that wants to wake every 20 ms and says when it was late: `<monotonic ns> <seconds late>`, a line each.

It has ordinary priority, as the supervisor has in these tests, and does nothing else: what delays it is the machine.
"""

from __future__ import annotations

import sys
import time

PERIOD_NS = 20_000_000
SAID_S = 0.03
"""Lateness worth a line: half as much again as a period."""


def main() -> None:
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
