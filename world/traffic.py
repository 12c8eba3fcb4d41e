"""The population of road users: who is there at the start, who moves how, and who comes back further on."""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.core.objects import PEDESTRIAN, VEHICLE
from onboard_vla.world.actors import Actor, Behaviour, StraightPath, View
from onboard_vla.world.idm import CrossingDriver, IdmDriver, IdmParameters
from onboard_vla.world.pedestrians import Crosser, Walker
from onboard_vla.world.road import CROSSING_REACH_M, Junction, Road
from onboard_vla.world.scripted import Replay, lane_cut_in, pull_out, slow_lead, weaving
from onboard_vla.world.signals import SignalProgramme

PARKED_GAP_M = 0.3
"""Parked vehicles stand this far outside the ego lane's edge."""
RECYCLE_BEHIND_M, RECYCLE_AHEAD_M = 70.0, 90.0
"""Moving vehicles this far behind the ego vehicle, or this far beyond the sight distance, are placed anew."""
ACTIVE_JUNCTION_M = 160.0
"""Crossing traffic moves only while the ego vehicle is this near."""
CUT_IN_OVERSPEED_MPS = 1.5
"""Who cuts in after overtaking is at least this much faster than the ego vehicle."""
COLOURS = 8
"""Number of vehicle colours the renderer knows."""
CAR, VAN, TRUCK = (4.5, 1.85, 1.5), (5.6, 2.0, 2.3), (9.5, 2.5, 3.3)
"""Length, width, height in metres."""


