"""Which pictures did not come: losses counted per camera, and how long a silence is still loss and not a dead camera.

A camera that dies is found after two and a half periods where its link is clean. On a link that loses pictures at
random, such silences happen every second or so: there the camera counts as lossy (L1), and only a silence that chance
hardly makes counts as its end (10.2 F4 and F5).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.safety.guards.clock_step import Restate
from onboard_vla.safety.input_config import CameraArrivalLimits

OVERDUE_PERIODS = 1.75
"""Age of a camera's newest picture, its way included, from which the next one counts as missing."""
SETTLED = 20
"""Pictures, lost ones included, before a share of them means anything."""


@dataclass
class _Arrivals:
    """One camera's pictures, newest last: (stamp ns, pictures lost before it)."""

    pictures: deque[tuple[int, int]] = field(default_factory=deque)
    lost: int = 0

    @property
    def due(self) -> int:
        return len(self.pictures) + self.lost


class CameraArrivals:
    """Counts from the stamps of the verdicts; stamps must rise per camera."""

    def __init__(self, limits: CameraArrivalLimits) -> None:
        self._limits = limits
        self._cameras: dict[str, _Arrivals] = {}

    def add(self, camera: str, stamp_ns: int) -> None:
        """A picture has come."""
        known = self._cameras.setdefault(camera, _Arrivals())
        lost = 0
        if known.pictures:
            periods = round(seconds(stamp_ns - known.pictures[-1][0]) / self._limits.period_s)
            lost = min(max(periods - 1, 0), self._limits.window)
        known.pictures.append((stamp_ns, lost))
        known.lost += lost
        while known.due > self._limits.window and len(known.pictures) > 1:
            known.lost -= known.pictures.popleft()[1]

    def lost_fraction(self, camera: str) -> float:
        """Share of the camera's recent pictures that did not come; 0 while too few were due."""
        known = self._cameras.get(camera)
        return known.lost / known.due if known is not None and known.due >= SETTLED else 0.0

    def silence_limit_s(self, camera: str, clean_s: float, stamp_ns: int) -> float:
        """How long this camera may be silent at `stamp_ns`: `clean_s`, or longer where pictures are lost at random."""
        limits = self._limits
        lossy = self.lost_fraction(camera) > limits.lossy_fraction
        if lossy or self._gaps_ended() + self._gaps_open(camera, stamp_ns) >= limits.lossy_gaps:
            return max(clean_s, limits.lossy_silence_s)
        return clean_s

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped."""
        for known in self._cameras.values():
            known.pictures = deque((clock(stamp_ns), lost) for stamp_ns, lost in known.pictures)

    def _gaps_ended(self) -> int:
        """Gaps in any camera's stream that ended within the last `lossy_span_s` of all streams."""
        newest_ns = max((known.pictures[-1][0] for known in self._cameras.values()), default=0)
        oldest_ns = newest_ns - nanoseconds(self._limits.lossy_span_s)
        gaps = 0
        for known in self._cameras.values():
            for stamp_ns, lost in reversed(known.pictures):
                if stamp_ns < oldest_ns:
                    break
                gaps += lost > 0
        return gaps

    def _gaps_open(self, camera: str, stamp_ns: int) -> int:
        """Other cameras whose picture is due; none where most of them are: that is no chance any more."""
        due_ns = stamp_ns - nanoseconds(OVERDUE_PERIODS * self._limits.period_s)
        overdue = [name for name, known in self._cameras.items() if known.pictures[-1][0] < due_ns]
        if 2 * len(overdue) > len(self._cameras):
            return 0
        return len(set(overdue) - {camera})
