"""What a process shows to others beside its core topics: made out of what it publishes, never read back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.refusals import log_event
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.verdict import Verdict
from onboard_vla.ros_nodes.gate_host import GateCommand
from onboard_vla.ros_nodes.gate_views import to_commands, to_gate_state
from onboard_vla.ros_nodes.markers import to_markers
from onboard_vla.ros_nodes.plan_trajectory import to_plan_path, to_plan_trajectory
from onboard_vla.ros_nodes.status_views import takeover_news, to_decision, to_takeover_request
from onboard_vla.ros_nodes.topics import RosTopic
from onboard_vla.ros_nodes.trajectory_codec import to_path


@dataclass(frozen=True)
class View:
    """How one view is made.

    `make`: the ROS message. `news`: what a viewer must not wait for; None when nothing is that urgent. A view is sent
    at once when its news change, and at most at its row's rate otherwise (rate 0: not at all).
    """

    kinds: tuple[type, ...]
    make: Callable[[Any], Any]
    news: Callable[[Any], object] | None = None


def _lazy(module: str, maker: str) -> Callable[[Any], Any]:
    """A maker of a module that imports messages which not everybody has: who has not has no row that asks for it."""

    def make(message: Any) -> Any:  # noqa: ANN401 - the row's ROS type
        return getattr(import_module(f"onboard_vla.ros_nodes.{module}"), maker)(message)

    return make


_picture = partial(_lazy, "plan_image_codec")
_typed, _autoware = partial(_lazy, "typed_views"), partial(_lazy, "autoware_codec")


_NOTHING_YET = object()
MAKERS: dict[str, View] = {
    "path": View((SafeTrajectory,), to_path),
    "markers": View((SafeTrajectory,), to_markers, lambda message: message.mode),
    "takeover_request": View((SafeTrajectory,), to_takeover_request, takeover_news),
    "decision": View((Plan, PlanRejection), to_decision, lambda message: message.plan_id),
    "plan_trajectory": View((Plan,), to_plan_trajectory, lambda message: message.plan_id),
    "plan_path": View((Plan,), to_plan_path, lambda message: message.plan_id),
    "supervisor_state": View((SafeTrajectory,), _typed("to_supervisor_state"), lambda m: (m.mode, *takeover_news(m))),
    "plan_detail": View((Plan, PlanRejection), _typed("to_plan_detail"), lambda message: message.plan_id),
    "camera_verdict": View((Verdict,), _typed("to_camera_verdict"), lambda m: (m.camera, m.stamp_ns, m.sequence)),
    "autoware/trajectory": View((SafeTrajectory,), _autoware("to_autoware_trajectory"), lambda m: m.sequence),
    "autoware/mrm_state": View((SafeTrajectory,), _autoware("to_mrm_state"), lambda m: (m.mode, m.engagement)),
    "plan_image": View((CameraFrame,), _picture("to_image"), lambda message: message.sequence),
    "plan_image/compressed": View((CameraFrame,), _picture("to_compressed"), lambda message: message.sequence),
    "gate_commands": View((GateCommand,), to_commands, lambda message: message.stamp_ns),
    "gate_state": View((GateCommand,), to_gate_state, lambda message: (message.state, message.reason)),
}
"""By port."""


class ViewPublisher:
    """Sends one view through a publisher, when it is due and anybody listens."""

    def __init__(self, row: RosTopic, publisher: Any) -> None:  # noqa: ANN401 - rclpy's publisher
        self._row, self._publisher = row, publisher
        self._view = MAKERS[row.port]
        self._due_ns = 0
        self._news: object = _NOTHING_YET
        self._failed = False

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._publisher.get_subscription_count())

    def show(self, message: object) -> None:
        """Take what the process has just published; a view that cannot be made never hinders the process."""
        try:
            self._show(message)
        except Exception as error:
            if not self._failed:
                log_event(self._row.sender, "view_failed", port=self._row.port, error=repr(error))
            self._failed = True

    def _show(self, message: object) -> None:
        view = self._view
        if not isinstance(message, view.kinds):
            return
        news = view.news(message) if view.news else None
        now_ns = time.monotonic_ns()
        periodic = self._row.rate_hz > 0.0 and now_ns >= self._due_ns
        if not periodic and news == self._news:
            return
        # A latched view is kept for who comes later.
        if not (self._row.latched or self.watched):
            return
        self._news = news
        if self._row.rate_hz:
            self._due_ns = now_ns + nanoseconds(1.0 / self._row.rate_hz)
        self._publisher.publish(view.make(message))
