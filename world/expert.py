"""The rule-based expert: drives the world with full knowledge, and says what it is about to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core import scene_record as words
from onboard_vla.core.control import Control
from onboard_vla.core.geometry import compose, inverse
from onboard_vla.core.objects import PEDESTRIAN
from onboard_vla.core.road import AMBER, RED
from onboard_vla.world.expert_rollout import command, forecast
from onboard_vla.world.scene import CriticalObject, SceneDescription, lateral_action, longitudinal_action

if TYPE_CHECKING:
    from onboard_vla.world.actors import Actor
    from onboard_vla.world.world import World

CUT_IN_LOOKAHEAD_S = 1.5
"""A vehicle moving sideways counts as in the lane if it will be there within this time."""
LANE_CLEARANCE_M = 0.3
"""Lateral clearance that the expert wants to anything it passes."""
PEDESTRIAN_CLEARANCE_M = 0.8
STAND_BEHIND_M, STAND_AT_LINE_M, STAND_BEFORE_PEDESTRIAN_M = 2.5, 1.0, 3.5
"""Gaps left at standstill: behind a vehicle, before a stop line, before a pedestrian's way."""
AMBER_BRAKING_MPS2 = 2.5
"""At amber the expert stops if that takes no harder braking than this."""
DEMANDING_BRAKING_MPS2 = -0.9
"""A forecast braking harder than this makes a scene demanding."""
DEMANDING_OFFSET_M = 0.6
"""So does being this far from the lane's centre."""


@dataclass(frozen=True, eq=False)
class ExpertPlan:
    """The expert's next five seconds in the ego frame of now.

    `poses`: (10, 3) float32 at 0.5 s steps; `fine`: (50, 3) float32 at 0.1 s; `speeds_mps`, `accelerations_mps2`: (50,)
    float32 at the fine steps. `demanding`: whether the scene deserves slow thinking.
    """

    poses: NDArray[np.float32]
    fine: NDArray[np.float32]
    speeds_mps: NDArray[np.float32]
    accelerations_mps2: NDArray[np.float32]
    demanding: bool
    scene: SceneDescription


@dataclass(frozen=True)
class _Obstacle:
    """One reason not to drive on: the row for the rollout, and what to call it."""

    row: tuple[float, float, float, float, float, float]
    described: CriticalObject


