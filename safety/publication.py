"""From decisions to the message that the vehicle gets: the regular one, and the one after an error of our own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import NO_STAMP, SHADOW, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.ladder_state import LadderState, LadderStep
from onboard_vla.safety.published import finite_reasons

Array = NDArray[np.float64]

MODEL, FALLBACK, STOP, NONE = "model", "fallback", "stop", "none"
NO_PLAN = -1
"""`plan_id` where the points are not a plan's."""
NO_POINTS: Array = np.zeros((0, 6))


def message_of(
    state: LadderState,
    sequence: int,
    config_hash: str,
    source: str,
    plan_id: int,
    reasons: list[Reason],
    points: Array,
    now: Now,
) -> SafeTrajectory:
    """The regular message of this tick."""
    return SafeTrajectory(
        stamp_ns=now.stamp_ns,
        sequence=sequence,
        engagement=state.engagement,
        mode=state.mode,
        source=source,
        plan_id=plan_id,
        reasons=finite_reasons(reasons),
        points=points,
        hazard_lights=state.engagement is not Engagement.STANDBY and state.mode >= Mode.IN_LANE_STOP,
        takeover=state.takeover,
        takeover_stamp_ns=NO_STAMP if state.takeover_stamp_ns is None else state.takeover_stamp_ns,
        driver_stamp_ns=NO_STAMP if state.driver_stamp_ns is None else state.driver_stamp_ns,
        refusals=finite_reasons(list(state.refusals)),
        shadow_passes=state.shadow_passes,
        config_hash=config_hash,
    )


def shadow_message(
    stepped: LadderStep, sequence: int, config_hash: str, reasons: list[Reason], now: Now
) -> SafeTrajectory:
    """What every check says, with no authority: no points, no requests; `mode` is what would have been asked for."""
    state = stepped.state
    return SafeTrajectory(
        stamp_ns=now.stamp_ns,
        sequence=sequence,
        engagement=Engagement.STANDBY,
        mode=stepped.asked,
        source=SHADOW,
        plan_id=NO_PLAN,
        reasons=finite_reasons(reasons),
        points=NO_POINTS,
        hazard_lights=False,
        takeover=Takeover.NONE,
        takeover_stamp_ns=NO_STAMP,
        driver_stamp_ns=NO_STAMP,
        refusals=finite_reasons(list(state.refusals)),
        shadow_passes=state.shadow_passes,
        config_hash=config_hash,
    )


def message_after_error(
    state: LadderState, authority: str, sequence: int, config_hash: str, reason: Reason, points: Array, now: Now
) -> SafeTrajectory:
    """The outer guard's answer: an emergency stop on the `points` that were stored with the last good trajectory.

    Where `authority` is shadow, it asks nobody for anything, as all that is said in shadow.
    """
    source = SHADOW if authority == SHADOW else STOP if len(points) else NONE
    engaged = state.engagement is Engagement.ENGAGED
    since = state.takeover_stamp_ns if state.takeover is Takeover.MANDATORY else now.stamp_ns
    return SafeTrajectory(
        stamp_ns=now.stamp_ns,
        sequence=sequence,
        engagement=state.engagement,
        mode=max(state.mode, Mode.EMERGENCY_STOP),
        source=source,
        plan_id=NO_PLAN,
        reasons=(reason,),
        points=points,
        hazard_lights=engaged,
        takeover=Takeover.MANDATORY if engaged else Takeover.NONE,
        takeover_stamp_ns=since if engaged and since is not None else NO_STAMP,
        driver_stamp_ns=NO_STAMP,
        refusals=(),
        shadow_passes=0,
        config_hash=config_hash,
    )
