"""The drivers that UN R157 measures an automated vehicle against, for cut-in, cut-out and braking leads.

Re-implemented from the regulation's text (UN R157, annex 3, guidance on critical traffic scenarios) and the published
comparison by Mattas et al., "Driver models for the definition of safety requirements of automated vehicles in
international regulations", Accident Analysis and Prevention 174 (2022), whose grid `cut_in.py` uses.
Both only brake, and keep the centre of their lane.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from onboard_vla.world.scenarios.motion import Track

GRAVITY = 9.81
WANDERING_M, PERCEPTION_M = 0.375, 0.72
"""A vehicle that has moved this far out of its lane's centre, and this much more, is perceived as cutting in."""
EVALUATION_S = 0.4
"""Time to evaluate a risk that is not a cut-in: a lead that brakes hard, a vehicle that stands behind a cut-out."""
REACTION_S, RELEASE_MPS2 = 0.75, 0.4
"""From perception to braking; the foot leaves the accelerator meanwhile."""
HUMAN_BRAKE_MPS2, HUMAN_JERK_MPS3 = 0.774 * GRAVITY, 12.65
CRITICAL_TTC_S = 2.0
LEAD_BRAKES_MPS2 = 5.0
"""A lead that brakes harder than this is a risk."""
INTRUSION_GAP_M = 0.5
"""Lateral gap at which a vehicle is 0.3 m inside a lane of 3.5 m, both vehicles 1.9 m wide."""
REG157_BRAKE_MPS2, REG157_DELAY_S, REG157_EXTRA_S = 6.0, 0.35, 0.1
"""Brakes 0.35 s after TTC < closing speed / (2 * 6 m/s^2) + 0.35 s; the extra time is in the published code."""


@dataclass(frozen=True)
class Handicap:
    """What lies between the driver and the world: perception's delay and period, the actuators' delay and lag."""

    perception_s: float
    period_s: float
    delay_s: float
    lag_s: float


AS_PUBLISHED = Handicap(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ReferenceResult:
    """Whether contact was avoided, and the closing speed where it was not."""

    avoids: bool
    impact_mps: float


class CarefulHuman:
    """The competent and careful human driver."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._acceleration = 0.0

    def demand(self, time_s: float, dt_s: float, seen: Seen) -> float:
        """The acceleration asked for."""
        if self._since_s is None:
            if not seen.risk(WANDERING_M + PERCEPTION_M):
                return 0.0
            self._since_s = time_s + (0.0 if seen.cuts_in else EVALUATION_S)
        waited_s = time_s - self._since_s
        if waited_s < 0.0:
            return 0.0
        if waited_s < REACTION_S:
            self._acceleration = -RELEASE_MPS2
        elif seen.time_to_collision_s < CRITICAL_TTC_S or not seen.cuts_in or self._acceleration < -RELEASE_MPS2:
            self._acceleration = max(self._acceleration - HUMAN_JERK_MPS3 * dt_s, -HUMAN_BRAKE_MPS2)
        if seen.closing_mps <= 0.0 and waited_s >= REACTION_S:
            self._acceleration = 0.0
        return self._acceleration


class Reg157Driver:
    """The regulation's minimum: brakes at 6 m/s^2 when its time-to-collision formula says so."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def demand(self, time_s: float, dt_s: float, seen: Seen) -> float:
        """The acceleration asked for."""
        limit_s = seen.closing_mps / (2 * REG157_BRAKE_MPS2) + REG157_DELAY_S + REG157_EXTRA_S
        if seen.lateral_gap_m < INTRUSION_GAP_M and seen.time_to_collision_s < limit_s:
            self._since_s = time_s if self._since_s is None else self._since_s
        if self._since_s is None or time_s - self._since_s < REG157_DELAY_S or seen.closing_mps <= 0.0:
            return 0.0
        return -REG157_BRAKE_MPS2


@dataclass(frozen=True)
class Seen:
    """What a driver perceives of one other vehicle. `moved_m`: how far it has come towards the lane's centre.

    `passed`: the own centre is ahead of its; then neither driver reacts. `cuts_in`: it began in another lane.
    `revealed`: it was hidden at time 0.
    """

    gap_m: float
    closing_mps: float
    lateral_gap_m: float
    moved_m: float
    braking_mps2: float
    revealed: bool
    cuts_in: bool
    passed: bool

    @property
    def time_to_collision_s(self) -> float:
        """Gap over closing speed; infinite while not closing or passed, 0 without a gap."""
        if self.closing_mps <= 0.0 or self.passed:
            return math.inf
        return max(self.gap_m, 0.0) / self.closing_mps

    def risk(self, moved_m: float) -> bool:
        """Whether a careful driver takes notice."""
        if self.cuts_in:
            return self.moved_m > moved_m and not self.passed
        return self.revealed or self.braking_mps2 > LEAD_BRAKES_MPS2


def drive_reference(
    driver: CarefulHuman | Reg157Driver, track: Track, times_s: list[float], speed_mps: float, start_front_m: float,
    width_m: float, length_m: float, handicap: Handicap,
) -> ReferenceResult:  # fmt: skip
    """Run a driver against one scripted vehicle; `start_front_m`: arc length of the own front at time 0.

    `times_s` evenly spaced, from below 0; before 0 the own speed is constant.
    """
    dt = times_s[1] - times_s[0]
    p = track.participant
    s, offset, speed = track.s_m.tolist(), track.offset_m.tolist(), track.speed_mps.tolist()
    half_length, touching = p.length_m / 2, (p.width_m + width_m) / 2
    cuts_in = abs(offset[0]) > touching
    queue: deque[float] = deque([0.0] * round(handicap.delay_s / dt))
    period = max(round(handicap.period_s / dt), 1)
    behind = round(handicap.perception_s / dt)
    front, own, actual = start_front_m + speed_mps * times_s[0], speed_mps, 0.0
    for k, time_s in enumerate(times_s):
        seen_at = (k - behind) // period * period
        demand = 0.0
        if time_s >= 0.0 and seen_at >= 0 and p.visible_s[0] <= times_s[seen_at]:
            before = max(seen_at - period, 0)
            seen = Seen(
                gap_m=s[seen_at] - half_length - front + (k - seen_at) * dt * speed[seen_at],
                closing_mps=own - speed[seen_at],
                lateral_gap_m=abs(offset[seen_at]) - touching,
                moved_m=abs(offset[0]) - abs(offset[seen_at]),
                braking_mps2=(speed[before] - speed[seen_at]) / max((seen_at - before) * dt, dt),
                revealed=p.visible_s[0] > 0.0,
                cuts_in=cuts_in,
                passed=front - length_m / 2 > s[seen_at],
            )
            demand = driver.demand(time_s, dt, seen)
        queue.append(demand)
        arrived = queue.popleft()
        actual += (arrived - actual) * (1.0 if handicap.lag_s <= 0.0 else min(1.0, dt / handicap.lag_s))
        faster = max(own + actual * dt, 0.0)
        front, own = front + (own + faster) / 2 * dt, faster
        beside = abs(offset[k]) < touching
        if beside and s[k] - half_length < front and s[k] + half_length > front - length_m:
            return ReferenceResult(False, max(own - speed[k], 0.0))
        if s[k] + half_length < front - length_m or (own == 0.0 and speed[k] >= 0.0 and s[k] > front and beside):
            break
    return ReferenceResult(True, 0.0)
