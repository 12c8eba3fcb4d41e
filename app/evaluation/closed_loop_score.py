"""A driven episode scored in windows of NAVSIM's 4 s: PDMS and EPDMS of what was driven, against the expert from there.

Reference and human of a window are the expert's own forecast from the window's start. Extended comfort compares the
trajectories that the vehicle was given at the start and half a second later. Rules of our own: after a collision at
fault an episode has nothing more to win, its later windows count 0. The forecast does not know what others will do, so
it excuses no contact; and where the vehicle is off the lane's centre at a window's start, the forecast, which begins
there, too, excuses no rule about being there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from onboard_vla.app.evaluation.rollout import rolled_out
from onboard_vla.app.evaluation.surroundings import driven, intended, road_of, traffic_of
from onboard_vla.app.evaluation.trace import Instant, Trace
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import compose
from onboard_vla.core.plan import FAST
from onboard_vla.core.scoring.comfort import extended_comfort
from onboard_vla.core.scoring.motion import HORIZON_S, STEP_S, Motion
from onboard_vla.core.scoring.rules import LANE_OFFSET_M
from onboard_vla.core.scoring.score import SubMetrics, ego_progress, epdms, measure, pdms
from onboard_vla.core.scoring.surroundings import RoadArea
from onboard_vla.safety.criticality import time_to_collision_s
from onboard_vla.world.world import World

WINDOW = round(HORIZON_S / STEP_S)
"""Steps of a window; windows follow one another without a gap."""
BEYOND = 9
"""Instants past a window that NAVSIM v1's time to collision looks at."""
HISTORY = 15
"""Instants before a window that history comfort looks at: 1.5 s."""
BETWEEN = 5
"""Instants between two successive plans of extended comfort: 0.5 s."""
LONGEST_TTC_S = 10.0
"""A longer time to collision counts as this; so does not closing in on the one ahead."""


@dataclass(frozen=True)
class WindowScore:
    """One window. `scenario`: the expert's intent at its start; `depth`: of the plan in force there."""

    start_s: float
    scenario: str
    depth: str
    pdms: float
    epdms: float
    progress: float
    extended_comfort: float
    own: SubMetrics
    expert: SubMetrics
    after_collision: bool


def score_windows(trace: Trace, world: World) -> list[WindowScore]:
    """All complete windows from engagement on."""
    vehicle, result, ended = VehicleGeometry(), [], False
    first = trace.engaged
    if first is None:
        return []
    for start in range(first, len(trace.instants) - WINDOW, WINDOW):
        window = _score(trace, world, start, vehicle, (start - first) * STEP_S, ended)
        result.append(window)
        ended = ended or window.own.nc == 0.0
    return result


def mean_time_to_collision_s(trace: Trace) -> float | None:
    """Mean over the instants with somebody ahead in the lane, each at most `LONGEST_TTC_S`; None without any."""
    ahead = [i for i in trace.instants[trace.engaged or 0 :] if np.isfinite(i.lead_gap_m)]
    if not ahead:
        return None
    gaps, leads = np.array([i.lead_gap_m for i in ahead]), np.array([i.lead_mps for i in ahead])
    times = time_to_collision_s(np.maximum(gaps, 0.0), np.array([i.ego.speed_mps for i in ahead]), leads)
    return float(np.minimum(times, LONGEST_TTC_S).mean())


def expert_motion(instant: Instant, count: int) -> Motion:
    """The expert's forecast from an instant on."""
    ego, plan = instant.ego, instant.expert
    placed = compose(np.array([ego.x_m, ego.y_m, ego.heading_rad]), plan.fine)
    return intended(ego, placed, plan.speeds_mps, plan.accelerations_mps2, count)


def _score(
    trace: Trace, world: World, start: int, vehicle: VehicleGeometry, start_s: float, ended: bool
) -> WindowScore:
    part = trace.instants[start : start + WINDOW + 1]
    traffic = traffic_of(trace.instants[start : start + WINDOW + 1 + BEYOND])
    stamps = [instant.ego.stamp_ns for instant in part]
    road = road_of(world, part[0].ego_s_m, stamps)
    before = [instant.ego for instant in trace.instants[max(0, start - HISTORY) : start]]
    history = driven(before) if len(before) > 1 else None
    own = measure(driven([instant.ego for instant in part]), traffic, road, vehicle, history)
    expert = measure(expert_motion(part[0], WINDOW + 1), traffic, road, vehicle)
    extended = _extended(part, vehicle)
    return WindowScore(
        start_s=round(start_s, 1),
        scenario=part[0].expert.scene.intent,
        depth=_depth(trace, stamps[0]),
        pdms=0.0 if ended else pdms(own, expert),
        epdms=0.0 if ended else epdms(own, expert, extended, _human(expert, part[0], road)),
        progress=ego_progress(own, expert),
        extended_comfort=extended,
        own=own,
        expert=expert,
        after_collision=ended,
    )


def _human(expert: SubMetrics, first: Instant, road: RoadArea) -> SubMetrics:
    """What the expert excuses."""
    expert = replace(expert, nc=1.0, ttc=1.0)
    _, offset = road.centreline.project(np.array([[first.ego.x_m, first.ego.y_m]]))
    if abs(float(offset[0])) <= LANE_OFFSET_M:
        return expert
    return replace(expert, dac=1.0, ddc=1.0, lane_keeping=1.0)


def _extended(part: Sequence[Instant], vehicle: VehicleGeometry) -> float:
    """From the window's first instant at which the vehicle was given anything; 0 where it then was given nothing."""
    given = [k for k, instant in enumerate(part) if instant.given is not None and len(instant.given.points)]
    if not given or given[0] + BETWEEN not in given:
        return 0.0
    pair = [part[given[0]], part[given[0] + BETWEEN]]
    motions = [rolled_out(instant.given, instant.ego) for instant in pair if instant.given is not None]
    return extended_comfort(motions[0], motions[1], BETWEEN, vehicle)


def _depth(trace: Trace, stamp_ns: int) -> str:
    known = [plan.depth for plan in trace.plans if plan.stamp_ns <= stamp_ns]
    return known[-1] if known else FAST
