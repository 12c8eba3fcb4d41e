"""Does a camera's clock still say what it said before? Its stamps against a learned offset (10.2 F16).

Cameras of one rig are exposed one after the other (43 ms apart in a nuScenes rig) and their pictures take unlike ways,
so every camera has an age on arrival of its own. The guard learns it from the first pictures and follows it slowly.
What all cameras have in common (a loaded machine, a step of this machine's clock) is no camera's skew: the median of
the others' deviations is taken away, where at least two others are known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.camera_guard_config import CameraGuardConfig

RECENT_NS = nanoseconds(0.5)
"""Another camera's deviation older than this says nothing about now."""
OTHERS_MIN = 2
"""With fewer other cameras nobody can tell who of them is wrong."""


@dataclass
class _Offset:
    """One camera's age on arrival: while learning, its first values; then the offset and how far it is off now."""

    first: list[float] = field(default_factory=list)
    learned_s: float | None = None
    deviation_s: float = 0.0
    received_ns: int = 0
    beyond: deque[bool] = field(default_factory=deque)


class SkewWatch:
    """Holds every picture's stamp against the clock and against its camera's past."""

    def __init__(self, config: CameraGuardConfig) -> None:
        self._config = config
        self._offsets: dict[str, _Offset] = {}

    def check(self, camera: str, stamp_ns: int, now: Now) -> Reason | None:
        """A reason where the stamp lies in the future, or has moved against the camera's learned offset."""
        limits = self._config
        age_s = seconds(now.stamp_ns - stamp_ns)
        offset = self._offsets.setdefault(camera, _Offset(beyond=deque(maxlen=limits.skew_frames)))
        offset.received_ns = now.monotonic_ns
        if offset.learned_s is None:
            self._learn(offset, age_s)
            skew_s = 0.0
        else:
            offset.deviation_s = age_s - offset.learned_s
            skew_s = offset.deviation_s - self._in_common(camera, now)
            offset.beyond.append(not abs(skew_s) <= limits.skew_max_s)
            if abs(skew_s) <= limits.skew_tracked_s:
                offset.learned_s += limits.skew_tracking * skew_s
        if not -age_s <= limits.future_s:
            return Reason("STAMP_IN_FUTURE", -age_s, limits.future_s, "stamp, s ahead")
        if offset.beyond and offset.beyond[-1] and sum(offset.beyond) >= 2:
            detail = f"age on arrival, s, against the learned {offset.learned_s:.3f}"
            return Reason("SKEWED", abs(skew_s), limits.skew_max_s, detail)
        return None

    def _learn(self, offset: _Offset, age_s: float) -> None:
        offset.first.append(age_s)
        if len(offset.first) >= self._config.skew_learn_frames:
            offset.learned_s = median(offset.first)
            offset.first.clear()

    def _in_common(self, camera: str, now: Now) -> float:
        """What the other cameras' ages have changed by, seconds."""
        others = [
            offset.deviation_s
            for name, offset in self._offsets.items()
            if name != camera and offset.learned_s is not None and now.monotonic_ns - offset.received_ns <= RECENT_NS
        ]
        return median(others) if len(others) >= OTHERS_MIN else 0.0
