"""One driving world: road, traffic, signals, the ego vehicle and its violations; deterministic per seed and profile."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.conditions import DAY, DRY, OperatingConditions
from onboard_vla.core.ego import EgoState, VehicleGeometry
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.geometry import wrap_angle
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import GREEN, LaneObservation, Route, Signal
from onboard_vla.world.actors import Actor, View
from onboard_vla.world.profiles import PROFILES, Profile
from onboard_vla.world.referee import Referee
from onboard_vla.world.road import Road
from onboard_vla.world.signals import draw_programme
from onboard_vla.world.traffic import Traffic
from onboard_vla.world.vehicle import Control, Vehicle
from onboard_vla.world.violations import Violation

AREA = "world"
"""The one mapped area that there is."""
START_S_M = 30.0
"""Where the ego vehicle starts on the route."""
LANE_BEHIND_M, LANE_STEP = 10.0, 2
"""The lane observation begins this far behind the vehicle; every second sample of the road is in it."""
STEP_S = 0.02
"""The world's step."""


@dataclass(frozen=True)
class StartOffset:
    """How the start differs from the lane's centre: lateral (left positive), heading, and a factor on the speed."""

    lateral_m: float = 0.0
    heading_rad: float = 0.0
    speed_factor: float = 1.0


@dataclass(frozen=True)
class LearningTruth:
    """Auxiliary targets: what a policy that looks at the road can see, and one that is blind cannot know.

    `lane_offset_m`, `heading_error_rad`: pose relative to the ego lane. `path_lateral_m`: lateral position, in the ego
    frame, of the lane's centre 10, 20 and 30 m along the lane. `lead_gap_m`, `lead_speed_mps`: bumper to bumper to the
    next road user in the lane, infinite and 0 if none within sight. `signal`: state of the next signal within sight or
    None; `signal_distance_m`: front bumper to its stop line.
    """

    lane_offset_m: float
    heading_error_rad: float
    path_lateral_m: tuple[float, float, float]
    lead_gap_m: float
    lead_speed_mps: float
    signal: str | None
    signal_distance_m: float


