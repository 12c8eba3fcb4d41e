"""Have the stamps of an input moved against the clock? A skew that no age limit notices (10.2 F16).

An input's age on arrival hardly changes while its clock and its way stay what they are. What all messages of a window
share cannot be one late message; so a skew counts when every one of them is too old, or every one too young.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.input_config import SkewLimits


@dataclass
class _Ages:
    """One topic: (reception ns, age s) of the newest messages; the learned age, None while learning."""

    recent: deque[tuple[int, float]] = field(default_factory=deque)
    first: list[float] = field(default_factory=list)
    first_ns: int | None = None
    learned_s: float | None = None


class StampSkew:
    """Ages on arrival per topic, against what they were in the first second and slowly became since."""

    def __init__(self, limits: SkewLimits) -> None:
        self._limits = limits
        self._topics: dict[str, _Ages] = {}

    def check(self, topic: str, stamp_ns: int, now: Now) -> Reason | None:
        """A reason while the stamps of the topic are skewed."""
        limits, ages = self._limits, self._topics.setdefault(topic, _Ages())
        age_s = seconds(now.stamp_ns - stamp_ns)
        if ages.learned_s is None:
            self._learn(ages, age_s, now)
            return None
        ages.recent.append((now.monotonic_ns, age_s))
        while now.monotonic_ns - ages.recent[0][0] > nanoseconds(limits.window_s):
            ages.recent.popleft()
        if abs(age_s - ages.learned_s) <= limits.tracked_s:
            ages.learned_s += limits.tracking * (age_s - ages.learned_s)
            return None
        if len(ages.recent) < limits.messages:
            return None
        oldest, youngest = max(age for _, age in ages.recent), min(age for _, age in ages.recent)
        skew_s = max(youngest - ages.learned_s, ages.learned_s - oldest)
        if skew_s <= limits.skew_s:
            return None
        detail = f"age on arrival, s, against the learned {ages.learned_s:.3f}"
        return Reason(f"{topic.upper()}_SKEWED", skew_s, limits.skew_s, detail)

    def _learn(self, ages: _Ages, age_s: float, now: Now) -> None:
        if ages.first_ns is None:
            ages.first_ns = now.monotonic_ns
        ages.first.append(age_s)
        if now.monotonic_ns - ages.first_ns >= nanoseconds(self._limits.learn_s):
            ages.learned_s = median(ages.first)
            ages.first.clear()
