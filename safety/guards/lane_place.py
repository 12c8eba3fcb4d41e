"""Whether a lane is believed (10.2 F20).

Lines are in the odometry frame: seen again, a lane lies where it lay, however the vehicle moved meanwhile. The rule: a
lane is believed that agrees with its witnesses, beside the vehicle and at six places ahead, as far as the vehicle comes
in `ahead_s`, where both lines reach.

* The vehicle, always: within `away_m` of the centreline. Else LANES_AWAY.
* The lanes believed within the last `memory_s`: the last one, and one about every half second. None is farther from
  them than `shift_m`, or `turn_rad` of the distance from which either was seen, if that is more: what perception errs
  by grows with distance. Nothing is summed up, so an error that is the same in every message is none; what creeps or
  turns a little in each message is far from the oldest before long. The first message that is farther is LANES_DOUBTED,
  the next LANES_JUMP, against the same lanes, however old they get, until one agrees while they reach `ahead_m` ahead
  of the vehicle, or a person drives.
* Where there is no such lane (the first one; none for so long): the vehicle's heading, and ahead the course of the
  route, up to where that turns by command. Within `turned_rad`. Else LANES_TURNED, LANES_OFF_ROUTE.

Three kinds of lanes that are elsewhere are forgiven, and the older ones forgotten: the next lane, parallel, with the
vehicle in it (a lane change); a lane whose width says that it split or widened, shown twice; and one that turns off
ahead as another route has just turned off.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import wrap_angle
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.guards.lane_shift import (
    SHARES,
    Array,
    Shift,
    Stretch,
    direction_rad,
    edges_m,
    offset_m,
    room,
    shift,
    stretch,
)
from onboard_vla.safety.guards.route_place import RoutePlace
from onboard_vla.safety.input_config import LaneLimits

NEXT_LANE_SHARE = 0.75
"""A centreline that jumps to the next lane's moves by about a lane's width; lanes may be of unlike widths."""
APART_S = 0.5
"""Between lanes that are remembered, the last one aside."""
BESIDE = np.arange(len(SHARES)) == 0


@dataclass(frozen=True, eq=False)
class Believed:
    """A lane, when it was believed, and where on its line the vehicle was."""

    lanes: LaneObservation
    since_ns: int
    along_m: float


@dataclass(frozen=True, eq=False)
class Compared:
    """A lane against one that was believed."""

    before: LaneObservation
    stretch: Stretch
    shift: Shift


class LanePlace:
    """Takes each lane message, and says why it is not to be believed. See the module."""

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._believed: deque[Believed] = deque()
        self._doubted: LaneObservation | None = None
        self._doubts_ns: deque[int] = deque(maxlen=limits.doubts)
        self._stands = False

    def let_go(self) -> None:
        """A person drives: a jump stands no longer, and the next lane is a first one."""
        if self._stands:
            self._stands = False
            self._believed.clear()
            self._doubts_ns.clear()

    def leave(self, here: Array) -> None:
        """A person drives, and a stop of ours may go on: as `let_go` where no lane of before is beside him any more."""
        if self._stands and not any(_reaches(before.lanes, here, self._limits.away_m) for before in self._believed):
            self.let_go()

    def unsteady(self, now: Now) -> Reason | None:
        """Whether so many lanes were doubted lately that none is to be driven on for long."""
        count, doubts = len(self._doubts_ns), self._limits.doubts
        if count < doubts or seconds(now.monotonic_ns - self._doubts_ns[0]) > self._limits.doubts_s:
            return None
        return Reason("LANES_UNSTEADY", float(count), float(doubts), f"lanes doubted in {self._limits.doubts_s:g} s")

    def fault(self, lanes: LaneObservation, ego: EgoState, route: RoutePlace, now: Now) -> Reason | None:
        """Why this lane is not believed; None where it is. `ego`: the vehicle now."""
        limits, doubted = self._limits, self._doubted
        self._doubted = None
        here = np.array([[ego.x_m, ego.y_m]])
        away_m = abs(offset_m(lanes.line, here))
        if not away_m <= limits.away_m:
            return Reason("LANES_AWAY", away_m, limits.away_m, "vehicle from the lane's centreline, m")
        witnesses = self._witnesses(here, now)
        if not witnesses:
            fault = self._first_fault(lanes, here, ego, route)
            if fault is None:
                self._begin(lanes, here, now)
            return fault
        compared = [self._compare(lanes, before, here, ego.speed_mps) for before in witnesses]
        if self._stands and compared[-1].stretch.ahead_m[-1] < limits.ahead_m:
            # Near their end lanes of before tell too little: there every line agrees with them.
            return self._refuse(lanes, compared, repeated=True, now=now)
        over = [one for one in compared if one.shift.over.any()]
        if not over:
            self._believe(lanes, here, now)
            return None
        if (
            _is_next_lane(lanes, compared[-1], away_m, limits)
            or all(_turned_off(lanes, one, route, now) for one in over)
            or (not self._stands and doubted is not None and all(self._reshaped(lanes, doubted, one) for one in over))
        ):
            self._begin(lanes, here, now)
            return None
        return self._refuse(lanes, over, repeated=doubted is not None, now=now)

    def _refuse(self, lanes: LaneObservation, over: list[Compared], repeated: bool, now: Now) -> Reason:
        """Name what is farthest beyond its room."""
        beyond_m = [np.abs(one.shift.shift_m) - one.shift.room_m for one in over]
        worst = max(range(len(over)), key=lambda k: float(beyond_m[k].max()))
        place, found = int(np.argmax(beyond_m[worst])), over[worst]
        measured_m, limit_m = float(abs(found.shift.shift_m[place])), float(found.shift.room_m[place])
        where = f"sideways {found.stretch.ahead_m[place]:.0f} m ahead"
        if self._stands or repeated:
            self._stands = True
            return Reason("LANES_JUMP", measured_m, limit_m, f"{where}, against a lane believed before, m")
        self._doubted = lanes
        self._doubts_ns.append(now.monotonic_ns)
        return Reason("LANES_DOUBTED", measured_m, limit_m, f"{where}, in one message so far, m")

    def _witnesses(self, here: Array, now: Now) -> list[Believed]:
        """The lanes believed lately that reach the vehicle; where a jump stands, all that there were before it."""
        if self._stands:
            return list(self._believed)
        oldest_ns = now.monotonic_ns - round(self._limits.memory_s * 1e9)
        while self._believed and self._believed[0].since_ns < oldest_ns:
            self._believed.popleft()
        return [before for before in self._believed if _reaches(before.lanes, here, np.inf)]

    def _begin(self, lanes: LaneObservation, here: Array, now: Now) -> None:
        self._believed.clear()
        self._believe(lanes, here, now)

    def _believe(self, lanes: LaneObservation, here: Array, now: Now) -> None:
        believed = self._believed
        if len(believed) > 1 and seconds(believed[-1].since_ns - believed[-2].since_ns) < APART_S:
            believed.pop()
        believed.append(Believed(lanes, now.monotonic_ns, float(lanes.line.project(here)[0][0])))
        self._stands = False

    def _compare(self, lanes: LaneObservation, believed: Believed, here: Array, speed_mps: float) -> Compared:
        before, limits = believed.lanes, self._limits
        ahead = stretch(before.line, here, max(limits.ahead_m, limits.ahead_s * speed_mps))
        # Where a jump stands the room is that of now: growing with the way, it would take any lane in before long.
        come_m = 0.0 if self._stands else float(before.line.project(here)[0][0]) - believed.along_m
        return Compared(before, ahead, shift(lanes.line, ahead, ahead.ahead_m + come_m, limits))

    def _first_fault(self, lanes: LaneObservation, here: Array, ego: EgoState, route: RoutePlace) -> Reason | None:
        limits, along_m = self._limits, float(lanes.line.project(here)[0][0])
        turned_rad = abs(float(wrap_angle(ego.heading_rad - direction_rad(lanes.line, along_m))))
        if not turned_rad <= limits.turned_rad:
            return Reason("LANES_TURNED", turned_rad, limits.turned_rad, "of the first lane from the vehicle, rad")
        reach_m = max(limits.ahead_m, limits.ahead_s * ego.speed_mps)
        return route.course_fault(stretch(lanes.line, here, reach_m))

    def _reshaped(self, lanes: LaneObservation, doubted: LaneObservation, found: Compared) -> bool:
        """Whether both messages show a lane that split or widened, wherever it is beyond its room.

        One side of the lane stayed, as its width says, and an edge of the drivable area. A lane that grows by w has its
        centre w/2 aside, and by half a lane at most. The neighbour's lane is on the same road, but neither side of the
        lane stayed; a shifted map moves everything.
        """
        limits, before, points = self._limits, found.before, found.stretch.points
        again = shift(doubted.line, found.stretch, found.stretch.ahead_m, limits)
        alike = np.abs(again.shift_m - found.shift.shift_m) <= found.shift.room_m
        room_m = room(found.stretch.ahead_m, limits.turn_rad, limits.edge_m)
        aside_m, grown_m = np.abs(found.shift.shift_m), abs(lanes.lane_width_m - before.lane_width_m)
        stayed = np.abs(aside_m - grown_m / 2) <= room_m
        near = aside_m <= before.lane_width_m / 2 + room_m
        moved_m = np.abs(edges_m(lanes, points) - edges_m(before, points)).min(axis=0)
        explained = alike & stayed & near & (moved_m <= room_m)
        return bool(explained[found.shift.over].all())


def _reaches(lanes: LaneObservation, here: Array, aside_m: float) -> bool:
    """Whether a lane's line is so near the vehicle, and has not ended behind it."""
    line = lanes.line
    along_m, away_m = line.project(here)
    if float(along_m[0]) < line.length:
        return float(abs(away_m[0])) <= aside_m
    heading = direction_rad(line, line.length)
    past = here[0] - line.points[-1]
    return float(past[0] * np.cos(heading) + past[1] * np.sin(heading)) <= 0.0


def _is_next_lane(lanes: LaneObservation, last: Compared, away_m: float, limits: LaneLimits) -> bool:
    """Whether it is about a lane's width beside the last one, leads the same way, and has the vehicle in it."""
    widths_m, found = (lanes.lane_width_m, last.before.lane_width_m), last.shift
    beside_m = float(found.shift_m[0])
    parallel = np.abs(found.shift_m - beside_m) <= found.room_m
    # It has left the one before: of an untrusted message the width may make that harder, not easier.
    half_m = min(lanes.lane_width_m / 2, abs(beside_m) - last.before.lane_width_m / 2)
    within = abs(beside_m) >= NEXT_LANE_SHARE * max(widths_m) and away_m <= half_m + limits.edge_m
    return within and bool((parallel | ~found.shown).all())


def _turned_off(lanes: LaneObservation, found: Compared, route: RoutePlace, now: Now) -> bool:
    """Whether it goes elsewhere ahead alone, and only as the route does."""
    over, before = found.shift.over, found.stretch.points
    if (over & (BESIDE | found.shift.backwards)).any():
        return False
    after = lanes.line.at(lanes.line.project(before)[0])
    return bool(route.turned_off_with(before, after, found.shift.room_m, now)[over].all())
