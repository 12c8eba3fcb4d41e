"""The takeover request: advisory while the fallback drives, mandatory from a stop on until the driver acts.

Nothing waits for the driver: the ladder never reads what is kept here.
"""

from __future__ import annotations

from dataclasses import replace

from onboard_vla.core.safe_trajectory import Engagement, Mode, Takeover
from onboard_vla.safety.ladder_state import LadderInputs, LadderState


def request_takeover(before: LadderState, state: LadderState, inputs: LadderInputs) -> LadderState:
    """`state` with the request that its mode makes, and the stamp of the driver's action if he has just answered one.

    The driver answers by steering or braking (override), or by disengaging. A request that the system itself no longer
    has is withdrawn without an answer; the stamps of the newest request stay.
    """
    wanted = _wanted(state)
    left = before.engagement is Engagement.ENGAGED and state.engagement in (
        Engagement.DRIVER_OVERRIDE,
        Engagement.STANDBY,
    )
    if before.takeover is not Takeover.NONE and (left or inputs.override):
        return replace(state, takeover=Takeover.NONE, driver_stamp_ns=inputs.stamp_ns)
    if wanted > before.takeover and not _answered(before, state):
        return replace(state, takeover=wanted, takeover_stamp_ns=inputs.stamp_ns, driver_stamp_ns=None)
    if wanted is Takeover.NONE:
        return replace(state, takeover=Takeover.NONE)
    return state


def _wanted(state: LadderState) -> Takeover:
    if state.engagement is Engagement.LATCHED or (
        state.engagement is Engagement.ENGAGED and state.mode >= Mode.IN_LANE_STOP
    ):
        return Takeover.MANDATORY
    advisory = state.engagement is Engagement.ENGAGED and state.mode is Mode.FALLBACK
    return Takeover.ADVISORY if advisory else Takeover.NONE


def _answered(before: LadderState, state: LadderState) -> bool:
    """Whether the driver has answered already what a latched vehicle would ask for again."""
    return state.engagement is Engagement.LATCHED and before.driver_stamp_ns is not None
