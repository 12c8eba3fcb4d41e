"""A planner that reads the road from its front picture, and drives straight on, as sure as ever, when it cannot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.campaign.pictures import MomentPictures
from onboard_vla.app.lockstep_planners import GeometricBody, constant_velocity
from onboard_vla.core.cameras import FRONT, CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.process_graph import PlannerInput


class SeeingBody(GeometricBody):
    """Plans what an expert would have done at the moment that the newest front picture shows.

    It reports no doubt, ever: whatever is noticed, others notice.
    """

    def __init__(self, pictures: MomentPictures, bundle_hash: str) -> None:
        super().__init__(self._look, bundle_hash)
        self._pictures = pictures
        self._front: CameraFrame | None = None

    def receive(self, message: PlannerInput, now: Now) -> None:
        """Keep the newest front picture too."""
        super().receive(message, now)
        if isinstance(message, CameraFrame) and message.camera == FRONT:
            self._front = message

    def _look(self, ego: EgoState) -> NDArray[np.float64]:
        seen = None if self._front is None else self._pictures.seen_in(self._front.image)
        return constant_velocity(ego) if seen is None else seen
