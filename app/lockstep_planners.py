"""Planners without a model, for tests, baselines and trying out the loop: constant velocity, and the world's expert."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop import Scene
from onboard_vla.core.cameras import CAMERAS, CameraFrame, CompressedFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import FAST, Heartbeat, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.process_graph import PLANNER, PlannerInput

STEP_S, STEPS, FINE_PER_STEP = 0.5, 10, 5
"""Horizon of 5 s in the reference checkpoint's steps and the codebook's sub-steps."""
NO_TOKENS = (0,) * STEPS
"""Stand in for the tokens of a codebook that these planners do not have; the structure guard counts them."""
CAMERA_PERIOD_NS = 100_000_000
WARMUP_FRAMES = 16
"""Pictures of each camera before such a planner calls itself ready: 1.5 s at 10 Hz, the model's look-back."""

Fine = NDArray[np.float64]


class GeometricBody:
    """A planner's body around a function from the ego state to fine poses (50, 3) in the ego frame.

    Keeps the real body's manner: it plans only on a new complete frame set, and is ready after a warm-up.
    """

    def __init__(self, plan: Callable[[EgoState], Fine], bundle_hash: str) -> None:
        self._plan, self._bundle_hash = plan, bundle_hash
        self._newest: dict[str, int] = {}
        self._frames = 0
        self._ego: EgoState | None = None
        self._planned_stamp_ns = -1
        self._count = 0
        self._beats = 0

    def receive(self, message: PlannerInput, now: Now) -> None:
        """Keep the newest stamps and ego state."""
        if isinstance(message, (CameraFrame, CompressedFrame)):
            self._newest[message.camera] = message.stamp_ns
            self._frames += 1
        elif isinstance(message, EgoState):
            self._ego = message

    def plan_once(self, now: Now) -> Plan | PlanRejection | None:
        """Plan if there is a new complete set of pictures."""
        ego = self._ego
        if ego is None or not self._ready or len(self._newest) < len(CAMERAS):
            return None
        stamp_ns, oldest_ns = max(self._newest.values()), min(self._newest.values())
        if stamp_ns - oldest_ns >= CAMERA_PERIOD_NS or stamp_ns <= self._planned_stamp_ns:
            return None
        self._planned_stamp_ns = stamp_ns
        self._count += 1
        fine = self._plan(ego).astype(np.float32)
        return Plan(
            plan_id=self._count,
            stamp_ns=stamp_ns,
            oldest_frame_stamp_ns=oldest_ns,
            step_s=STEP_S,
            poses=fine[FINE_PER_STEP - 1 :: FINE_PER_STEP],
            fine_poses=fine,
            action_tokens=NO_TOKENS,
            depth=FAST,
            slow_probability=0.0,
            text="",
            uncertainty=Uncertainty.sure(STEPS),
            passes=PassCount(0, 0, 0),
            stage_ms={"total": 0.0},
            bundle_hash=self._bundle_hash,
        )

    def heartbeat(self, now: Now) -> Heartbeat:
        """Count plans as work."""
        self._beats += 1
        return Heartbeat(PLANNER, 0, self._beats, now.stamp_ns, self._count, self._count, self._ready, "")

    @property
    def _ready(self) -> bool:
        return self._frames >= WARMUP_FRAMES * len(CAMERAS)


def constant_velocity(ego: EgoState) -> Fine:
    """Straight on at the present speed."""
    times = (np.arange(STEPS * FINE_PER_STEP) + 1) * (STEP_S / FINE_PER_STEP)
    return np.stack([ego.speed_mps * times, np.zeros_like(times), np.zeros_like(times)], axis=1)


def constant_velocity_body(bundle_hash: str) -> Callable[[Scene], GeometricBody]:
    """A factory for lock-step runs."""
    return lambda scene: GeometricBody(constant_velocity, bundle_hash)


def expert_body(bundle_hash: str) -> Callable[[Scene], GeometricBody]:
    """A factory for a planner that knows the world: an upper bound for any model under the same supervisor."""
    return lambda scene: GeometricBody(lambda ego: np.asarray(scene.driver.plan().fine, np.float64), bundle_hash)
