"""Watches the ego vehicle and writes down violations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import box_corners, boxes_overlap
from onboard_vla.core.objects import PEDESTRIAN
from onboard_vla.core.road import RED
from onboard_vla.world.actors import Actor
from onboard_vla.world.violations import COLLISION, OFF_ROAD, RED_LIGHT, STOPPED_WITHOUT_CAUSE, Violation

if TYPE_CHECKING:
    from onboard_vla.world.world import World

STANDING_MPS = 0.3
"""Slower than this counts as standing."""
SLOW_MPS = 1.5
"""Slower than this is worth asking for a cause."""
NEEDLESS_STOP_S = 5.0
"""Standing this long without a cause is a violation."""
CAUSE_GAP_M = 20.0
"""A road user in or near the lane this close ahead is a cause to stand."""
CAUSE_SIGNAL_M = 30.0
"""A signal that is not green this close ahead is a cause to stand."""


class Referee:
    """Keeps the list of violations; each contact, excursion or stop is entered once."""

    def __init__(self, world: World) -> None:
        self.violations: list[Violation] = []
        self._world = world
        self._touching: set[int] = set()
        self._outside = False
        self._needless_s = 0.0
        self._has_moved = False
        self._passed: set[int] = set()

    def watch(self, dt_s: float) -> None:
        """Judge the state after one step."""
        corners = self._corners()
        self._watch_collisions(corners)
        self._watch_edges(corners)
        self._watch_signals()
        self._watch_stops(dt_s)

    def _enter(self, kind: str, at_fault: bool, detail: str) -> None:
        self.violations.append(Violation(kind, self._world.time_ns, at_fault, detail))

    def _corners(self) -> NDArray[np.float64]:
        vehicle, geometry = self._world.vehicle, self._world.geometry
        offset = geometry.centre_offset_m
        centre = (
            vehicle.x_m + offset * math.cos(vehicle.heading_rad),
            vehicle.y_m + offset * math.sin(vehicle.heading_rad),
        )
        return box_corners(np.array(centre), np.array(vehicle.heading_rad), geometry.length_m, geometry.width_m)

    def _watch_collisions(self, corners: NDArray[np.float64]) -> None:
        x, y = corners[:, 0].mean(), corners[:, 1].mean()
        touching: set[int] = set()
        for actor in self._world.traffic.actors_near(self._world.ego_s_m, 25.0):
            reach = (actor.length_m + actor.width_m) / 2 + 3.4
            if abs(actor.x_m - x) > reach or abs(actor.y_m - y) > reach:
                continue
            other = box_corners(
                np.array([actor.x_m, actor.y_m]), np.array(actor.heading_rad), actor.length_m, actor.width_m
            )
            if boxes_overlap(corners, other):
                touching.add(actor.actor_id)
                if actor.actor_id not in self._touching:
                    self._judge_collision(actor, (float(x), float(y)))
        self._touching = touching

    def _judge_collision(self, actor: Actor, centre: tuple[float, float]) -> None:
        """Driving into something is the ego vehicle's fault; being hit while standing or going with cause is not.

        Who stands and is touched by something slower still crept into it.

        Contact from behind: the other's centre lies behind the ego vehicle's rear third and closes in. A vehicle that
        stood or crept without a cause is at fault even then. Sideways contact is judged by who left the lane.
        """
        world = self._world
        vehicle = world.vehicle
        cos, sin = math.cos(vehicle.heading_rad), math.sin(vehicle.heading_rad)
        ahead = cos * (actor.x_m - centre[0]) + sin * (actor.y_m - centre[1])
        vx, vy = actor.velocity
        other_along = cos * vx + sin * vy
        what = f"{actor.family} {actor.kind} {actor.actor_id} at {vehicle.speed_mps:.1f} m/s"
        if vehicle.speed_mps < STANDING_MPS and actor.speed_mps > vehicle.speed_mps:
            needless = self._needless_s > 0.0
            self._enter(COLLISION, needless, f"hit while standing {'without cause ' if needless else ''}by {what}")
        elif ahead < -world.geometry.length_m / 3 and other_along > vehicle.speed_mps:
            needless = self._needless_s > 0.0
            self._enter(COLLISION, needless, f"hit from behind by {what}")
        elif ahead > world.geometry.length_m / 3 or actor.kind == PEDESTRIAN or actor.speed_mps < STANDING_MPS:
            self._enter(COLLISION, True, f"drove into {what}")
        else:
            in_lane = abs(world.ego_d_m) + world.geometry.width_m / 2 <= world.profile.lane_width_m / 2
            self._enter(COLLISION, not in_lane, f"sideways contact with {what}")

    def _watch_edges(self, corners: NDArray[np.float64]) -> None:
        world, outside = self._world, False
        for x, y in corners:
            s, d = world.road.project(float(x), float(y), world.ego_s_m)
            i = world.road.index(s)
            if not -world.road.right_m[i] <= d <= world.road.left_m[i]:
                outside = True
                if not self._outside:
                    self._enter(OFF_ROAD, True, f"a corner at lateral position {d:+.2f} m, route {s:.0f} m")
                break
        self._outside = outside

    def _watch_signals(self) -> None:
        world = self._world
        front = world.ego_s_m + world.geometry.length_m - world.geometry.rear_overhang_m
        for junction in world.road.junctions:
            if junction.signal_id is None or junction.signal_id in self._passed or front < junction.stop_s_m:
                continue
            self._passed.add(junction.signal_id)
            late = front - junction.stop_s_m > 5.0
            if not late and world.programmes[junction.signal_id].state(world.time_s) == RED:
                self._enter(RED_LIGHT, True, f"crossed the stop line of signal {junction.signal_id}")

    def _watch_stops(self, dt_s: float) -> None:
        world = self._world
        speed = world.vehicle.speed_mps
        self._has_moved = self._has_moved or speed > 1.0
        if speed > SLOW_MPS or not self._has_moved or self._cause_to_stand():
            self._needless_s = 0.0
            return
        before = self._needless_s
        self._needless_s += dt_s
        if before < NEEDLESS_STOP_S <= self._needless_s:
            self._enter(STOPPED_WITHOUT_CAUSE, True, f"{NEEDLESS_STOP_S:.0f} s below {SLOW_MPS} m/s")

    def _cause_to_stand(self) -> bool:
        """Something in or near the lane ahead, a signal that is not green, or the route's end."""
        world = self._world
        front = world.ego_s_m + world.geometry.length_m - world.geometry.rear_overhang_m
        if front > world.road.length_m - CAUSE_GAP_M:
            return True
        for junction in world.road.junctions:
            near = -2.0 < junction.stop_s_m - front < CAUSE_SIGNAL_M
            if near and junction.signal_id is not None and not world.signal_is_green(junction.signal_id):
                return True
        for actor in world.traffic.actors_near(world.ego_s_m, 60.0):
            s, d = actor.on_route(world.road)
            reach = world.geometry.width_m / 2 + actor.width_m / 2 + (2.5 if actor.kind == PEDESTRIAN else 0.4)
            if abs(d) < reach and 0.0 < s - front < CAUSE_GAP_M + actor.length_m / 2:
                return True
        return False
