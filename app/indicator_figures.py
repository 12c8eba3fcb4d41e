"""Safety performance indicators of a run, or of several: shares of time and worst values, with their counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onboard_vla.core.indicators import SafetyIndicators

SHORT_HEADWAY_S = 1.0
"""Below this a headway is counted; ISO 15622 has no shorter time gap setting for adaptive cruise control than 0.8 s."""
UNBOUNDED = 99.0
"""Stands for a worst value without bound: contact."""
MOVING_MPS = 0.5
"""Headways at standstill say nothing."""


@dataclass(frozen=True)
class IndicatorFigures:
    """`samples`: ten a second while engaged. Shares 0 to 1 of them; worst values None where nobody was concerned.

    `rss_violated`: somebody had less than conservative RSS distances. `stop_short`: a red or amber signal was nearer
    than RSS's distance to stop before it. `headway_short`: of the samples with somebody ahead while the vehicle moves.
    """

    samples: int
    rss_violated: float
    stop_short: float
    headway_samples: int
    headway_short: float
    least_headway_s: float | None
    least_time_to_collision_s: float | None
    least_time_to_brake_s: float | None
    largest_required_deceleration_mps2: float | None
    least_encroachment_s: float | None
    least_rss_margin_m: float | None

    @staticmethod
    def of(samples: Sequence[SafetyIndicators]) -> IndicatorFigures | None:
        """None without samples."""
        if not samples:
            return None
        moving = [s for s in samples if s.speed_mps > MOVING_MPS and s.headway_s != math.inf]
        return IndicatorFigures(
            samples=len(samples),
            rss_violated=sum(s.rss_violations > 0 for s in samples) / len(samples),
            stop_short=sum(not s.stop_margin_m >= 0.0 for s in samples) / len(samples),
            headway_samples=len(moving),
            headway_short=sum(not s.headway_s >= SHORT_HEADWAY_S for s in moving) / len(moving) if moving else 0.0,
            least_headway_s=_least([s.headway_s for s in moving]),
            least_time_to_collision_s=_least([s.time_to_collision_s for s in samples]),
            least_time_to_brake_s=_least([s.time_to_brake_s for s in samples]),
            largest_required_deceleration_mps2=_largest([s.required_deceleration_mps2 for s in samples]),
            least_encroachment_s=_least([s.encroachment_s for s in samples]),
            least_rss_margin_m=_least([s.rss_margin_m for s in samples]),
        )

    @staticmethod
    def total(runs: Sequence[IndicatorFigures | None]) -> IndicatorFigures | None:
        """Several runs together; None if no run has any."""
        known = [run for run in runs if run is not None]
        if not known:
            return None
        samples, moving = sum(run.samples for run in known), sum(run.headway_samples for run in known)

        def share(name: str, weight: str, whole: int) -> float:
            return sum(getattr(run, name) * getattr(run, weight) for run in known) / whole if whole else 0.0

        def least(name: str) -> float | None:
            return _least([value for run in known if (value := getattr(run, name)) is not None])

        hardest = [run.largest_required_deceleration_mps2 for run in known]
        return IndicatorFigures(
            samples=samples,
            rss_violated=share("rss_violated", "samples", samples),
            stop_short=share("stop_short", "samples", samples),
            headway_samples=moving,
            headway_short=share("headway_short", "headway_samples", moving),
            least_headway_s=least("least_headway_s"),
            least_time_to_collision_s=least("least_time_to_collision_s"),
            least_time_to_brake_s=least("least_time_to_brake_s"),
            largest_required_deceleration_mps2=_largest([value for value in hardest if value is not None]),
            least_encroachment_s=least("least_encroachment_s"),
            least_rss_margin_m=least("least_rss_margin_m"),
        )

    def rows(self) -> list[tuple[str, str]]:
        """Name and value, for tables."""
        return [
            (
                "indicators: RSS distance violated",
                f"{self.rss_violated:.1%} of {self.samples} samples, least margin "
                f"{_word(self.least_rss_margin_m, 'm')}",
            ),
            (
                "indicators: headway below 1 s",
                f"{self.headway_short:.1%} of {self.headway_samples} samples with somebody ahead, least "
                f"{_word(self.least_headway_s, 's')}",
            ),
            (
                "indicators: nearest to contact",
                f"time to collision {_word(self.least_time_to_collision_s, 's')}, to brake "
                f"{_word(self.least_time_to_brake_s, 's')}, deceleration "
                f"{_word(self.largest_required_deceleration_mps2, 'm/s²')}, encroachment "
                f"{_word(self.least_encroachment_s, 's')}",
            ),
            (
                "indicators: stop distance before a signal",
                f"too short in {self.stop_short:.1%} of {self.samples} samples",
            ),
        ]


def indicator_rows(columns: Sequence[IndicatorFigures | None]) -> list[tuple[str, list[str]]]:
    """Name and one value per column; none where no column has indicators."""
    tables = [dict(figures.rows()) if figures is not None else {} for figures in columns]
    names = next((list(table) for table in tables if table), [])
    return [(name, [table.get(name, "no samples") for table in tables]) for name in names]


def _least(values: Sequence[float]) -> float | None:
    found = [value for value in values if value < math.inf]
    return max(min(found), -UNBOUNDED) if found else None


def _largest(values: Sequence[float]) -> float | None:
    found = [value for value in values if value > 0.0]
    return min(max(found), UNBOUNDED) if found else None


def _word(value: float | None, unit: str) -> str:
    return "none" if value is None else f"{value:.1f} {unit}"
