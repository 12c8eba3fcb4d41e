"""What a whole graph sends to the supervisor node, from one process; used by benchmarks/ros_cameras.py."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from typing import Any

import rclpy
from supervisor_cycle import TICK_NS, Feed

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.conditions import DAY, DRY, RURAL, OperatingConditions
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.plan import Heartbeat, Plan
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, PROCESSES
from onboard_vla.core.safe_trajectory import ENGAGE, Engagement, OperatorCommand, SafeTrajectory
from onboard_vla.core.verdict import Verdict
from onboard_vla.ros_nodes.ports import Publishers
from onboard_vla.ros_nodes.topics import default_remaps
from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

OBJECTS = 50
ENGAGE_TICKS = 75
"""An operator asks to engage so often while the vehicle is not engaged."""


class GraphFeed:
    """Vehicle, planner and camera guard in one, which engages; stamps are those of its schedule."""

    def __init__(self, link: RosVehicleLink, core_hash: str) -> None:
        self._link, self._core_hash = link, core_hash
        self._feed = Feed(OBJECTS, model=True)
        self._publishers = {}
        for process in (PLANNER, CAMERA_GUARD):
            node = rclpy.create_node(
                process, context=link._context, cli_args=default_remaps(process), use_global_arguments=False
            )
            self._publishers[process] = Publishers(node, process)
        self._modes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._origin_ns, self._engaged = time.time_ns(), False

    def begin(self) -> None:
        """The schedule's first tick is now."""
        self._origin_ns = time.time_ns()

    def tick(self, number: int, counted: bool) -> None:
        """Send what is due; modes and reasons are those of the counted stretch."""
        self._feed.tick = number
        # As the schedule has it, not as late as it is kept: positions and stamps must fit together.
        now_ns = self._origin_ns + number * TICK_NS
        for message in self._feed.messages():
            self._send(_restamped(message, now_ns, self._core_hash))
        ego_mps = next(m.speed_mps for m in self._feed.messages() if isinstance(m, EgoState))
        self._link.publish(WheelSpeed(now_ns, ego_mps))
        if number % 50 == 0:
            self._link.publish(OperatingConditions(now_ns, RURAL, DAY, DRY, ""))
        if number % ENGAGE_TICKS == ENGAGE_TICKS - 1 and not self._engaged:
            self._link.publish(OperatorCommand(now_ns, ENGAGE))
        for message, _ in self._link.poll():
            if isinstance(message, SafeTrajectory):
                self._engaged = message.engagement is Engagement.ENGAGED
                if not counted:
                    continue
                self._modes[f"{message.mode.name}, {message.engagement.value}, by {message.source}"] += 1
                self._reasons.update(reason.code for reason in message.reasons)

    def modes(self) -> dict[str, int]:
        """How often each mode was published."""
        return dict(self._modes.most_common())

    def reasons(self) -> dict[str, int]:
        """In how many cycles each reason was given."""
        return dict(self._reasons.most_common())

    def _send(self, message: Any) -> None:  # noqa: ANN401 - any message of the graph
        sender = message.process if isinstance(message, Heartbeat) else None
        if isinstance(message, Plan):
            sender = PLANNER
        if isinstance(message, Verdict):
            sender = CAMERA_GUARD
        if sender in PROCESSES:
            self._publishers[sender].publish(message)
        else:
            self._link.publish(message)


def _restamped(message: Any, now_ns: int, core_hash: str) -> Any:  # noqa: ANN401 - any message of the graph
    changes = {name: now_ns for name in ("stamp_ns", "oldest_frame_stamp_ns") if hasattr(message, name)}
    if isinstance(message, Plan):
        # The checkpoint's thresholds have a limit for how strange pictures are.
        strange = dict.fromkeys(CAMERAS, 0.0)
        doubt = dataclasses.replace(message.uncertainty, vision_ood=strange)
        return dataclasses.replace(message, **changes, bundle_hash=core_hash, uncertainty=doubt)
    return dataclasses.replace(message, **changes) if changes else message
