"""What a pass of the language model takes at worst, and what comes before decoding: measured on the last plans."""

from __future__ import annotations

from collections import deque

from onboard_vla.core.plan import Plan

MEASURED = 32
"""Answers whose times are remembered: 6 s of fast plans at 5 Hz."""


class PassTimes:
    """The slowest of the last answers; `declared_s`: of a pass, instead of measuring."""

    def __init__(self, declared_s: float | None = None) -> None:
        self._declared_s = declared_s
        self._passes_s: deque[float] = deque(maxlen=MEASURED)
        self._before_s: deque[float] = deque(maxlen=MEASURED)

    def note(self, plan: Plan) -> None:
        """A plan has been made; where a time is declared, its own are not asked for."""
        if self._declared_s is None and plan.passes.decode > 0:
            decode_s = plan.stage_ms["decode"] / 1e3
            self._passes_s.append(decode_s / plan.passes.decode)
            self._before_s.append(plan.stage_ms["total"] / 1e3 - decode_s)

    @property
    def pass_s(self) -> float:
        """Of one pass; 0 where nothing was measured, for which there is no budget."""
        return self._declared_s if self._declared_s is not None else max(self._passes_s, default=0.0)

    @property
    def before_s(self) -> float:
        """From pictures to the first decoded token; 0 where a time is declared."""
        return max(self._before_s, default=0.0)
