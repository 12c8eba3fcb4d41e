"""How far each published trajectory moves the steering that is asked of the vehicle."""

from __future__ import annotations

import math

from onboard_vla.app.simulated_vehicle import SIMULATED_VEHICLE
from onboard_vla.core.clock import Now
from onboard_vla.core.control import Control
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.vehicle_gate import VehicleGate

WHEELBASE_M = SIMULATED_VEHICLE.vehicle.wheelbase_m


class SteeringWatch(VehicleGate):
    """The reference gate, and a second one that follows what was published before.

    `steps`: (monotonic ns, rad) for every command: between the steering angles of both for the same vehicle state. So
    what the vehicle's own motion and its localisation do to the angle is in both, and not in the difference.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, float]] = []
        self._before = VehicleGate()
        self._newest: SafeTrajectory | None = None

    def follow(self, trajectory: SafeTrajectory, received: Now) -> bool:
        """Take the newest, and give the one before to the second gate; whether it is one to take."""
        taken = super().follow(trajectory, received)
        if self._newest is not None:
            self._before.follow(self._newest, received)
        self._newest = trajectory
        return taken

    def control(self, ego: EgoState, now: Now) -> Control:
        """The command; the step is noted."""
        control, before = super().control(ego, now), self._before.control(ego, now)
        step = abs(_angle_rad(control) - _angle_rad(before))
        self.steps.append((now.monotonic_ns, step))
        return control


def _angle_rad(control: Control) -> float:
    """Of the road wheels of a kinematic bicycle."""
    return math.atan(WHEELBASE_M * control.curvature_per_m)
