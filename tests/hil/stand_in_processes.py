"""Stand-ins for the three processes, on either transport: python stand_in_processes.py zmq|ros ROLE [arguments].

The planner drives straight on at the ego's speed; the supervisor knows two rules (planner silent, front picture unfit);
the guard knows black. So the transports are tested without a bundle, and every reaction time is the transport's alone.
"""

from __future__ import annotations

import os
import sys
import threading

import numpy as np

from onboard_vla.core.cameras import FRONT, CameraFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import FAST, Heartbeat, PassCount, Plan, Uncertainty
from onboard_vla.core.process import Option, Role
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.runtime.planner_host import PlannerHost
from onboard_vla.safety.camera_guard_host import CAMERA_GUARD_ROLE, CameraGuardHost
from onboard_vla.safety.supervisor_host import SUPERVISOR_ROLE, SupervisorHost

STEPS, SUB_STEPS, STEP_S = 10, 5, 0.5


class ConstantVelocityBody:
    """A planner body whose every front picture gives a straight plan; the third one is fatal if so asked."""

    def __init__(self, dies_after: int) -> None:
        self._lock = threading.Lock()
        self._ego: EgoState | None = None
        self._front: CameraFrame | None = None
        self._planned = -1
        self._count = self._beats = 0
        self._dies_after = dies_after

    def receive(self, message, now) -> None:
        with self._lock:
            if isinstance(message, EgoState):
                self._ego = message
            elif isinstance(message, CameraFrame) and message.camera == FRONT:
                self._front = message

    def plan_once(self, now):
        with self._lock:
            front, ego = self._front, self._ego
        if front is None or ego is None or front.stamp_ns == self._planned:
            return None
        self._planned = front.stamp_ns
        self._count += 1
        if self._dies_after and self._count > self._dies_after:
            raise RuntimeError("the engine broke")
        times = np.arange(1, STEPS * SUB_STEPS + 1) * STEP_S / SUB_STEPS
        fine = np.zeros((STEPS * SUB_STEPS, 3), np.float32)
        fine[:, 0] = ego.speed_mps * times
        ones = np.ones(STEPS, np.float32)
        return Plan(
            plan_id=self._count,
            stamp_ns=front.stamp_ns,
            oldest_frame_stamp_ns=front.stamp_ns,
            step_s=STEP_S,
            poses=np.ascontiguousarray(fine[SUB_STEPS - 1 :: SUB_STEPS]),
            fine_poses=fine,
            action_tokens=tuple(range(STEPS)),
            depth=FAST,
            slow_probability=0.0,
            text="straight on",
            uncertainty=Uncertainty(0.1 * ones, 0 * ones, ones, 0.0),
            passes=PassCount(1, 1, STEPS),
            stage_ms={"all": 0.1},
            bundle_hash="stand-in",
        )

    def heartbeat(self, now) -> Heartbeat:
        self._beats += 1
        return Heartbeat(PLANNER, os.getpid(), self._beats, now.stamp_ns, self._count, self._count, True, "stand-in")


class TwoRuleSupervisor:
    """NOMINAL while the planner is heard and the front picture is fit, else FALLBACK."""

    def __init__(self) -> None:
        self._ego: EgoState | None = None
        self._beat_ns: int | None = None
        self._front: Verdict | None = None
        self._plan_id = -1
        self._sequence = 0

    def receive(self, message, now) -> None:
        if isinstance(message, EgoState):
            self._ego = message
        elif isinstance(message, Plan):
            self._plan_id = message.plan_id
        elif isinstance(message, Heartbeat) and message.process == PLANNER:
            self._beat_ns = now.monotonic_ns
        elif isinstance(message, Verdict) and message.camera == FRONT:
            self._front = message

    def tick(self, now) -> SafeTrajectory:
        self._sequence += 1
        reasons = []
        if self._beat_ns is None or now.monotonic_ns - self._beat_ns > 150_000_000:
            reasons.append(Reason("planner_silent", 0.0, 0.15, ""))
        if self._front is not None and not self._front.usable:
            reasons.append(Reason("front_unusable", 0.0, 0.0, ""))
        speed = self._ego.speed_mps if self._ego else 0.0
        points = np.zeros((50, 6))
        points[:, 0] = np.arange(50) * 0.1
        points[:, 1] = speed * points[:, 0]
        points[:, 4] = speed
        return SafeTrajectory(
            stamp_ns=now.stamp_ns,
            sequence=self._sequence,
            engagement=Engagement.ENGAGED,
            mode=Mode.FALLBACK if reasons else Mode.NOMINAL,
            source="fallback" if reasons else "model",
            plan_id=self._plan_id,
            reasons=tuple(reasons),
            points=points,
            hazard_lights=False,
            takeover_request=bool(reasons),
            shadow_passes=0,
        )


class BlackGuard:
    def check(self, frame: CameraFrame, speed_mps: float) -> Verdict:
        brightness = float(frame.image[::8, ::8].mean())
        reasons = () if brightness > 2.0 else (Reason("black", brightness, 2.0, "mean brightness"),)
        return Verdict(frame.camera, frame.stamp_ns, frame.sequence, not reasons, reasons)


def planner_host(options) -> PlannerHost:
    return PlannerHost(ConstantVelocityBody(options["dies_after"]), options["plan_period_s"])


ROLES = {
    PLANNER: Role(
        PLANNER,
        (
            Option("dies_after", int, 0, "plans before the worker breaks, 0: never"),
            Option("plan_period_s", float, 0.05, "seconds between plans", 0.0, 5.0),
        ),
        planner_host,
    ),
    CAMERA_GUARD: Role(CAMERA_GUARD, (), lambda options: CameraGuardHost(BlackGuard())),
    SUPERVISOR: Role(SUPERVISOR, (), lambda options: SupervisorHost(TwoRuleSupervisor())),
    "real_" + CAMERA_GUARD: CAMERA_GUARD_ROLE,
    "real_" + SUPERVISOR: SUPERVISOR_ROLE,
}


def main() -> int:
    transport, role, *arguments = sys.argv[1:]
    if transport == "zmq":
        from onboard_vla.hil.process import run

        return run(ROLES[role], arguments)
    from onboard_vla.ros_nodes.node_main import run_node

    return run_node(ROLES[role], arguments)


if __name__ == "__main__":
    sys.exit(main())
