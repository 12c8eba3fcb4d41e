"""What a run came to, in numbers, and whether that is what the cell requires."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.world.scenarios import judge
from onboard_vla.world.scenarios.cell import NEVER, Cell
from onboard_vla.world.scenarios.follower import least_gap_behind
from onboard_vla.world.scenarios.loop import TICK_S, Run
from onboard_vla.world.scenarios.reference_drivers import ReferenceResult

Array = NDArray[np.float64]

STANDING_MPS = 0.1
EDGE_TOLERANCE_M = 0.02
"""A corner this far over the edge is still on it: the polyline's own error in a bend."""
JERK_WINDOW = 5
"""Ticks over which lateral jerk is taken: 0.1 s."""
CREEP_AFTER_S = 2.0
"""From this long after standstill on, movement is creeping."""
FOLLOWING_MPS = 2.0
"""Time gaps are judged above this speed."""


@dataclass(frozen=True)
class Measures:
    """One run in numbers; accelerations and jerks as positive sizes, NaN where there was nothing to measure."""

    contact: bool
    impact_mps: float
    least_gap_m: float
    final_gap_m: float
    final_speed_mps: float
    slowest_mps: float
    braking_mps2: float
    demanded_braking_mps2: float
    jerk_mps3: float
    lateral_mps2: float
    lateral_jerk_mps3: float
    offset_m: float
    final_offset_m: float
    off_road: bool
    acceleration_step_mps2: float
    travelled_m: float
    creep_mps: float
    first_brake_s: float
    highest_mode: int
    time_gap_5th_s: float
    speed_variance_ratio: float
    past_everybody: bool
    follower_gap_m: float
    stopped_before_end_m: float
    mode_before_stop: int | None


def measure(run: Run, geometry: VehicleGeometry) -> Measures:
    """Summarise a run; needs at least two samples."""
    cell, line = run.cell, run.line
    table = np.array([
        (s.x_m, s.y_m, s.heading_rad, s.speed_mps, s.acceleration_mps2, s.curvature_per_m, s.demand_mps2, s.gap_m)
        for s in run.samples
    ])  # fmt: skip
    speed, acceleration, curvature, demand, gaps = table.T[3:]
    arc, offset = line.project(table[:, :2])
    lateral = speed**2 * curvature
    moving = speed > 0.5
    jerk = np.abs(np.diff(demand)) / TICK_S
    lateral_jerk = np.abs(lateral[JERK_WINDOW:] - lateral[:-JERK_WINDOW]) / (JERK_WINDOW * TICK_S)
    corners = np.array([judge.corners(_box(row, geometry)) for row in table[::5, :3]]).reshape(-1, 2)
    s_corner, d_corner = line.project(corners)
    inside = (s_corner > 0.0) & (s_corner < line.length)
    beyond = np.maximum(d_corner - cell.left_m, -d_corner - cell.right_m)[inside]
    standing = np.flatnonzero(speed < STANDING_MPS)
    braking = np.flatnonzero(demand < -1.0)
    stood = float(run.samples[standing[0]].time_s) if len(standing) else math.inf
    later = np.array([s.time_s for s in run.samples]) > stood + CREEP_AFTER_S
    front = geometry.length_m - geometry.rear_overhang_m
    ends = [place_m for place_m in (cell.end_m, cell.red_m) if place_m is not None]
    end = cell.start_m + front + min(ends, default=math.inf)
    last = run.standby_ticks + len(run.samples) - 1
    reals = [t for t in run.tracks if t.participant.real]
    past = all(t.s_m[last] + t.participant.length_m / 2 < arc[-1] - geometry.rear_overhang_m for t in reals)
    time_gap, ratio = _following(run, arc + front, speed)
    return Measures(
        contact=run.contact is not None,
        impact_mps=run.impact_mps,
        least_gap_m=float(gaps.min()),
        final_gap_m=float(gaps[-1]),
        final_speed_mps=float(speed[-1]),
        slowest_mps=float(speed.min()),
        braking_mps2=float(-acceleration.min()),
        demanded_braking_mps2=float(-demand.min()),
        jerk_mps3=float(jerk[moving[1:]].max(initial=0.0)),
        lateral_mps2=float(np.abs(lateral).max()),
        lateral_jerk_mps3=float(lateral_jerk.max(initial=0.0)),
        offset_m=float(np.abs(offset).max()),
        final_offset_m=float(abs(offset[-1])),
        off_road=bool(beyond.max(initial=-1.0) > EDGE_TOLERANCE_M),
        acceleration_step_mps2=float(np.abs(np.diff(demand)).max(initial=0.0)),
        travelled_m=float(arc[-1] - arc[0]),
        creep_mps=float(speed[later].max(initial=0.0)),
        first_brake_s=float(run.samples[braking[0]].time_s) if len(braking) else math.inf,
        highest_mode=max(s.mode for s in run.samples),
        time_gap_5th_s=time_gap,
        speed_variance_ratio=ratio,
        past_everybody=bool(reals) and past,
        follower_gap_m=least_gap_behind(arc - geometry.rear_overhang_m, speed, TICK_S),
        stopped_before_end_m=float(end - arc[-1] - front),
        mode_before_stop=_mode_before_stop(run),
    )


