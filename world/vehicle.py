"""The ego vehicle: a kinematic bicycle on its rear axle with actuator lag."""

from __future__ import annotations

import math

from onboard_vla.core.control import Control
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import wrap_angle
from onboard_vla.core.vehicle_gate import VehicleGate

__all__ = ["Control", "Vehicle", "VehicleGate"]

DRIVE_LAG_S = 0.2
"""First-order lag from commanded to actual acceleration (PDM-Closed's bicycle: 0.2 s)."""
STEERING_LAG_S = 0.1
"""First-order lag from commanded to actual curvature (between PDM-Closed's 0.05 s and slower production racks)."""
MAX_BRAKING_MPS2 = 8.0
"""Hardest braking on a dry road that the plant gives."""
MAX_ACCELERATION_MPS2 = 3.0
"""Strongest drive that the plant gives."""
MAX_CURVATURE_PER_M = 0.19
"""Turning circle of a passenger car: least radius about 5.3 m at the rear axle."""
MAX_CURVATURE_RATE = 0.25
"""Fastest change of curvature, 1/(m s): about 40 degrees a second at the road wheels with a 2.9 m wheelbase."""


class Vehicle:
    """State of the plant; `step` integrates exactly along an arc of the mean curvature."""

    def __init__(self, x_m: float, y_m: float, heading_rad: float, speed_mps: float) -> None:
        self.x_m, self.y_m, self.heading_rad, self.speed_mps = x_m, y_m, heading_rad, speed_mps
        self.acceleration_mps2 = 0.0
        self.curvature_per_m = 0.0

    def step(self, control: Control, dt_s: float) -> None:
        """Advance by `dt_s`. Commands that are not finite count as full braking, straight on."""
        demand, curvature = control.acceleration_mps2, control.curvature_per_m
        if not (math.isfinite(demand) and math.isfinite(curvature)):
            demand, curvature = -MAX_BRAKING_MPS2, 0.0
        demand = min(max(demand, -MAX_BRAKING_MPS2), MAX_ACCELERATION_MPS2)
        curvature = min(max(curvature, -MAX_CURVATURE_PER_M), MAX_CURVATURE_PER_M)
        self.acceleration_mps2 += (demand - self.acceleration_mps2) * -math.expm1(-dt_s / DRIVE_LAG_S)
        change = (curvature - self.curvature_per_m) * -math.expm1(-dt_s / STEERING_LAG_S)
        limit = MAX_CURVATURE_RATE * dt_s
        change = min(max(change, -limit), limit)
        mean_curvature = self.curvature_per_m + change / 2
        self.curvature_per_m += change
        speed = max(0.0, self.speed_mps + self.acceleration_mps2 * dt_s)
        if speed == 0.0:
            self.acceleration_mps2 = max(self.acceleration_mps2, -self.speed_mps / dt_s)
        distance = (self.speed_mps + speed) / 2 * dt_s
        turn = distance * mean_curvature
        middle = self.heading_rad + turn / 2
        self.x_m += distance * math.cos(middle)
        self.y_m += distance * math.sin(middle)
        self.heading_rad = wrap_angle(self.heading_rad + turn)
        self.speed_mps = speed

    def state(self, stamp_ns: int) -> EgoState:
        """The exact state as a message."""
        return EgoState(
            stamp_ns,
            self.x_m,
            self.y_m,
            self.heading_rad,
            self.speed_mps,
            self.acceleration_mps2 if self.speed_mps > 0.0 else 0.0,
            self.speed_mps * self.curvature_per_m,
        )