class World:
    """See the module's head. `time_ns` starts at 0; all stamps are on that clock."""

    def __init__(self, seed: int, profile: str | Profile = "quiet_road", start: StartOffset | None = None) -> None:
        self.seed, self.profile = seed, _profile(profile)
        name = self.profile.name
        streams = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).spawn(4)
        road_rng, signal_rng, traffic_rng, self.scenery_rng = (np.random.default_rng(s) for s in streams)
        self.geometry = VehicleGeometry()
        self.road = Road(self.profile, road_rng)
        self.programmes = {
            j.signal_id: draw_programme(signal_rng) for j in self.road.junctions if j.signal_id is not None
        }
        self.traffic = Traffic(self.road, self.programmes, traffic_rng, START_S_M)
        self.time_ns = 0
        self.route: Route = self.road.route(f"{name}-{seed}")
        self.vehicle = Vehicle(0.0, 0.0, 0.0, 0.0)
        self.referee = Referee(self)
        offset = start or StartOffset()
        speed = self.road.speed_limit_mps * self.profile.start_speed_share * offset.speed_factor
        self.place_ego(START_S_M, offset.lateral_m, offset.heading_rad, speed)
        self._start_s = self.ego_s_m

    @property
    def time_s(self) -> float:
        """Time since the start."""
        return seconds(self.time_ns)

    @property
    def ego(self) -> EgoState:
        """The ego vehicle's exact state."""
        return self.vehicle.state(self.time_ns)

    @property
    def progress_m(self) -> float:
        """Distance travelled along the route."""
        return self.ego_s_m - self._start_s

    @property
    def command(self) -> str:
        """The navigation command in force."""
        return self.route.command_at(self.ego_s_m)

    @property
    def conditions(self) -> OperatingConditions:
        """It is always a dry day in this world."""
        return OperatingConditions(self.time_ns, self.profile.road_class, DAY, DRY, AREA)

    @property
    def violations(self) -> list[Violation]:
        """Everything that went wrong so far, in order."""
        return self.referee.violations

    def place_ego(self, s_m: float, lateral_m: float = 0.0, heading_rad: float = 0.0, speed_mps: float = 0.0) -> None:
        """Put the ego vehicle somewhere on the road (a perturbation for training); its actuators start at rest."""
        x, y, heading = self.road.pose_at(s_m, lateral_m)
        self.vehicle = Vehicle(x, y, float(wrap_angle(heading + heading_rad)), speed_mps)
        self.vehicle.curvature_per_m = float(self.road.curvatures[self.road.index(s_m)])
        self.ego_s_m, self.ego_d_m = s_m, lateral_m

    def perturb(self, lateral_m: float, heading_rad: float, speed_factor: float) -> None:
        """Displace the ego vehicle where it is."""
        curvature = self.vehicle.curvature_per_m
        heading = self.heading_error_rad + heading_rad
        self.place_ego(self.ego_s_m, self.ego_d_m + lateral_m, heading, self.vehicle.speed_mps * speed_factor)
        self.vehicle.curvature_per_m = curvature

    @property
    def heading_error_rad(self) -> float:
        """Heading relative to the lane's."""
        return math.remainder(self.vehicle.heading_rad - self.road.pose_at(self.ego_s_m)[2], 2 * math.pi)

    def step(self, control: Control, dt_s: float = STEP_S) -> None:
        """Advance everything by `dt_s`."""
        self.traffic.step(self.view(), dt_s)
        self.vehicle.step(control, dt_s)
        self.time_ns += nanoseconds(dt_s)
        self.ego_s_m, self.ego_d_m = self.road.project(self.vehicle.x_m, self.vehicle.y_m, self.ego_s_m)
        self.referee.watch(dt_s)

    def view(self) -> View:
        """What the other road users know about the ego vehicle."""
        front = self.geometry.length_m - self.geometry.rear_overhang_m
        rear = self.geometry.rear_overhang_m
        speed = self.vehicle.speed_mps
        return View(self.time_s, self.ego_s_m, self.ego_d_m, speed, front, rear, self.road, self.programmes)

    def actors(self, reach_m: float | None = None) -> list[Actor]:
        """Road users within reach (the sight distance if not given), by straight distance."""
        reach = self.profile.sight_m if reach_m is None else reach_m
        x, y = self.vehicle.x_m, self.vehicle.y_m
        near = self.traffic.actors_near(self.ego_s_m, reach + 30.0)
        return [a for a in near if math.hypot(a.x_m - x, a.y_m - y) <= reach]

    def objects(self) -> ObjectList:
        """All road users within sight, exact and without occlusion."""
        return ObjectList(self.time_ns, tuple(actor.tracked() for actor in self.actors()))

    def signals(self) -> tuple[Signal, ...]:
        """Signals ahead that govern the ego lane, within sight."""
        found = []
        for j in self.road.junctions:
            if j.signal_id is None or not -8.0 < j.stop_s_m - self.ego_s_m < self.profile.sight_m:
                continue
            x, y, _ = self.road.pose_at(j.stop_s_m)
            found.append(Signal(j.signal_id, x, y, self.programmes[j.signal_id].state(self.time_s)))
        return tuple(found)

    def lanes(self) -> LaneObservation:
        """The ego lane along the route, exact."""
        first = max(0, int(self.ego_s_m - LANE_BEHIND_M))
        rows = slice(first, min(len(self.road.points), int(self.ego_s_m + self.profile.sight_m)), LANE_STEP)
        points = self.road.points[rows].copy()
        limits = np.full(len(points), self.road.speed_limit_mps)
        left, right = self.road.left_m[rows].copy(), self.road.right_m[rows].copy()
        width = self.profile.lane_width_m
        return LaneObservation(self.time_ns, points, left, right, width, limits, self.signals())

    def truth_for_learning(self) -> LearningTruth:
        """Auxiliary training targets of this instant."""
        cos, sin = math.cos(self.vehicle.heading_rad), math.sin(self.vehicle.heading_rad)
        lateral = []
        for ahead in (10.0, 20.0, 30.0):
            x, y, _ = self.road.pose_at(self.ego_s_m + ahead)
            lateral.append(-sin * (x - self.vehicle.x_m) + cos * (y - self.vehicle.y_m))
        gap, speed = self.lead()
        signal, distance = None, math.inf
        front = self.ego_s_m + self.geometry.length_m - self.geometry.rear_overhang_m
        for j in self.road.junctions:
            if j.signal_id is not None and -2.0 < j.stop_s_m - front < self.profile.sight_m:
                signal, distance = self.programmes[j.signal_id].state(self.time_s), j.stop_s_m - front
                break
        path = (lateral[0], lateral[1], lateral[2])
        return LearningTruth(self.ego_d_m, self.heading_error_rad, path, gap, speed, signal, distance)

    def lead(self) -> tuple[float, float]:
        """Gap to and speed of the next road user whose box reaches into the ego lane's middle; (inf, 0) if none."""
        front = self.ego_s_m + self.geometry.length_m - self.geometry.rear_overhang_m
        gap, speed = math.inf, 0.0
        for actor in self.traffic.actors_near(self.ego_s_m, self.profile.sight_m):
            s, d = actor.on_route(self.road)
            between = s - actor.length_m / 2 - front
            if abs(d) < self.geometry.width_m / 2 + actor.width_m / 2 and -2.0 < between < gap:
                gap, speed = between, actor.direction * actor.speed_mps if actor.path is None else 0.0
        return gap, speed

    def signal_is_green(self, signal_id: int) -> bool:
        """Whether the route's approach has green now."""
        return self.programmes[signal_id].state(self.time_s) == GREEN


def _profile(profile: str | Profile) -> Profile:
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise ConfigurationError(f"profile: expected one of {', '.join(PROFILES)}, found {profile!r}")
    return PROFILES[profile]
