"""The reference gate between supervisor and actuators as a process body: follows, and stops the vehicle by itself.

The tracker and its watchdog are `core/vehicle_gate.py`, which the simulated vehicle has, too. What is added here is the
latch: a gate that had to stop a driving vehicle stops it to the end, along the last path, whatever a supervisor says
that was started anew meanwhile, and follows nobody until it has heard standby at standstill; only the driver takes over
sooner. One that finds the vehicle driving when it starts follows nobody until it has heard standby, where somebody
engages anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from onboard_vla.core.clock import Now, nanoseconds, system_now
from onboard_vla.core.control import Control
from onboard_vla.core.ego import EgoState
from onboard_vla.core.process import Clock, OptionValue, Role, Timer
from onboard_vla.core.realtime import REALTIME_OPTION, request_realtime
from onboard_vla.core.safe_trajectory import Engagement, SafeTrajectory
from onboard_vla.core.vehicle_gate import GATE_BRAKING_MPS2, HOLD_BRAKING_MPS2, PERIOD_S, VehicleGate
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.topics import VEHICLE_GATE

EGO_LIMIT_NS = nanoseconds(0.2)
"""Without an ego state for this long nobody can steer along a path: the supervisor's own limit for the same."""
STANDSTILL_MPS = 0.1
"""Slower than this is standing: the supervisor's own default for the same (`ladder.standstill_mps`)."""
UNOCCUPIED = (Engagement.STANDBY, Engagement.DRIVER_OVERRIDE)


class GateState(Enum):
    """What the gate does."""

    HOLDING = "holding"
    """Nothing drives, or a person by hand: it asks for the brake that holds a vehicle. A vehicle interface takes that
    only where it has been handed the vehicle, or where it knows that nobody drives."""
    OVERRIDDEN = "overridden"
    """The supervisor says that the driver acts: nothing is asked for, and a vehicle interface must leave the vehicle to
    him. It stays so, whatever becomes of the supervisor, until that says something else."""
    FOLLOWING = "following"
    STOPPING = "stopping"
    """It was following and must not any more: it brakes along the last path, and stays until there was standby at
    standstill."""


@dataclass(frozen=True)
class GateCommand:
    """What the actuators are told, and why."""

    stamp_ns: int
    state: GateState
    control: Control
    reason: str


class GateHost:
    """Runs a gate on one thread at 100 Hz."""

    def __init__(self, realtime_priority: int = 0) -> None:
        self._priority = realtime_priority
        self._gate = VehicleGate()
        self._publish: Callable[[Any], None] | None = None
        self._clock: Clock = system_now
        self._ego: EgoState | None = None
        self._ego_ns = 0
        self._curvature = 0.0
        self._engaged = self._overridden = False
        self._latched = "started while the vehicle was being driven"

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The command at 100 Hz."""
        return (Timer(PERIOD_S, self._tick),)

    def schedule(self) -> None:
        """For all threads: this process has one of its own."""
        request_realtime(VEHICLE_GATE, self._priority)

    def start(self, publish: Callable[[Any], None], clock: Clock) -> None:
        """Take the way out."""
        self._publish, self._clock = publish, clock

    def receive(self, message: Message, now: Now) -> None:
        """Keep the newest of each; an ego state that is not finite counts as none."""
        if isinstance(message, EgoState):
            if not _is_finite(message):
                return
            self._ego, self._ego_ns = message, now.monotonic_ns
        elif isinstance(message, SafeTrajectory):
            self._watch(now)
            if self._latched and not self._is_freed_by(message.engagement, now):
                return
            if self._gate.follow(message, now):
                self._latched = ""
                self._engaged = message.engagement not in UNOCCUPIED
                self._overridden = message.engagement is Engagement.DRIVER_OVERRIDE

    def failure(self) -> str | None:
        """There is no thread that could die alone."""
        return None

    def stop(self) -> bool:
        """There is no thread to end."""
        return True

    def command(self, now: Now) -> GateCommand:
        """What to tell the actuators now."""
        self._watch(now)
        blind = self._blind(now)
        if self._overridden:
            return GateCommand(now.stamp_ns, GateState.OVERRIDDEN, Control(0.0, self._curvature), "a person drives")
        if not self._engaged:
            why = "no ego state" if blind else self._latched or "standby"
            return GateCommand(now.stamp_ns, GateState.HOLDING, Control(-HOLD_BRAKING_MPS2, self._curvature), why)
        if blind or self._ego is None:
            control = Control(-GATE_BRAKING_MPS2, self._curvature)
            return GateCommand(now.stamp_ns, GateState.STOPPING, control, self._latched)
        control = self._gate.control(self._ego, now)
        self._curvature = control.curvature_per_m
        if self._latched:
            control = Control(-GATE_BRAKING_MPS2, self._curvature)
            return GateCommand(now.stamp_ns, GateState.STOPPING, control, self._latched)
        return GateCommand(now.stamp_ns, GateState.FOLLOWING, control, "")

    def _blind(self, now: Now) -> bool:
        return self._ego is None or now.monotonic_ns - self._ego_ns > EGO_LIMIT_NS

    def _watch(self, now: Now) -> None:
        """Latch where nobody may be followed any more."""
        if not self._engaged or self._latched:
            return
        if self._gate.silent(now):
            self._latched = "the supervisor is silent"
        elif self._blind(now):
            self._latched = "no ego state"

    def _is_freed_by(self, engagement: Engagement, now: Now) -> bool:
        """Whether this ends the latch: a stop in motion by the driver alone, not by a supervisor started anew."""
        if engagement is Engagement.DRIVER_OVERRIDE:
            return True
        return engagement is Engagement.STANDBY and (not self._engaged or self._stands(now))

    def _stands(self, now: Now) -> bool:
        return self._ego is not None and not self._blind(now) and abs(self._ego.speed_mps) < STANDSTILL_MPS

    def _tick(self) -> None:
        if self._publish is not None:
            self._publish(self.command(self._clock()))


def _is_finite(ego: EgoState) -> bool:
    values = (ego.x_m, ego.y_m, ego.heading_rad, ego.speed_mps, ego.acceleration_mps2, ego.yaw_rate_rps)
    return all(map(math.isfinite, values))


def _build(options: Mapping[str, OptionValue]) -> GateHost:
    return GateHost(int(options["realtime_priority"]))


GATE_ROLE = Role(VEHICLE_GATE, (REALTIME_OPTION,), _build)
