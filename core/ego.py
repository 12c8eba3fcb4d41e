"""What the vehicle knows about its own motion."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.validated import Validated, limit

POSITION_MAX_M, HEADING_MAX_RAD = 1e7, 1e3
"""A pose beyond is nowhere in an odometry frame on earth, and what is reckoned from it overflows sooner or later."""


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
class WheelSpeed:
    """Speed over ground from the wheels alone, signed: a second source beside the odometry."""

    stamp_ns: int
    speed_mps: float


@dataclass(frozen=True)
class VehicleGeometry(Validated):
    """Footprint relative to the rear axle's centre; the defaults are those of the simulated vehicle."""

    length_m: float = limit(4.8, "m", "measure it on the vehicle", 1.0, 20.0)
    width_m: float = limit(2.0, "m", "measure it on the vehicle, mirrors included", 0.5, 3.5)
    wheelbase_m: float = limit(2.9, "m", "measure it on the vehicle", 0.5, 12.0)
    rear_overhang_m: float = limit(0.95, "m", "measure it: rear axle's centre to the rear end", 0.0, 5.0)

    @property
    def centre_offset_m(self) -> float:
        """Distance from the rear axle forward to the footprint's centre."""
        return self.length_m / 2 - self.rear_overhang_m