class Traffic:
    """All actors of one world. `moving` act in every step, `parked` never move."""

    def __init__(
        self, road: Road, programmes: dict[int, SignalProgramme], rng: np.random.Generator, ego_s_m: float
    ) -> None:
        self._road, self._programmes, self._rng = road, programmes, rng
        self._profile, self._limit = road.profile, road.speed_limit_mps
        self._next_id = 1
        self.moving: list[Actor] = []
        self.parked: list[Actor] = []
        self._crossing: list[tuple[Junction, Actor]] = []
        self._cut_in_at: list[float] = []
        self.kerb_d_m = -(self._profile.lane_width_m / 2 + PARKED_GAP_M + CAR[1] / 2)
        self._keep_clear = [(j.stop_s_m - 12.0, j.exit_s_m + 14.0) for j in road.junctions]
        self._add_leads(ego_s_m)
        self._add_oncoming(ego_s_m)
        self._add_overtakers(ego_s_m)
        self._add_crossing_pedestrians()
        self._add_cut_ins()
        self._add_parked()
        self._add_walkers()
        for junction in road.junctions:
            self._add_crossing_traffic(junction)
        for actor in self.moving + self.parked + [a for _, a in self._crossing]:
            actor.place(road)
        self._parked_s = np.array([a.s_m for a in self.parked])

    def actors_near(self, s_m: float, reach_m: float) -> list[Actor]:
        """Every actor within `reach_m` of arc length along the route, crossing traffic included, in id order."""
        near = [a for a in self.moving if a.path is not None or abs(a.s_m - s_m) < reach_m]
        near += [a for j, a in self._crossing if abs(j.stop_s_m - s_m) < reach_m + CROSSING_REACH_M]
        near += [self.parked[i] for i in np.flatnonzero(np.abs(self._parked_s - s_m) < reach_m)]
        return near

    def step(self, view: View, dt_s: float) -> None:
        """Move everybody by one step."""
        crossing = [a for j, a in self._crossing if abs(j.stop_s_m - view.ego_s_m) < ACTIVE_JUNCTION_M]
        for group in (self.moving, crossing):
            for actor in group:
                if actor.behaviour is not None and self._awake(actor, view):
                    actor.behaviour.step(actor, view, group, dt_s)
                    actor.place(self._road)
        for actor in self.moving:
            self._recycle(actor, view)
        self._start_cut_in(view)
        for actor in crossing:
            if actor.s_m > 2 * CROSSING_REACH_M:
                actor.s_m -= 2 * CROSSING_REACH_M + 10.0
                actor.place(self._road)

    def _awake(self, actor: Actor, view: View) -> bool:
        if isinstance(actor.behaviour, Crosser):
            return abs(actor.behaviour.cross_s_m - view.ego_s_m) < ACTIVE_JUNCTION_M
        return abs(actor.s_m - view.ego_s_m) < 500.0

    def _vehicle(
        self,
        family: str,
        s: float,
        d: float,
        speed: float,
        behaviour: Behaviour | None,
        size: tuple[float, float, float],
    ) -> Actor:
        length, width, height = (x * self._rng.uniform(0.95, 1.05) for x in size)
        colour = int(self._rng.integers(0, COLOURS))
        return Actor(
            self._take_id(), VEHICLE, family, s, d, length, width, height, colour, speed_mps=speed, behaviour=behaviour
        )

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _size(self) -> tuple[float, float, float]:
        pick = self._rng.uniform()
        return CAR if pick < 0.7 else VAN if pick < 0.87 else TRUCK

    def _add_leads(self, ego_s_m: float) -> None:
        s = ego_s_m + self._rng.uniform(25.0, 70.0) * max(1.0, self._limit / 14.0)
        for _ in range(self._profile.leads):
            if self._rng.uniform() > self._profile.lead_share:
                continue
            lead = self._vehicle("idm", s, 0.0, 0.0, None, self._size())
            self._give_lead_motion(lead)
            self.moving.append(lead)
            s += self._rng.uniform(30.0, 120.0) * max(1.0, self._limit / 14.0)
        if self._rng.uniform() < 0.6:
            follower = IdmDriver(IdmParameters(self._limit * self._rng.uniform(0.95, 1.05)))
            s = ego_s_m - self._rng.uniform(14.0, 30.0) * max(1.0, self._limit / 14.0)
            self.moving.append(
                self._vehicle("idm", s, 0.0, self._limit * self._profile.start_speed_share * 0.9, follower, CAR)
            )

    def _give_lead_motion(self, lead: Actor) -> None:
        """A car-following driver, slower or not; on roads without signals half of them replay a motion instead."""
        lead.d_m, lead.lateral_mps = 0.0, 0.0
        slower = self._rng.uniform() < self._profile.slower_lead_share
        share = self._rng.uniform(0.55, 0.85) if slower else self._rng.uniform(0.95, 1.1)
        lead.speed_mps = share * self._limit
        scripted = not self._programmes and slower and self._profile.lanes == 1 and self._rng.uniform() < 0.5
        scripted = scripted and not any(a.direction > 0 and a.s_m > lead.s_m and abs(a.d_m) < 1.5 for a in self.moving)
        if scripted:
            lead.family = "scripted"
            lead.behaviour = Replay(slow_lead(self._limit, lead.speed_mps, self._rng, self.kerb_d_m - 0.3))
        else:
            lead.family = "idm"
            lead.behaviour = IdmDriver(IdmParameters(share * self._limit))

    def _add_oncoming(self, ego_s_m: float) -> None:
        s = ego_s_m
        for _ in range(self._profile.oncoming):
            s += self._rng.uniform(40.0, 130.0)
            car = self._vehicle("idm", s, self._road.oncoming_m, 0.0, None, self._size())
            car.direction = -1
            self._give_oncoming_motion(car)
            self.moving.append(car)

    def _give_oncoming_motion(self, car: Actor) -> None:
        """One of the oncoming vehicles may replay a motion; it is slower than the rest, so that it runs into nobody."""
        blind = self._rng.uniform() < 0.5 and not self._programmes
        blind = blind and not any(a is not car and a.direction < 0 and a.family == "scripted" for a in self.moving)
        speed = self._limit * (self._rng.uniform(0.55, 0.74) if blind else self._rng.uniform(0.88, 1.05))
        car.speed_mps, car.d_m = speed, self._road.oncoming_m
        if blind:
            car.family, car.behaviour = "scripted", Replay(weaving(speed, self._road.oncoming_m, self._rng))
        else:
            car.family, car.behaviour = "idm", IdmDriver(IdmParameters(speed))

    def _add_overtakers(self, ego_s_m: float) -> None:
        if self._profile.lanes < 2:
            return
        s = ego_s_m - 60.0
        for _ in range(3):
            speed = self._limit * self._rng.uniform(0.95, 1.15)
            driver = IdmDriver(IdmParameters(speed))
            self.moving.append(self._vehicle("idm", s, self._profile.lane_width_m, speed, driver, CAR))
            s += self._rng.uniform(60.0, 120.0)

    def _add_cut_ins(self) -> None:
        spacing = self._profile.cut_in_spacing_m
        if not spacing:
            return
        s = 140.0 + self._rng.uniform(0.0, spacing / 2)
        while s < self._road.length_m - 250.0:
            if self._profile.lanes == 1 and self._clear_of_junctions(s, before_m=60.0):
                gap = 8.0 + 0.7 * self._limit + self._limit**2 / (2 * self._rng.uniform(2.2, 3.2))
                replay = Replay(pull_out(self._limit, self.kerb_d_m, self._rng), trigger_gap_m=gap)
                self.moving.append(self._vehicle("scripted", s, self.kerb_d_m, 0.0, replay, CAR))
            elif self._profile.lanes > 1:
                self._cut_in_at.append(s)
            s += spacing * self._rng.uniform(0.6, 1.4)

    def _clear_of_junctions(self, s: float, before_m: float = 0.0) -> bool:
        return all(not low - before_m < s < high for low, high in self._keep_clear)

    def _add_parked(self) -> None:
        taken = [a.s_m for a in self.moving if a.family == "scripted" and a.speed_mps == 0.0] + self._crossings
        s = 30.0 + self._rng.uniform(0.0, self._profile.parked_spacing_m)
        while s < self._road.length_m - 20.0:
            side_left = self._profile.lanes == 1 and self._rng.uniform() < 0.4
            free = all(abs(s - other) > 13.0 for other in taken)
            if self._clear_of_junctions(s) and free:
                size = CAR if self._rng.uniform() < 0.8 else VAN
                d = self.kerb_d_m - self._rng.uniform(0.0, 0.25) - (size[1] - CAR[1]) / 2
                if side_left:
                    d = self._road.oncoming_m - d
                car = self._vehicle("parked", s, d, 0.0, None, size)
                car.direction = -1 if side_left else 1
                car.yaw_offset_rad = float(self._rng.normal(0.0, 0.015))
                self.parked.append(car)
            s += self._profile.parked_spacing_m * self._rng.uniform(0.4, 1.6) + 6.5

    @property
    def _crossings(self) -> list[float]:
        return [a.behaviour.cross_s_m for a in self.moving if isinstance(a.behaviour, Crosser)]

    def _add_crossing_pedestrians(self) -> None:
        if not self._profile.pedestrian_spacing_m:
            return
        spacing = self._profile.pedestrian_spacing_m / max(self._profile.crossing_pedestrian_share, 0.01)
        s = 90.0 + self._rng.uniform(0.0, spacing)
        while s < self._road.length_m - 60.0:
            if self._clear_of_junctions(s, before_m=40.0):
                start_d = -(self._profile.lane_width_m / 2 + self._profile.shoulder_m + self._rng.uniform(0.3, 1.2))
                x, y, heading = self._road.pose_at(s, start_d)
                length = 2 * abs(start_d) + 2 * self._road.axis_offset_m
                path = StraightPath(x, y, heading + math.pi / 2, s)
                if self._rng.uniform() < 0.5:
                    x, y, heading = self._road.pose_at(s, start_d + length)
                    path = StraightPath(x, y, heading - math.pi / 2, s)
                self.moving.append(self._pedestrian(path, 0.0, Crosser(float(self._rng.uniform(1.0, 1.7)), s, length)))
            s += spacing * self._rng.uniform(0.6, 1.4)

    def _pedestrian(self, path: StraightPath | None, s: float, behaviour: Behaviour) -> Actor:
        colour = int(self._rng.integers(0, COLOURS))
        height = float(self._rng.uniform(1.55, 1.9))
        return Actor(
            self._take_id(), PEDESTRIAN, "pedestrian", s, 0.0, 0.5, 0.6, height, colour, behaviour=behaviour, path=path
        )

    def _add_walkers(self) -> None:
        if not self._profile.pedestrian_spacing_m:
            return
        s = 40.0
        edge = self._profile.lane_width_m / 2 + self._profile.shoulder_m
        while s < self._road.length_m - 20.0:
            if self._clear_of_junctions(s, before_m=25.0):
                walker = self._pedestrian(None, s, Walker(float(self._rng.uniform(0.8, 1.6)), 12.0, s))
                side = self._rng.uniform(1.0, 2.2) + edge
                walker.d_m = -side if self._rng.uniform() < 0.5 else side + 2 * self._road.axis_offset_m
                walker.direction = 1 if self._rng.uniform() < 0.5 else -1
                self.moving.append(walker)
            s += self._profile.pedestrian_spacing_m * self._rng.uniform(0.5, 1.5)

    def _add_crossing_traffic(self, junction: Junction) -> None:
        """Vehicles on the crossing road; where the route turns, only those that do not come from its exit arm."""
        programme = self._programmes.get(junction.signal_id) if junction.signal_id is not None else None
        for side in (-1.0, 1.0):
            if (junction.turn == "turn left" and side < 0) or (junction.turn == "turn right" and side > 0):
                continue
            heading = junction.heading_rad + side * math.pi / 2
            lane = -(self._profile.lane_width_m + self._profile.centre_gap_m) / 2
            cos, sin = math.cos(heading), math.sin(heading)
            x = junction.x_m - CROSSING_REACH_M * cos - lane * sin
            y = junction.y_m - CROSSING_REACH_M * sin + lane * cos
            path = StraightPath(x, y, heading, (junction.enter_s_m + junction.exit_s_m) / 2)
            stop = CROSSING_REACH_M - junction.half_width_m - 4.5
            s = self._rng.uniform(0.0, stop - 10.0)
            for _ in range(int(self._rng.integers(0, 3))):
                speed = self._rng.uniform(8.0, 12.0)
                driver = CrossingDriver(IdmParameters(float(speed)), programme, stop)
                car = self._vehicle("idm", s, 0.0, 0.0, driver, self._size())
                car.path = path
                self._crossing.append((junction, car))
                s -= self._rng.uniform(14.0, 40.0)

    def _recycle(self, actor: Actor, view: View) -> None:
        """Place a vehicle anew that the ego vehicle can no longer meet."""
        if actor.kind != VEHICLE or actor.path is not None or (actor.speed_mps == 0.0 and actor.s_m > view.ego_s_m):
            if actor.path is None and actor.kind == VEHICLE and self._finished(actor) and actor.d_m == 0.0:
                actor.family, actor.behaviour = "idm", IdmDriver(IdmParameters(1.1 * self._limit))
            return
        ahead = actor.s_m - view.ego_s_m
        reach = self._profile.sight_m + RECYCLE_AHEAD_M
        if actor.direction > 0 and self._finished(actor) and actor.d_m == 0.0:
            actor.family, actor.behaviour = "idm", IdmDriver(IdmParameters(1.1 * self._limit))
        if -RECYCLE_BEHIND_M < ahead < reach + 120.0 or (actor.direction < 0 and ahead > 0):
            return
        overtaking = actor.direction > 0 and actor.d_m > 1.0
        s = view.ego_s_m + reach - self._rng.uniform(0.0, 80.0)
        if overtaking and ahead > 0:
            s = view.ego_s_m - RECYCLE_BEHIND_M + 5.0
        if s > self._road.length_m - 10.0 or self._occupied(actor, s):
            return
        actor.s_m = s
        if overtaking:
            self._give_overtaking_motion(actor, view, behind=ahead > 0)
        elif actor.direction < 0:
            self._give_oncoming_motion(actor)
        else:
            self._give_lead_motion(actor)
        actor.place(self._road)

    def _give_overtaking_motion(self, actor: Actor, view: View, *, behind: bool) -> None:
        speed = self._limit * float(self._rng.uniform(0.95, 1.15))
        if behind:
            speed = max(speed, view.ego_speed_mps + 3.0)
        actor.speed_mps, actor.family, actor.behaviour = speed, "idm", IdmDriver(IdmParameters(speed))

    def _start_cut_in(self, view: View) -> None:
        """Past the place of a pending cut-in, the next vehicle that overtakes on the left gets to do it."""
        if not self._cut_in_at or self._cut_in_at[0] > view.ego_s_m:
            return
        for actor in self.moving:
            behind = 5.0 < view.ego_s_m - actor.s_m < RECYCLE_BEHIND_M and actor.direction > 0 and actor.d_m > 1.0
            if behind and actor.family == "idm" and actor.speed_mps > view.ego_speed_mps + CUT_IN_OVERSPEED_MPS:
                self._cut_in_at.pop(0)
                gap = float(self._rng.uniform(0.45, 0.8)) * view.ego_speed_mps
                motion = lane_cut_in(actor.speed_mps, actor.d_m, self._rng)
                actor.family, actor.behaviour = "scripted", Replay(motion, overtake_gap_m=gap)
                return

    def _finished(self, actor: Actor) -> bool:
        return isinstance(actor.behaviour, Replay) and actor.behaviour.finished and actor.behaviour.playing

    def _occupied(self, actor: Actor, s: float) -> bool:
        return any(
            a is not actor and a.path is None and abs(a.s_m - s) < 40.0 and abs(a.d_m - actor.d_m) < 2.5
            for a in self.moving
        )
