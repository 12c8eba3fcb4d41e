"""The fallback planner: proposals beside the observed lane's centre, the best one driven, from own inputs alone.

Twenty times a second all proposals are unrolled, and the next time scored, so that no tick does all the work. At every
tick that it drives, the chosen one's speed is planned anew on the newest objects: braking waits for no choice.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import CollisionLimits, FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.idm import Lead, emergency_brake, following_acceleration, free_acceleration
from onboard_vla.safety.joined_path import SPACING_M, JoinedPath, after, join_beside
from onboard_vla.safety.lane_leads import LaneObjects, in_lane_coordinates, lane_leads
from onboard_vla.safety.leads import PASSED_M, SignalsAhead, nearest_distinct, signals_ahead
from onboard_vla.safety.longitudinal import SpeedProfile, roll
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.proposals import CAP_LOOKAHEAD_S, SHARES, Rollouts, offsets, unroll
from onboard_vla.safety.scoring import Scores, score
from onboard_vla.safety.speed_caps import speed_caps

Array = NDArray[np.float64]

PATH_S = 8.0
"""Length of the joined path, at the present speed plus `PATH_MIN_M`."""
PATH_MIN_M = 40.0
WIDTH_S = 4.0
"""The drivable width is looked at for this time ahead, plus `WIDTH_M`."""
WIDTH_M = 20.0
NEAR_POINTS = 40
"""The vehicle is looked for beside the path's first 20 m."""
SIGHT_LOST = 4 / 3
"""Where a stop within the observed lane takes so many times the deceleration planned for it: brake as hard as needed.

4 m/s^2 by default, the cap that R157 sets for a stop in lane; the model may have left no more room than for 6.
"""
SIGHT_SLACK_M = 1.5
"""Of the margin before the lane's end, what braking as planned may use up: it comes late by its lag."""
LEAST_ROOM_M = 0.1
BRAKING_MPS2 = 0.2
"""A trajectory that asks for as much within its first `BEGUN_POINTS` brakes."""
BEGUN_POINTS = 4
"""0.3 s: full braking has built up from any acceleration by then."""
STRAYED_M, STRAYED_RAD = 0.5, 0.3
"""Farther off its path than this, the vehicle starts a new path from where it is."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A path and a speed profile along it; `leads` are what the profile yields to.

    `room_m`: how far it is to where a stop has to end, for that is where what is known of the path does, and stays.
    `signals`: those of the leads that are stop points, where full braking still stops before them. `begun`: ids of the
    red signals that it brakes for.
    `planned_mps2` (POINTS,): the accelerations of the plan that it follows, where it follows one.
    """

    path: JoinedPath
    profile: SpeedProfile
    leads: tuple[Lead, ...]
    room_m: float = math.inf
    signals: tuple[Lead, ...] = ()
    begun: frozenset[int] = frozenset()
    planned_mps2: Array | None = None


@dataclass(frozen=True, eq=False)
class Situation:
    """All that one planning step looks at. `start_m`: the vehicle's arc length on `line`, the observed centreline.

    `begun`: the red signals that are being braked for, by the trajectory that is driven.
    """

    motion: Motion
    speed_mps: float
    demand_mps2: float
    line: Polyline
    start_m: float
    lanes: LaneObservation
    others: LaneObjects
    vehicle: VehicleGeometry
    settings: FallbackSettings
    margins: CollisionLimits
    begun: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Lane:
    """A path with what bounds the speed on it: caps by rules and physics (M,), and leads, of which some are signals."""

    path: JoinedPath
    rules_mps: Array
    physics_mps: Array
    leads: list[Lead]
    signals: SignalsAhead


@dataclass(frozen=True, eq=False)
class Choice:
    """The proposal in force. `side`: index of its offset (centre, right, left); `share` of the allowed speed.

    `brakes`: contact is so near, in spite of its braking, that nothing but full braking is left.
    """

    side: int
    share: float
    lane: Lane
    since_ns: int
    brakes: bool


@dataclass(frozen=True, eq=False)
class Proposals:
    """Unrolled, not yet scored. `sides`: index of each path's offset; `targets_m`: the offsets; `now`: their begin."""

    now: Situation
    sides: list[int]
    targets_m: tuple[float, ...]
    lanes: list[Lane]
    rollouts: Rollouts


class LaneMemory:
    """What the planner remembers from one tick to the next: the choice in force, and when proposals are due again."""

    def __init__(self) -> None:
        self.choice: Choice | None = None
        self.proposals: Proposals | None = None
        self.due_ns: int | None = None

    def due(self, now_ns: int) -> bool:
        """Whether there is something to unroll or to score."""
        return self.due_ns is None or self.proposals is not None or now_ns >= self.due_ns

    def forget(self) -> None:
        """Begin anew: nothing known of the road any more."""
        self.choice, self.proposals, self.due_ns = None, None, None


