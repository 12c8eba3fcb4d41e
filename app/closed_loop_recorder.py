"""Turns what passes through the closed loop into the run's record; nothing before engagement is kept."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop_record import (
    NO_MODE,
    FaultRecord,
    PlanRecord,
    PublishedRecord,
    RejectionRecord,
    RunRecord,
    Snapshot,
    StepRecord,
    Traffic,
    ViolationRecord,
)
from onboard_vla.app.faults import BLACK_CAMERA, KILL_PROCESS, MILLISECOND_NS, SECOND_NS, Fault
from onboard_vla.core.clock import Now
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory
from onboard_vla.core.wire import Message
from onboard_vla.world.world import World

SURROUNDINGS_NS = 1 * SECOND_NS
"""How often traffic and road edges are kept for the bird's-eye strip."""


class RunRecorder:
    """Fills a RunRecord; times are counted from the engage command."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._origin: Now | None = None
        self._plan: PlanRecord | None = None
        self._violations_seen = 0
        self._next_surroundings_ns = 0
        self._pending = snapshot_times(record.settings.faults, record.settings.run_ns)
        self._planner_lost = self._drives = False

    def engaged(self, now: Now) -> None:
        """Set the timeline's zero."""
        self._origin = now

    def message(self, message: Message, received: Now) -> None:
        """Keep what a process said."""
        if self._origin is None:
            return
        received_ns = received.monotonic_ns - self._origin.monotonic_ns
        if isinstance(message, SafeTrajectory):
            self._record.config_hash = message.config_hash
            self._record.published.append(_published(message, self._stamp(message.stamp_ns), received_ns))
            self._drives = message.engagement is Engagement.ENGAGED
        elif isinstance(message, SafetyIndicators) and self._drives:
            at = dataclasses.replace(message, stamp_ns=self._stamp(message.stamp_ns))
            self._record.indicators.append(at)
        elif isinstance(message, Plan):
            self._plan = self._planned(message, received, received_ns)
            self._record.plans.append(self._plan)
        elif isinstance(message, PlanRejection):
            stamp_ns = self._stamp(message.stamp_ns)
            rejection = RejectionRecord(message.plan_id, stamp_ns, received_ns, message.code, message.detail)
            self._record.rejections.append(rejection)
        elif isinstance(message, Heartbeat) and self._planner_lost and message.process == PLANNER and message.ready:
            self._planner_lost = False
            self._record.restarts.append((received_ns, message.process))

    def fault(self, fault: Fault, start_monotonic_ns: int) -> None:
        """Note that a fault has begun."""
        if self._origin is not None:
            self._record.faults.append(FaultRecord(fault, start_monotonic_ns - self._origin.monotonic_ns))
            self._planner_lost = self._planner_lost or fault.kind == KILL_PROCESS

    def step(self, due: Now, world: World, latest: SafeTrajectory | None, now: Now) -> None:
        """Keep the vehicle's truth at a step that was due at `due` and is carried out at `now`."""
        if self._origin is None:
            self._violations_seen = len(world.violations)
            return
        time_ns = due.monotonic_ns - self._origin.monotonic_ns
        ego = world.ego
        driven = latest is not None and latest.engagement is not Engagement.STANDBY
        mode = int(latest.mode) if latest is not None and driven else NO_MODE
        engaged = latest is not None and latest.engagement is Engagement.ENGAGED
        self._record.steps.append(
            StepRecord(time_ns, ego.x_m, ego.y_m, ego.heading_rad, ego.speed_mps, world.progress_m, mode, engaged)
        )
        self._record.loop_lateness_ms.append((now.monotonic_ns - due.monotonic_ns) / MILLISECOND_NS)
        for violation in world.violations[self._violations_seen :]:
            stamp_ns = violation.stamp_ns - world.time_ns + time_ns
            self._record.violations.append(
                ViolationRecord(stamp_ns, violation.kind, violation.at_fault, violation.detail)
            )
        self._violations_seen = len(world.violations)
        if time_ns >= self._next_surroundings_ns:
            self._next_surroundings_ns = time_ns + SURROUNDINGS_NS
            self._record.traffic.append(Traffic(time_ns, world.objects().states()))
            self._record.lane_edges.append(lane_edges(world.lanes()))

    def pictures(
        self, images: dict[str, NDArray[np.uint8]], due: Now, world: World, latest: SafeTrajectory | None
    ) -> None:
        """Keep a snapshot when one is due."""
        if self._origin is None or not self._pending:
            return
        time_ns = due.monotonic_ns - self._origin.monotonic_ns
        if time_ns < self._pending[0][0]:
            return
        _, title = self._pending.pop(0)
        ego = world.ego
        self._record.snapshots.append(
            Snapshot(
                time_ns=time_ns,
                title=title,
                pose=(ego.x_m, ego.y_m, ego.heading_rad),
                images=dict(images),
                objects=world.objects(),
                plan=self._plan,
                driven_points=latest.points.copy() if latest is not None else np.zeros((0, 6)),
                mode=int(latest.mode) if latest is not None else int(Mode.STOPPED),
            )
        )

    def _stamp(self, stamp_ns: int) -> int:
        return stamp_ns - self._origin.stamp_ns if self._origin is not None else 0

    def _planned(self, plan: Plan, received: Now, received_ns: int) -> PlanRecord:
        return PlanRecord(
            plan_id=plan.plan_id,
            stamp_ns=self._stamp(plan.stamp_ns),
            received_ns=received_ns,
            age_ns=received.stamp_ns - plan.oldest_frame_stamp_ns,
            tokens=plan.action_tokens,
            depth=plan.depth,
            slow_probability=plan.slow_probability,
            passes=(plan.passes.vision, plan.passes.prefill, plan.passes.decode),
            stage_ms=dict(plan.stage_ms),
            poses=plan.poses,
            spread_m=float(plan.uncertainty.spread_m.max(initial=0.0)),
            vision_ood=max(plan.uncertainty.vision_ood.values(), default=None),
        )


def snapshot_times(faults: tuple[Fault, ...], run_ns: int) -> list[tuple[int, str]]:
    """When to keep pictures: before and amid a black camera, after a kill, and near the end."""
    times = []
    for fault in faults:
        if fault.kind == BLACK_CAMERA:
            times.append((fault.start_ns - SECOND_NS, "before the camera fault"))
            times.append((fault.start_ns + fault.duration_ns // 2, f"{fault.target} camera black"))
        else:
            times.append((fault.start_ns + SECOND_NS, f"one second after {fault.target} was killed"))
    times.append((max(run_ns - SECOND_NS, 0), "near the end"))
    return sorted(time for time in times if 0 <= time[0] < run_ns)


def lane_edges(lanes: LaneObservation) -> NDArray[np.float64]:
    """Edges of the drivable area as (2, N, 2): left, right, odometry frame."""
    centre = lanes.centreline
    direction = np.gradient(centre, axis=0)
    direction /= np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-9)[:, None]
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    return np.stack([centre + normal * lanes.left_m[:, None], centre - normal * lanes.right_m[:, None]])


def _published(message: SafeTrajectory, stamp_ns: int, received_ns: int) -> PublishedRecord:
    return PublishedRecord(
        stamp_ns=stamp_ns,
        received_ns=received_ns,
        sequence=message.sequence,
        engagement=message.engagement.value,
        mode=int(message.mode),
        source=message.source,
        plan_id=message.plan_id,
        shadow_passes=message.shadow_passes,
        reasons=message.reasons,
    )
