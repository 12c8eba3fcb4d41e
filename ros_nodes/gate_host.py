"""The reference gate between supervisor and actuators as a process body: follows, and stops the vehicle by itself.

The tracker and its watchdog are `core/vehicle_gate.py`, which the simulated vehicle has, too; its docstring has the
table of states. What is added here is the latch: a gate that had to stop a driving vehicle stops it to the end, along
the last path, whatever a supervisor says that was started anew meanwhile, and follows nobody until it has heard standby
at standstill; only the driver ends the stop sooner. He is heard here directly, so that no supervisor's death or doubt
keeps him from the vehicle, and by what the supervisor says. That he acts is believed while it is fresh: when it ends
and nobody leads, the gate stops the vehicle on the arc that he left it on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from onboard_vla.core.clock import Now, nanoseconds, seconds, system_now
from onboard_vla.core.control import Control
from onboard_vla.core.ego import HEADING_MAX_RAD, POSITION_MAX_M, EgoState
from onboard_vla.core.process import Clock, OptionValue, Role, Timer
from onboard_vla.core.realtime import REALTIME_OPTION, request_realtime
from onboard_vla.core.safe_trajectory import UNOCCUPIED, DriverState, Engagement, SafeTrajectory
from onboard_vla.core.vehicle_gate import (
    DRIVER_ACTS_NS,
    GATE_BRAKING_MPS2,
    HOLD_BRAKING_MPS2,
    PERIOD_S,
    VehicleGate,
    drivable,
    has_points,
)
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.topics import VEHICLE_GATE

EGO_LIMIT_NS = nanoseconds(0.2)
"""Without an ego state for this long nobody can steer along a path: the supervisor's own limit for the same."""
STANDSTILL_MPS = 0.1
"""Slower than this is standing: the supervisor's own default for the same (`ladder.standstill_mps`)."""
SLOWEST_ARC_MPS = 1.0
"""Below this speed a yaw rate tells little of the arc, and one that is driven straightens as at this speed."""


