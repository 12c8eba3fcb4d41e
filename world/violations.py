"""Bookkeeping of what must not happen: collisions with attribution, leaving the road, red lights, needless stops."""

from __future__ import annotations

from dataclasses import dataclass

COLLISION, OFF_ROAD, RED_LIGHT, STOPPED_WITHOUT_CAUSE = "collision", "off_road", "red_light", "stopped_without_cause"


@dataclass(frozen=True)
class Violation:
    """One event. `at_fault`: the ego vehicle's doing; `detail`: one line for a report."""

    kind: str
    stamp_ns: int
    at_fault: bool
    detail: str
