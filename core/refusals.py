"""Counting what was refused at a process's door, and structured log lines about it, which no full disk may end."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

LOG_EVERY = 100
"""After the first refusal on a topic, one log line per this many: garbage at a high rate must not fill a disk."""


@dataclass
class LogState:
    """How many lines of this process could not be written, and why the last one could not."""

    failed: int = 0
    error: str = ""


LOG = LogState()
"""Of this process. Who publishes says so: a log that cannot be written cannot tell."""


def log_event(process: str, event: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Write one JSON line to standard error; where that fails (a full disk), count it in `LOG` and go on."""
    line = {"time_ns": time.time_ns(), "process": process, "event": event, **fields}
    try:
        sys.stderr.write(json.dumps(line, default=str) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError) as error:
        LOG.failed, LOG.error = LOG.failed + 1, str(error)


class Refusals:
    """How many messages were refused on each topic."""

    def __init__(self, process: str) -> None:
        self._process = process
        self.count: dict[str, int] = {}

    def add(self, topic: str, error: Exception) -> None:
        """Count one refused message and now and then say why."""
        count = self.count[topic] = self.count.get(topic, 0) + 1
        if count == 1 or count % LOG_EVERY == 0:
            log_event(self._process, "refused", topic=topic, count=count, error=f"{type(error).__name__}: {error}")