def shortfalls(cell: Cell, measures: Measures, references: dict[str, ReferenceResult]) -> list[str]:
    """What the run lacks of the cell's requirement, in words; empty where it holds."""
    need, m = cell.requirement, measures
    found = []
    if m.contact and not _contact_allowed(cell, m, references):
        found.append(f"contact at {m.impact_mps:.1f} m/s")
    limits = (
        ("peak braking m/s2", m.braking_mps2, need.braking_mps2),
        ("jerk m/s3", m.jerk_mps3, need.jerk_mps3),
        ("lateral acceleration m/s2", m.lateral_mps2, need.lateral_mps2),
        ("lateral jerk m/s3", m.lateral_jerk_mps3, need.lateral_jerk_mps3),
        ("offset m", m.offset_m, need.offset_m),
        ("acceleration step m/s2", m.acceleration_step_mps2, need.acceleration_step_mps2),
        ("creep m/s", m.creep_mps, need.creep_mps),
        ("speed variance ratio", m.speed_variance_ratio, need.speed_variance_ratio),
    )
    found += [f"{name} {value:.2f} > {limit:g}" for name, value, limit in limits if limit is not None and value > limit]
    floors = (
        ("least gap m", m.least_gap_m, need.least_gap_m),
        ("stopped before the end m", m.stopped_before_end_m, need.stops_before_m),
        ("travelled m", m.travelled_m, need.moves_m),
        ("time gap s", m.time_gap_5th_s, need.time_gap_s),
    )
    found += [f"{name} {value:.2f} < {limit:g}" for name, value, limit in floors if limit is not None and value < limit]
    if need.final_gap_m is not None and not need.final_gap_m[0] <= m.final_gap_m <= need.final_gap_m[1]:
        found.append(f"final gap {m.final_gap_m:.2f} m outside {need.final_gap_m}")
    if need.on_road and m.off_road:
        found.append("off the drivable area")
    if need.stands and m.final_speed_mps > STANDING_MPS:
        found.append(f"still moves at {m.final_speed_mps:.1f} m/s")
    if need.follower and m.follower_gap_m <= 0.0:
        found.append("hit from behind by a human driver")
    if need.highest_mode is not None and m.highest_mode > need.highest_mode:
        found.append(f"mode L{m.highest_mode} > L{need.highest_mode}")
    if need.model_drives and m.mode_before_stop != 0:
        found.append(f"stopped from L{m.mode_before_stop}, not from L0")
    if need.passes and not m.past_everybody:
        found.append("did not get past")
    return found


def _contact_allowed(cell: Cell, m: Measures, references: dict[str, ReferenceResult]) -> bool:
    need = cell.requirement
    if need.slows_mps is not None:
        return cell.speed_mps - m.impact_mps >= need.slows_mps
    if need.contact == NEVER or not references:
        return False
    human = references["careful_human"]
    return not any(result.avoids for result in references.values()) and m.impact_mps <= human.impact_mps


def _mode_before_stop(run: Run) -> int | None:
    stop_at_s = run.cell.stop_at_s
    if stop_at_s is None:
        return None
    return next((s.mode for s in reversed(run.samples) if s.time_s < stop_at_s), None)


def _following(run: Run, front_m: Array, speed: Array) -> tuple[float, float]:
    """5th percentile of the time gap to the first participant, and the own speed's variance over its; else NaN."""
    if "following" not in run.cell.tags:
        return math.nan, math.nan
    lead = run.tracks[0]
    rows = slice(run.standby_ticks, run.standby_ticks + len(speed))
    room = lead.s_m[rows] - lead.participant.length_m / 2 - front_m
    fast = speed > FOLLOWING_MPS
    gaps = room[fast] / speed[fast]
    return float(np.percentile(gaps, 5)), float(speed.var() / lead.speed_mps[rows].var())


def _box(pose: Array, geometry: VehicleGeometry) -> judge.Box:
    x, y, heading = map(float, pose)
    ahead = geometry.centre_offset_m
    return (
        x + ahead * math.cos(heading),
        y + ahead * math.sin(heading),
        heading,
        geometry.length_m,
        geometry.width_m,
    )