def look(
    motion: Motion,
    acceleration_mps2: float,
    lanes: LaneObservation,
    objects: ObjectSet,
    vehicle: VehicleGeometry,
    settings: FallbackSettings,
    margins: CollisionLimits,
    begun: frozenset[int] = frozenset(),
) -> Situation:
    """The present situation; `acceleration_mps2` is the demand in force, `objects` at the present instant.

    `begun`: the red signals that the trajectory which is driven brakes for.

    Raises:
        GeometryError: the lane is no line.
    """
    line = lanes.line
    speed = max(motion.speed_mps, 0.0)
    start = float(line.project(motion.pose[None, :2])[0][0])
    reach = settings.widest_offset_m + vehicle.width_m / 2 + margins.vulnerable_margin_m
    others = in_lane_coordinates(objects, line, reach, start, speed)
    return Situation(motion, speed, acceleration_mps2, line, start, lanes, others, vehicle, settings, margins, begun)


def consider(memory: LaneMemory, now: Situation, now_ns: int) -> None:
    """Unroll new proposals where they are due, or score those of the last time; the first time, both.

    Raises:
        GeometryError: the lane ends behind the vehicle.
    """
    choice, proposals = memory.choice, memory.proposals
    if proposals is not None or choice is None:
        memory.choice = _choose(choice, proposals or _propose(None, now), now_ns)
        memory.proposals = None
    elif memory.due(now_ns):
        memory.due_ns = max((memory.due_ns or 0) + nanoseconds(now.settings.period_s), now_ns + 1)
        memory.proposals = _propose(choice, now)


def drive(memory: LaneMemory, now: Situation) -> Trajectory:
    """5 s along the choice in force, from the present motion."""
    choice = memory.choice
    assert choice is not None
    lane = _lane(_rest(choice.lane.path, now.motion), now)
    profile = _drive(lane, choice, now)
    # One that is not seen, or misread, for a moment is still braked for: as long as the braking lasts.
    brakes = bool(profile.acceleration_mps2[:BEGUN_POINTS].min() <= -BRAKING_MPS2)
    begun = lane.signals.reds | now.begun if brakes else frozenset()
    return Trajectory(lane.path, profile, tuple(lane.leads), signals=lane.signals.reached, begun=begun)


def _propose(before: Choice | None, now: Situation) -> Proposals:
    """Unroll all proposals from beside the vehicle on the path in force."""
    settings, speed = now.settings, now.speed_mps
    anchor, slope = (now.motion, None) if before is None else _anchor(before.lane.path, now.motion)
    end = now.start_m + speed * WIDTH_S + WIDTH_M
    targets = offsets(now.lanes, now.line.arc_lengths, now.start_m, end, now.vehicle, settings.widest_offset_m)
    sides = [side for side, target in enumerate(targets) if side == 0 or target != 0.0]
    beside = tuple(targets[side] for side in sides)
    length = speed * PATH_S + PATH_MIN_M
    paths = join_beside(now.line, anchor, join_length(speed, settings), length, beside, slope)
    if paths[0].known_m <= 0.0:
        raise GeometryError("the observed lane ends behind the vehicle")
    lanes = [_lane(path, now) for path in paths]
    caps = [(lane.rules_mps, lane.physics_mps) for lane in lanes]
    rollouts = unroll(speed, now.demand_mps2, caps, [lane.leads for lane in lanes], settings)
    return Proposals(now, sides, beside, lanes, rollouts)


def _choose(before: Choice | None, proposals: Proposals, now_ns: int) -> Choice:
    """Score the proposals; stay with the side in force unless another is clearly better."""
    now, settings = proposals.now, proposals.now.settings
    paths = [lane.path for lane in proposals.lanes]
    own = np.array([now.motion.x_m, now.motion.y_m])
    scores = score(
        paths, proposals.rollouts, proposals.targets_m, own, now.others.objects, now.lanes, now.vehicle, now.margins
    )
    best = _stay_or_switch(before, scores, proposals.sides, settings, now_ns)
    row, column = divmod(best, len(SHARES))
    side = proposals.sides[row]
    since_ns = before.since_ns if before is not None and before.side == side else now_ns
    brakes = bool(scores.contact_s[best] <= settings.contact_brake_s)
    return Choice(side, SHARES[column], proposals.lanes[row], since_ns, brakes)


def _stay_or_switch(
    before: Choice | None, scores: Scores, sides: list[int], settings: FallbackSettings, now_ns: int
) -> int:
    """Index of the proposal to drive. Another side must be better by a margin, and the last switch some time ago."""
    best = int(np.argmax(scores.total))
    if before is None or before.side not in sides:
        return best
    first = sides.index(before.side) * len(SHARES)
    here = first + int(np.argmax(scores.total[first : first + len(SHARES)]))
    held = now_ns - before.since_ns >= nanoseconds(settings.switch_hold_s)
    better = scores.total[best] - scores.total[here] > settings.switch_margin
    unsafe_here = scores.contact_s[here] < scores.contact_s[best]
    return best if better and (held or unsafe_here) else here


