"""`onboard-vla ros` as a process, and its lines as they come."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

PROGRAM = (sys.executable, "-m", "onboard_vla.app.cli", "ros")
LIMIT_S = 90.0
"""Ends what hangs in one wait; interpreters of three nodes start within it on a machine that is ten times slower."""


class Running:
    """The command as a process; what it writes to standard error is kept in `lines`, as far as it was waited for."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.lines = []

    def wait_for(self, pattern):
        end = threading.Timer(LIMIT_S, self.process.kill)
        end.start()
        try:
            for line in self.process.stderr:
                self.lines.append(line)
                if found := re.search(pattern, line):
                    return found
        finally:
            end.cancel()
        raise AssertionError(f"ended without {pattern!r}: {self.lines}")

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(LIMIT_S)
        finally:
            self.process.kill()
            self.process.stderr.close()
