"""The rig's vehicle: a person drives it at constant speed until the supervisor drives, then its gate follows.

A command of acceleration acts 0.2 s later and then with the plant's lag, as in `world.scenarios.loop`.
"""

from __future__ import annotations

from collections import deque

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.control import Control
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import Engagement, SafeTrajectory
from onboard_vla.core.vehicle_gate import ACTUATOR_LEAD_S, VehicleGate
from onboard_vla.world.vehicle import Vehicle

SUB_STEP_NS = nanoseconds(0.02)
"""The plant's longest step; a late rig takes several, under the last command."""
DELAY_S = 0.2
"""From a command of acceleration to the drive's answer (the lag comes on top)."""


class FollowingVehicle:
    """Vehicle and gate at the supervisor's far end. Times are those of the calls: any clock will do.

    `stopping_since`: the command with which the gate's own stop began, while that lasts.
    """

    def __init__(self, speed_mps: float, now: Now) -> None:
        self.gate = VehicleGate(ACTUATOR_LEAD_S + DELAY_S)
        self.stopping_since: Now | None = None
        self._plant = Vehicle(0.0, 0.0, 0.0, speed_mps)
        self._person_drives = True
        self._acting = Control(0.0, 0.0)
        self._coming: deque[tuple[int, Control]] = deque()
        self._at_ns = now.monotonic_ns

    def state(self, now: Now) -> EgoState:
        """Move on to `now` under the commands given so far, and say where that is."""
        while self._at_ns < now.monotonic_ns:
            until_ns = min(self._at_ns + SUB_STEP_NS, now.monotonic_ns)
            while self._coming and self._coming[0][0] <= self._at_ns:
                self._acting = self._coming.popleft()[1]
            self._plant.step(self._acting, seconds(until_ns - self._at_ns))
            self._at_ns = until_ns
        return self._plant.state(now.stamp_ns)

    def hear(self, trajectory: SafeTrajectory, received: Now) -> None:
        """Give it to the gate; the first that is not of standby ends the person's driving."""
        self.gate.follow(trajectory, received)
        self._person_drives = self._person_drives and trajectory.engagement is Engagement.STANDBY

    def command(self, ego: EgoState, now: Now) -> None:
        """Let the gate command; steering acts at once."""
        if self._person_drives:
            return
        self.stopping_since = (self.stopping_since or now) if self.gate.silent(now) else None
        demand = self.gate.control(ego, now)
        self._acting = Control(self._acting.acceleration_mps2, demand.curvature_per_m)
        self._coming.append((now.monotonic_ns + nanoseconds(DELAY_S), demand))
