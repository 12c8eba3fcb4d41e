"""Supervisors that a campaign must not let pass: one that never intervenes (the monitor off), one that always brakes.

The first is also the campaign's own control: with it in place, a dangerous fault must show that it is dangerous.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import compose
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import (
    ENGAGE,
    NO_STAMP,
    Engagement,
    Mode,
    OperatorCommand,
    SafeTrajectory,
    Takeover,
)
from onboard_vla.safety.last_resort import stop_along

POINTS, POINT_STEP_S = 51, 0.1
HISTORY = 150
"""Ego states kept to place plans: 3 s at 50 Hz."""
TRUSTED = 10
"""Shadow passes reported once there is a plan, so that a run begins."""


class NeverIntervenes:
    """Publishes the planner's newest plan as it is, for ever: no guard, no fallback, no ladder."""

    def __init__(self) -> None:
        self._ego: deque[EgoState] = deque(maxlen=HISTORY)
        self._path: NDArray[np.float64] | None = None
        self._stamp_ns = 0
        self._plan_id = -1
        self._engagement = Engagement.STANDBY
        self._sequence = 0

    def receive(self, message: Any, now: Now) -> None:  # noqa: ANN401 - whatever arrives
        """Keep the newest plan, placed where the vehicle said it was."""
        if isinstance(message, EgoState):
            self._ego.append(message)
        elif isinstance(message, OperatorCommand) and message.command == ENGAGE and self._path is not None:
            self._engagement = Engagement.ENGAGED
        elif isinstance(message, Plan) and self._ego and message.fine_poses.ndim == 2 and len(message.fine_poses):
            ego = min(self._ego, key=lambda e: abs(e.stamp_ns - message.stamp_ns))
            pose = np.array([ego.x_m, ego.y_m, ego.heading_rad])
            placed = compose(pose, np.asarray(message.fine_poses, np.float64))
            self._path = np.vstack([pose, placed])
            self._stamp_ns, self._plan_id = message.stamp_ns, message.plan_id

    def tick(self, now: Now) -> SafeTrajectory:
        """Publish the plan from now on; beyond its end straight on at its last speed."""
        self._sequence += 1
        points = np.zeros((0, 6))
        if self._path is not None and self._engagement is Engagement.ENGAGED:
            points = self._points(self._path, seconds(now.stamp_ns - self._stamp_ns))
        return SafeTrajectory(
            stamp_ns=now.stamp_ns,
            sequence=self._sequence,
            engagement=self._engagement,
            mode=Mode.NOMINAL,
            source="model" if len(points) else "none",
            plan_id=self._plan_id if len(points) else -1,
            reasons=(),
            points=points,
            hazard_lights=False,
            takeover=Takeover.NONE,
            takeover_stamp_ns=NO_STAMP,
            driver_stamp_ns=NO_STAMP,
            refusals=(),
            shadow_passes=TRUSTED if self._path is not None else 0,
            config_hash="",
        )

    def _points(self, path: NDArray[np.float64], age_s: float) -> NDArray[np.float64]:
        times = np.arange(POINTS) * POINT_STEP_S
        known = np.arange(len(path)) * POINT_STEP_S
        at = np.clip(age_s + times, 0.0, known[-1])
        heading = np.unwrap(path[:, 2])
        x, y, h = (np.interp(at, known, column) for column in (path[:, 0], path[:, 1], heading))
        steps = np.hypot(np.diff(path[:, 0]), np.diff(path[:, 1])) / POINT_STEP_S
        speeds = np.interp(at, known, np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]]))
        beyond = np.maximum(age_s + times - known[-1], 0.0) * speeds[-1]
        x, y = x + beyond * np.cos(h), y + beyond * np.sin(h)
        return np.column_stack([times, x, y, h, speeds, np.gradient(speeds, POINT_STEP_S)])


class AlwaysBrakes(NeverIntervenes):
    """Is never caught driving into anything: it stops as hard as it can, whatever happens."""

    def __init__(self) -> None:
        super().__init__()
        self._begin: tuple[int, NDArray[np.float64]] | None = None

    def tick(self, now: Now) -> SafeTrajectory:
        """Publish an emergency stop along the first plan."""
        plan = super().tick(now)
        if not len(plan.points):
            return plan
        if self._begin is None:
            self._begin = (now.monotonic_ns, stop_along(plan.points, 0.0))
        since_ns, stop = self._begin
        elapsed = seconds(now.monotonic_ns - since_ns)
        times = stop[:, 0]
        columns = [np.interp(elapsed + times, times, stop[:, k]) for k in range(1, 6)]
        standing = now.monotonic_ns - since_ns > nanoseconds(float(times[-1]))
        return dataclasses.replace(
            plan,
            engagement=Engagement.LATCHED if standing else Engagement.ENGAGED,
            mode=Mode.STOPPED if standing else Mode.EMERGENCY_STOP,
            source="stop",
            plan_id=-1,
            points=np.column_stack([times, *columns]),
            hazard_lights=True,
        )