def _anchor(path: JoinedPath, motion: Motion) -> tuple[Motion, float | None]:
    """Where a new path begins: beside the vehicle on the old one, with the slope of its offset from the line.

    Where the vehicle has strayed, it begins at the vehicle.
    """
    place = _beside(path, motion)
    if place is None:
        return motion, None
    x, y, heading = path.poses(np.array([place]))[0].tolist()
    before, behind = np.interp([place, place + SPACING_M], path.s_m, path.offset_m)
    anchor = dataclasses.replace(motion, x_m=x, y_m=y, heading_rad=heading)
    return anchor, float(behind - before) / SPACING_M


def _rest(path: JoinedPath, motion: Motion) -> JoinedPath:
    """The path in force from beside the vehicle on."""
    place = _beside(path, motion)
    return path if place is None else after(path, place)


def _beside(path: JoinedPath, motion: Motion) -> float | None:
    """Arc length beside the vehicle; None where it is too far from the path or points elsewhere."""
    x, y = path.x_m[:NEAR_POINTS] - motion.x_m, path.y_m[:NEAR_POINTS] - motion.y_m
    index = int(np.argmin(x * x + y * y))
    heading = float(path.heading_rad[index])
    cos, sin = math.cos(heading), math.sin(heading)
    dx, dy = float(x[index]), float(y[index])
    turned = abs(math.remainder(motion.heading_rad - heading, 2 * math.pi))
    if abs(dx * sin - dy * cos) > STRAYED_M or turned > STRAYED_RAD:
        return None
    return max(float(path.s_m[index]) - dx * cos - dy * sin, 0.0)


def _lane(path: JoinedPath, now: Situation) -> Lane:
    """A path with its caps, and the objects and signals to yield to on it, the nearest of each speed."""
    found = lane_leads(path, now.others, now.speed_mps, now.vehicle, now.margins, now.settings.corridor_margin_m)
    # In force is what is asked for and has come.
    braking = -max(now.demand_mps2, now.motion.acceleration_mps2)
    signals = signals_ahead(
        path, now.lanes, now.speed_mps, braking, now.begun, now.vehicle, now.settings, now.margins.delay_s
    )
    found += signals.leads
    allowed = np.interp(path.line_s_m, now.line.arc_lengths, now.lanes.speed_limit_mps)
    for gap in signals.missed_m:
        allowed = np.where(path.s_m < gap + PASSED_M, np.minimum(allowed, now.speed_mps), allowed)
    return Lane(path, *speed_caps(path, allowed, now.settings, now.vehicle), nearest_distinct(found), signals)


def join_length(speed_mps: float, settings: FallbackSettings) -> float:
    """Distance over which an offset from the line decays."""
    return max(settings.join_min_m, speed_mps * settings.join_time_s)


def _drive(lane: Lane, choice: Choice, now: Situation) -> SpeedProfile:
    """The speed along a lane: free road, caps, leads with the emergency brake on top."""
    settings, leads = now.settings, lane.leads
    idm, rules, physics = settings.idm, (lane.rules_mps * choice.share).tolist(), lane.physics_mps.tolist()
    last = len(rules) - 1
    sight_m = lane.path.known_m - (now.vehicle.length_m - now.vehicle.rear_overhang_m) - settings.sight_margin_m
    lost_mps2 = SIGHT_LOST * settings.sight_deceleration_mps2

    def law(time_s: float, distance_m: float, speed: float) -> tuple[float, float]:
        if choice.brakes:
            return -idm.clip_mps2, settings.emergency_jerk_mps3
        here = min(int(distance_m / SPACING_M), last)
        soon = min(int((distance_m + speed * CAP_LOOKAHEAD_S) / SPACING_M), last)
        safe = min(physics[here], physics[soon])
        target = max(min(rules[here], rules[soon], safe), 0.01)
        wanted = free_acceleration(speed, target, idm, settings.over_speed_mps2)
        if speed > safe:
            wanted = min(wanted, max((safe - speed) / CAP_LOOKAHEAD_S, -settings.sight_deceleration_mps2))
        jerk = settings.jerk_mps3
        room = sight_m - distance_m
        if speed * speed > 2 * lost_mps2 * (room + SIGHT_SLACK_M):
            needed = idm.brake_gain * speed * speed / (2 * max(room, LEAST_ROOM_M))
            wanted, jerk = min(wanted, -min(needed, idm.clip_mps2)), settings.emergency_jerk_mps3
        for gap_m, lead_mps in leads:
            lead = Lead(gap_m + lead_mps * time_s - distance_m, lead_mps)
            wanted = min(wanted, following_acceleration(speed, target, lead, idm))
            brake = emergency_brake(speed, lead, idm)
            if brake is not None:
                wanted, jerk = min(wanted, brake), settings.emergency_jerk_mps3
        return wanted, jerk

    return roll(now.speed_mps, now.demand_mps2, law)
