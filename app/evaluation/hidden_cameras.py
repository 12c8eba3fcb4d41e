"""A planner that some cameras are hidden from: their pictures reach it as one even grey."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

import numpy as np

from onboard_vla.app.lockstep import PlannerBodyLike
from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.process import Clock
from onboard_vla.core.process_graph import PlannerInput
from onboard_vla.runtime.planner_host import AnswersTwice

GREY = 128
"""Half of a pixel's range, as in the blind control's training."""


class HiddenCameras:
    """Stands before a planner's body. The camera guard is not affected: it gets the pictures as they are."""

    def __init__(self, body: PlannerBodyLike, seen: Collection[str]) -> None:
        """`seen`: the cameras that are not hidden."""
        self._body, self._seen = body, seen

    def receive(self, message: PlannerInput, now: Now) -> None:
        """Pass on, with hidden pictures greyed."""
        if isinstance(message, CameraFrame) and message.camera not in self._seen:
            message = dataclasses.replace(message, image=np.full_like(message.image, GREY))
        self._body.receive(message, now)

    def plan_once(self, now: Now) -> Plan | PlanRejection | None:
        """As the body does."""
        return self._body.plan_once(now)

    def second_answer(self, first: Plan, due_ns: int, clock: Clock, needed: Callable[[], bool]) -> Plan | None:
        """As the body does, if it answers twice."""
        body = self._body
        return body.second_answer(first, due_ns, clock, needed) if isinstance(body, AnswersTwice) else None

    def heartbeat(self, now: Now) -> Heartbeat:
        """As the body does."""
        return self._body.heartbeat(now)