class GateState(Enum):
    """What the gate does."""

    HOLDING = "holding"
    """Nothing drives, or a person by hand: it asks for the brake that holds a vehicle. A vehicle interface takes that
    only where it has been handed the vehicle, or where it knows that nobody drives."""
    OVERRIDDEN = "overridden"
    """The driver acts, by fresh word of himself or the supervisor: nothing is asked for, and a vehicle interface must
    leave the vehicle to him. It ends with the evidence for it."""
    FOLLOWING = "following"
    STOPPING = "stopping"
    """The vehicle was to be driven, and nobody leads: it brakes along the last path or arc, and stays until there was
    standby at standstill."""


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
        self._ego_ns = self._ego_late_ns = 0
        self._ego_stamp_ns: int | None = None
        self._curvature = 0.0
        self._arc_ns, self._arc_mps = 0, 0.0
        self._word: Engagement | None = None
        self._latched = ""
        self._acted_ns: int | None = None
        self._unyielded = False

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
        """Keep the newest of each."""
        if isinstance(message, EgoState):
            self._see(message, now)
        elif isinstance(message, DriverState):
            # Whatever its stamp, said before or not; that he does not act ends nothing sooner than silence does.
            if message.override:
                self._acted_ns = now.monotonic_ns
        elif isinstance(message, SafeTrajectory):
            self._hear(message, now)

    def _see(self, ego: EgoState, now: Now) -> None:
        """Take an ego state; one that is not finite, nowhere on earth, old, or no later than the one before is none.

        Only the order of neighbours is asked for, so that a clock put back costs one message.
        """
        before_ns, self._ego_stamp_ns = self._ego_stamp_ns, ego.stamp_ns
        late_ns = max(now.stamp_ns - ego.stamp_ns, 0)
        if (before_ns is None or ego.stamp_ns > before_ns) and late_ns <= EGO_LIMIT_NS and _is_sound(ego):
            self._ego, self._ego_ns, self._ego_late_ns = ego, now.monotonic_ns, late_ns

    def _hear(self, message: SafeTrajectory, now: Now) -> None:
        """Take the supervisor's word, unless a stop has begun that this does not end."""
        self._watch(now)
        said, to_drive = message.engagement, message.engagement not in UNOCCUPIED
        stays = bool(self._latched) and not self._is_freed_by(said, now)
        if (stays and self._gate.has_path) or not self._gate.counts(message, now):
            return
        if to_drive and self._word is None:
            self._word, self._latched, stays = said, "started while the vehicle was being driven", True
        if to_drive and not has_points(message):
            if self._word in UNOCCUPIED:
                self._word, self._latched = said, self._latched or "the supervisor has no trajectory"
            return
        if stays and not to_drive:
            return
        self._gate.take(message, now)
        self._word, self._latched = said, self._latched if stays else ""
        self._unyielded = self._unyielded and said is Engagement.ENGAGED

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
        if self._driver_acts(now):
            self._curvature = self._arc(now)
            return GateCommand(now.stamp_ns, GateState.OVERRIDDEN, Control(0.0, self._curvature), "a person drives")
        if self._word in (None, Engagement.STANDBY):
            self._curvature = self._arc(now)
            why = "no ego state" if blind else "no supervisor" if self._word is None else "standby"
            return GateCommand(now.stamp_ns, GateState.HOLDING, Control(-HOLD_BRAKING_MPS2, self._curvature), why)
        control = Control(-GATE_BRAKING_MPS2, self._curvature if self._gate.has_path else self._straightening(now))
        if self._ego is not None and not blind and self._gate.has_path:
            control = self._gate.control(self._ego, now)
            self._curvature = control.curvature_per_m
        if self._latched:
            control = Control(-GATE_BRAKING_MPS2, control.curvature_per_m)
            return GateCommand(now.stamp_ns, GateState.STOPPING, control, self._latched)
        return GateCommand(now.stamp_ns, GateState.FOLLOWING, control, "")

    def _driver_acts(self, now: Now) -> bool:
        """Whether there is fresh evidence that a person acts."""
        if self._acted_ns is not None and now.monotonic_ns - self._acted_ns <= DRIVER_ACTS_NS:
            return True
        return self._word is Engagement.DRIVER_OVERRIDE and not self._gate.silent(now)

    def _arc(self, now: Now) -> float:
        """Curvature of the arc that the vehicle is on, or was when that was known last."""
        if self._ego is None or self._blind(now):
            return self._curvature
        speed = max(self._ego.speed_mps, SLOWEST_ARC_MPS)
        self._arc_ns, self._arc_mps = now.monotonic_ns, speed
        return drivable(self._ego.yaw_rate_rps / speed, speed)

    def _straightening(self, now: Now) -> float:
        """Curvature where its own stop has brought the vehicle on that arc, which straightens over one second's way.

        As the supervisor's stop without a lane (`safety/driving.py`), so that a swerve is not held to standstill.
        """
        elapsed_s = min(seconds(now.monotonic_ns - self._arc_ns), self._arc_mps / GATE_BRAKING_MPS2)
        way_m = (self._arc_mps - GATE_BRAKING_MPS2 / 2 * elapsed_s) * elapsed_s
        return self._curvature * math.exp(-way_m / max(self._arc_mps, SLOWEST_ARC_MPS))

    def _blind(self, now: Now) -> bool:
        """Without an ego state that is fresh by the instant of its arrival and by its stamp."""
        return self._ego is None or self._ego_late_ns + now.monotonic_ns - self._ego_ns > EGO_LIMIT_NS

    def _watch(self, now: Now) -> None:
        """Latch where nobody may be followed any more; a driver who acts ends that, and leaves the path."""
        if self._driver_acts(now):
            self._unyielded = self._unyielded or self._word is Engagement.ENGAGED
            self._latched = ""
            if self._gate.silent(now):
                self._gate.forget_path()
        elif self._latched or self._word in (None, Engagement.STANDBY):
            return
        elif self._gate.silent(now):
            self._latched = "the supervisor is silent"
        elif not self._gate.has_path:
            self._latched = "the supervisor has no trajectory"
        elif self._blind(now):
            self._latched = "no ego state"
        elif self._unyielded:
            self._latched = "the driver acted, and the supervisor drove on"

    def _is_freed_by(self, engagement: Engagement, now: Now) -> bool:
        """Whether this ends the latch: a stop in motion by the driver alone, not by a supervisor started anew."""
        if engagement is Engagement.DRIVER_OVERRIDE:
            return True
        return engagement is Engagement.STANDBY and self._stands(now)

    def _stands(self, now: Now) -> bool:
        return self._ego is not None and not self._blind(now) and abs(self._ego.speed_mps) < STANDSTILL_MPS

    def _tick(self) -> None:
        if self._publish is not None:
            self._publish(self.command(self._clock()))


def _is_sound(ego: EgoState) -> bool:
    values = (ego.x_m, ego.y_m, ego.heading_rad, ego.speed_mps, ego.acceleration_mps2, ego.yaw_rate_rps)
    placed = max(abs(ego.x_m), abs(ego.y_m)) <= POSITION_MAX_M and abs(ego.heading_rad) <= HEADING_MAX_RAD
    return all(map(math.isfinite, values)) and placed


def _build(options: Mapping[str, OptionValue]) -> GateHost:
    return GateHost(int(options["realtime_priority"]))


GATE_ROLE = Role(VEHICLE_GATE, (REALTIME_OPTION,), _build)