class Expert:
    """Stateless between calls: everything follows from the world's present state."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._front = world.geometry.length_m - world.geometry.rear_overhang_m

    def control(self) -> Control:
        """The command for this instant."""
        world, road = self._world, self._world.road
        vehicle = world.vehicle
        acceleration, curvature = command(
            world.ego_s_m,
            world.ego_d_m,
            world.heading_error_rad,
            vehicle.speed_mps,
            vehicle.acceleration_mps2,
            0.0,
            self._front,
            road.curvatures,
            road.speed_profile,
            _rows(self._obstacles()),
        )
        return Control(acceleration, curvature)

    def plan(self) -> ExpertPlan:
        """The next five seconds if everybody else goes on as now."""
        world, road, vehicle = self._world, self._world.road, self._world.vehicle
        obstacles = self._obstacles()
        future = forecast(
            vehicle.x_m,
            vehicle.y_m,
            vehicle.heading_rad,
            vehicle.speed_mps,
            vehicle.acceleration_mps2,
            vehicle.curvature_per_m,
            world.ego_s_m,
            self._front,
            road.points,
            road.headings,
            road.curvatures,
            road.speed_profile,
            _rows(obstacles),
        )
        here = np.array([vehicle.x_m, vehicle.y_m, vehicle.heading_rad])
        fine = compose(inverse(here), future[:, :3]).astype(np.float32)
        described = self._describe(obstacles, future, fine)
        demanding = self._is_demanding(obstacles, future, described)
        speeds, accelerations = future[:, 3].astype(np.float32), future[:, 4].astype(np.float32)
        return ExpertPlan(fine[4::5].copy(), fine, speeds, accelerations, demanding, described)

    def _obstacles(self) -> list[_Obstacle]:
        world = self._world
        found = [self._signal_obstacle()]
        for actor in world.traffic.actors_near(world.ego_s_m, world.profile.sight_m + 20.0):
            if actor.path is not None:
                found.append(self._crossing_obstacle(actor))
            elif actor.kind != PEDESTRIAN:
                found.append(self._lane_obstacle(actor))
        return [obstacle for obstacle in found if obstacle is not None]

    def _lane_obstacle(self, actor: Actor) -> _Obstacle | None:
        """A vehicle on the route's road that is, or will soon be, in the way."""
        world = self._world
        rear = actor.s_m - actor.length_m / 2
        gap = rear - world.ego_s_m - self._front
        if actor.s_m < world.ego_s_m or not -2.0 - actor.length_m < gap < world.profile.sight_m:
            return None
        reach = world.geometry.width_m / 2 + actor.width_m / 2 + LANE_CLEARANCE_M
        later = actor.d_m + CUT_IN_LOOKAHEAD_S * actor.lateral_mps
        now_in, soon_in = abs(actor.d_m) < reach, abs(later) < reach or later * actor.d_m < 0
        if not (now_in or soon_in):
            return None
        speed = actor.direction * actor.speed_mps
        entering = actor.lateral_mps * actor.d_m < -0.05
        kind = words.CUT_IN_VEHICLE if entering else words.LEAD_VEHICLE
        acceleration = min(actor.direction * actor.acceleration_mps2, 0.5)
        row = (rear, speed, acceleration, 0.0, math.inf, STAND_BEHIND_M)
        return _Obstacle(row, CriticalObject(kind, gap, speed))

    def _crossing_obstacle(self, actor: Actor) -> _Obstacle | None:
        """A pedestrian or vehicle on a path of its own that will be in the way when the ego vehicle comes."""
        world = self._world
        s, d = actor.on_route(world.road)
        pedestrian = actor.kind == PEDESTRIAN
        half = actor.width_m / 2 if pedestrian else actor.length_m / 2
        gap = s - half - world.ego_s_m - self._front
        if s < world.ego_s_m or not -3.0 < gap < world.profile.sight_m:
            return None
        clearance = PEDESTRIAN_CLEARANCE_M if pedestrian else LANE_CLEARANCE_M
        reach = world.geometry.width_m / 2 + half + clearance
        lane_heading = world.road.pose_at(s)[2]
        vx, vy = actor.velocity
        along = math.cos(lane_heading) * vx + math.sin(lane_heading) * vy
        across = -math.sin(lane_heading) * vx + math.cos(lane_heading) * vy
        if abs(across) < 0.2:
            if abs(d) >= reach:
                return None
            enters, leaves = 0.0, math.inf
        else:
            times = sorted(((-reach - d) / across, (reach - d) / across))
            enters, leaves = times
        arrival = max(gap, 0.0) / max(world.vehicle.speed_mps, 1.0)
        if leaves < 0.0 or enters > arrival + 2.0 or enters > 6.0:
            return None
        margin = STAND_BEFORE_PEDESTRIAN_M if pedestrian else STAND_BEHIND_M
        kind = words.CROSSING_PEDESTRIAN if pedestrian else words.LEAD_VEHICLE
        slow = max(0.0, along) if abs(across) < abs(along) else 0.0
        row = (s - half, slow, 0.0, 0.0, leaves + 0.3, margin)
        return _Obstacle(row, CriticalObject(kind, gap, slow))

    def _signal_obstacle(self) -> _Obstacle | None:
        world = self._world
        front = world.ego_s_m + self._front
        for junction in world.road.junctions:
            if junction.signal_id is None:
                continue
            to_line = junction.stop_s_m - front
            if not -0.5 < to_line < world.profile.sight_m:
                continue
            state = world.programmes[junction.signal_id].state(world.time_s)
            needed = world.vehicle.speed_mps**2 / (2 * max(to_line, 0.1))
            if state == RED or (state == AMBER and needed < AMBER_BRAKING_MPS2):
                row = (junction.stop_s_m, 0.0, 0.0, 0.0, math.inf, STAND_AT_LINE_M)
                return _Obstacle(row, CriticalObject(words.RED_SIGNAL, to_line, 0.0))
            return None
        return None

    def _describe(
        self, obstacles: list[_Obstacle], future: NDArray[np.float64], fine: NDArray[np.float32]
    ) -> SceneDescription:
        world = self._world
        binding = [o for o in obstacles if o.described.distance_m < 12.0 + 4.0 * world.vehicle.speed_mps]
        critical = sorted((o.described for o in binding), key=lambda c: c.distance_m)[:3]
        return SceneDescription(
            self._name_scene(),
            tuple(critical),
            self._name_intent(critical, future),
            lateral_action(float(fine[-1, 2])),
            longitudinal_action(world.vehicle.speed_mps, float(future[29, 3]), float(future[-1, 3])),
        )

    def _name_scene(self) -> str:
        world, road = self._world, self._world.road
        junction = road.next_junction(world.ego_s_m)
        if junction is not None and world.ego_s_m > junction.enter_s_m - self._front:
            return words.IN_JUNCTION
        if junction is not None and junction.stop_s_m - world.ego_s_m < 50.0:
            return words.JUNCTION_AHEAD
        i = road.index(world.ego_s_m)
        bend = float(road.headings[road.index(world.ego_s_m + 25.0)] - road.headings[i])
        if abs(bend) < 0.06:
            return words.STRAIGHT
        return words.CURVE_LEFT if bend > 0 else words.CURVE_RIGHT

    def _name_intent(self, critical: list[CriticalObject], future: NDArray[np.float64]) -> str:
        world = self._world
        if abs(world.ego_d_m) > DEMANDING_OFFSET_M or abs(world.heading_error_rad) > 0.1:
            return words.RETURN_TO_LANE
        for found in critical:
            if found.kind == words.RED_SIGNAL:
                return words.STOP_AT_SIGNAL
            if found.kind in (words.CROSSING_PEDESTRIAN, words.CUT_IN_VEHICLE):
                return words.YIELD
            if found.kind == words.LEAD_VEHICLE:
                return words.FOLLOW
        ahead = world.road.speed_profile[world.road.index(world.ego_s_m + 5.0 + 2 * world.vehicle.speed_mps)]
        if ahead < 0.9 * world.road.speed_limit_mps and future[-1, 3] < world.vehicle.speed_mps + 0.5:
            return words.SLOW_FOR_CURVE
        return words.CRUISE

    def _is_demanding(
        self, obstacles: list[_Obstacle], future: NDArray[np.float64], described: SceneDescription
    ) -> bool:
        """Hard braking to come, somebody crossing or cutting in, a stop at a signal, or a return from off the lane."""
        kinds = {c.kind for c in described.critical}
        return bool(
            float(future[:30, 4].min()) < DEMANDING_BRAKING_MPS2
            or kinds & {words.CUT_IN_VEHICLE, words.CROSSING_PEDESTRIAN}
            or (words.RED_SIGNAL in kinds and self._world.vehicle.speed_mps > 1.0)
            or described.intent == words.RETURN_TO_LANE
        )


def _rows(obstacles: list[_Obstacle]) -> NDArray[np.float64]:
    return np.array([o.row for o in obstacles], np.float64).reshape(-1, 6)


@lru_cache(maxsize=256)
def expert_progress(seed: int, profile: str, duration_s: float) -> float:
    """Metres that the expert makes in this world in `duration_s` of closed loop."""
    from onboard_vla.world.world import STEP_S, World

    world = World(seed, profile)
    expert = Expert(world)
    for _ in range(round(duration_s / STEP_S)):
        world.step(expert.control())
    return world.progress_m
