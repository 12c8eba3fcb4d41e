"""F28: the planner's doubt grows so slowly that no threshold notices; the drift monitor must, and ask for L1 at most.

The real supervisor drives a straight road in virtual time while a planner plans; on the way to it, every plan's spread
gets a nominal noise, and from the onset a drift on top. What counts is what was published.
"""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.scenario_runs import make_driver
from onboard_vla.calibration.provisional import provisional_thresholds
from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import Mode, SafeTrajectory
from onboard_vla.core.thresholds import DRIFT_BLOCKS_MIN, SPREAD_REDUCE, Thresholds
from onboard_vla.safety.drift import block_medians
from onboard_vla.world.scenarios.cell import Cell, Requirement
from onboard_vla.world.scenarios.lines import straight
from onboard_vla.world.scenarios.loop import PLAN_TICKS, TICK_S, Course, Driver
from onboard_vla.world.scenarios.planner import CORE_HASH

SPEED_MPS = 3.0
PLANS_PER_S = 1.0 / (PLAN_TICKS * TICK_S)
NOMINAL_M, DEVIATION_M, CORRELATION_S = 0.2, 0.02, 5.0
"""The nominal spread: its mean, standard deviation and correlation time (own; far below the limit of 0.5 m)."""
ALARM, HIGHEST = "DRIFT", Mode.REDUCED
BEGIN_S = 25.0
"""The mode is looked at from here on: engaged, and L0 reached."""
AFTER_S = 3.0
"""Driven on after the alarm."""


@dataclass(frozen=True)
class Drift:
    """Over `ramp_s` the spread grows by `deviations` of its nominal standard deviation, and stays.

    `limit_s`: from the onset to the alarm, at most; None: there is no drift, and no alarm may come.
    """

    ramp_s: float
    deviations: float
    watched_s: float
    limit_s: float | None


DRIFTS = {
    "4 deviations in 10 min": Drift(600.0, 4.0, 900.0, 900.0),
    "8 deviations in 1 min": Drift(60.0, 8.0, 330.0, 330.0),
    "none": Drift(60.0, 0.0, 900.0, None),
}
"""The catalogue asks for the flag within 15 min. The second is what the monitor's bets allow at best (230 s) and a
minute and a half; short enough for every campaign."""
QUICK = "8 deviations in 1 min"
ALL_SEEDS = 3


@dataclass(frozen=True)
class DriftJob:
    """One drive."""

    variant: str
    seed: int

    @property
    def key(self) -> str:
        """Name under which the result is kept."""
        return f"drift|{self.variant}|{self.seed}"


@dataclass(frozen=True)
class DriftResult:
    """One drive's result. `alarm_s`: from the onset to the first output that names the drift; None: never."""

    key: str
    variant: str
    seed: int
    alarm_s: float | None
    limit_s: float | None
    highest: int
    held: bool

    def line(self) -> str:
        """As one line of a results file."""
        return json.dumps({"drift": dataclasses.asdict(self)}, separators=(",", ":"))

    @staticmethod
    def of_content(content: dict[str, Any]) -> DriftResult:
        """Read a line's content back."""
        return DriftResult(**content)


def drift_jobs(*, quick: bool) -> list[DriftJob]:
    """The shortest one, or all of them on several seeds."""
    return [DriftJob(QUICK, 0)] if quick else [DriftJob(variant, k) for variant in DRIFTS for k in range(ALL_SEEDS)]


def run_drift(job: DriftJob) -> DriftResult:
    """Drive and judge."""
    drift = DRIFTS[job.variant]
    cell = Cell(
        family="F28",
        name=job.variant,
        parameters={},
        speed_mps=SPEED_MPS,
        participants=(),
        requirement=Requirement(),
        duration_s=drift.watched_s,
        line=straight(),
        planner_dies_s=math.inf,
    )
    supervisor = make_driver(cell, _thresholds())
    driver = Doubting(cast(Driver, supervisor), drift, zlib.crc32(job.key.encode()))
    course = Course(cell, driver, VehicleGeometry())
    course.drive_while(lambda: driver.alarm_s is None or driver.time_s < driver.alarm_s + AFTER_S)
    return judge_drift(job, drift, driver.alarm_s, driver.highest)


def judge_drift(job: DriftJob, drift: Drift, alarm_s: float | None, highest: int) -> DriftResult:
    """Held: seen within the limit, or rightly never; and never more than L1."""
    in_time = alarm_s is None if drift.limit_s is None else alarm_s is not None and alarm_s <= drift.limit_s
    return DriftResult(job.key, job.variant, job.seed, alarm_s, drift.limit_s, highest, in_time and highest <= HIGHEST)


@dataclass
class Doubting:
    """Stands between a course and the supervisor: spoils plans on the way in, records what is published."""

    inner: Driver
    drift: Drift
    seed: int
    time_s: float = 0.0
    alarm_s: float | None = None
    highest: int = 0
    _begin_ns: int | None = None
    _count: int = 0
    _noise: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._noise = nominal(self.seed, self.drift.watched_s + 10.0)

    def receive(self, message: object, now: Now) -> None:
        """Give a plan its doubt; pass on everything else."""
        if isinstance(message, Plan):
            grown = self.drift.deviations * min(self.time_s / self.drift.ramp_s, 1.0)
            spread = np.full_like(message.uncertainty.spread_m, self._noise[self._count] + DEVIATION_M * grown)
            self._count += 1
            message = dataclasses.replace(
                message, uncertainty=dataclasses.replace(message.uncertainty, spread_m=spread)
            )  # fmt: skip
        self.inner.receive(message, now)

    def tick(self, now: Now) -> SafeTrajectory:
        """Publish, and note mode and reasons."""
        self._begin_ns = now.monotonic_ns if self._begin_ns is None else self._begin_ns
        self.time_s = seconds(now.monotonic_ns - self._begin_ns)
        message = self.inner.tick(now)
        if self.alarm_s is None and any(reason.code == ALARM for reason in message.reasons):
            self.alarm_s = self.time_s
        if self.time_s >= BEGIN_S:
            self.highest = max(self.highest, int(message.mode))
        return message


def nominal(seed: int, duration_s: float) -> NDArray[np.float64]:
    """The spread of the plans of a nominal drive, metres: a Gaussian that forgets itself in `CORRELATION_S`."""
    rng = np.random.default_rng(seed)
    keep = math.exp(-1.0 / (PLANS_PER_S * CORRELATION_S))
    fresh = rng.standard_normal(math.ceil(duration_s * PLANS_PER_S)) * math.sqrt(1.0 - keep * keep)
    values = np.empty_like(fresh)
    value = float(rng.standard_normal())
    for k, step in enumerate(fresh.tolist()):
        value = keep * value + step
        values[k] = value
    return np.asarray(NOMINAL_M + DEVIATION_M * values, np.float64)


@lru_cache(maxsize=1)
def _thresholds() -> Thresholds:
    """Provisional ones, with the blocks of a nominal drive as the drift's reference."""
    spread = nominal(28, 10.0 * DRIFT_BLOCKS_MIN)
    stamps = [round(k * 1e9 / PLANS_PER_S) for k in range(len(spread))]
    reference = {SPREAD_REDUCE: block_medians(stamps, spread.tolist())}
    return dataclasses.replace(provisional_thresholds(CORE_HASH, "none"), drift_reference=reference)
