"""Everything that can be hit: one record a road user, with its state in road coordinates and in the plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from onboard_vla.core.objects import PEDESTRIAN, TrackedObject
from onboard_vla.world.road import Road
from onboard_vla.world.signals import SignalProgramme

BRAKE_LAMP_MPS2 = -0.6
"""Brake lamps light below this acceleration."""


@dataclass(frozen=True)
class View:
    """What an actor may know in one step: time, the ego vehicle in road coordinates, and the road."""

    time_s: float
    ego_s_m: float
    ego_d_m: float
    ego_speed_mps: float
    ego_front_m: float
    ego_rear_m: float
    road: Road
    programmes: dict[int, SignalProgramme]


class Behaviour(Protocol):
    """Moves an actor: sets its speed, acceleration, arc length and lateral position."""

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """Advance `actor` by one step."""


@dataclass
class Actor:
    """A road user or obstacle. `s_m`, `d_m`: its centre in coordinates of its path (the route where `path` is None).

    `direction`: +1 along the path, -1 against it. `family` names the behaviour family for reports.
    """

    actor_id: int
    kind: str
    family: str
    s_m: float
    d_m: float
    length_m: float
    width_m: float
    height_m: float
    colour: int
    direction: int = 1
    speed_mps: float = 0.0
    acceleration_mps2: float = 0.0
    lateral_mps: float = 0.0
    yaw_offset_rad: float = 0.0
    behaviour: Behaviour | None = None
    path: StraightPath | None = None
    x_m: float = 0.0
    y_m: float = 0.0
    heading_rad: float = 0.0

    @property
    def braking(self) -> bool:
        """Whether the brake lamps are lit."""
        return self.behaviour is not None and (self.acceleration_mps2 < BRAKE_LAMP_MPS2 or self.speed_mps < 0.05)

    @property
    def velocity(self) -> tuple[float, float]:
        """Velocity over ground in the plane."""
        vx, vy = self.speed_mps * math.cos(self.heading_rad), self.speed_mps * math.sin(self.heading_rad)
        return vx, vy

    def on_route(self, road: Road) -> tuple[float, float]:
        """Road coordinates (s, d), whatever the actor's own path is."""
        if self.path is None:
            return self.s_m, self.d_m
        return road.project(self.x_m, self.y_m, self.path.route_s_m)

    def place(self, road: Road) -> None:
        """Compute the pose in the plane from path coordinates."""
        x, y, heading = self.path.pose_at(self.s_m, self.d_m) if self.path else road.pose_at(self.s_m, self.d_m)
        heading += self.yaw_offset_rad + (0.0 if self.direction > 0 else math.pi)
        if self.kind != PEDESTRIAN and abs(self.lateral_mps) > 1e-6 and self.speed_mps > 0.3:
            heading += math.atan2(self.direction * self.lateral_mps, self.speed_mps)
        self.x_m, self.y_m, self.heading_rad = x, y, math.remainder(heading, 2 * math.pi)

    def tracked(self) -> TrackedObject:
        """The exact state as a tracked object."""
        vx, vy = self.velocity
        return TrackedObject(
            self.actor_id, self.kind, self.x_m, self.y_m, self.heading_rad, vx, vy, self.length_m, self.width_m
        )


@dataclass(frozen=True)
class StraightPath:
    """A straight line to travel on: a crossing lane or a pedestrian's way; it meets the route at `route_s_m`."""

    x_m: float
    y_m: float
    heading_rad: float
    route_s_m: float

    def pose_at(self, s: float, d: float) -> tuple[float, float, float]:
        """x, y and heading at path coordinates."""
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        return self.x_m + s * cos - d * sin, self.y_m + s * sin + d * cos, self.heading_rad
