"""What the vehicle knows about its own motion."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EgoState:
    """Pose of the rear axle's centre on the ground in the odometry frame, and motion. SI units, ISO 8855.

    `acceleration_mps2` is longitudinal and signed.
    """

    stamp_ns: int
    x_m: float
    y_m: float
    heading_rad: float
    speed_mps: float
    acceleration_mps2: float
    yaw_rate_rps: float


@dataclass(frozen=True)
class VehicleGeometry:
    """Footprint relative to the rear axle's centre; all lengths in metres."""

    length_m: float = 4.8
    width_m: float = 2.0
    wheelbase_m: float = 2.9
    rear_overhang_m: float = 0.95

    @property
    def centre_offset_m(self) -> float:
        """Distance from the rear axle forward to the footprint's centre."""
        return self.length_m / 2 - self.rear_overhang_m
