"""The takeover request: advisory while the fallback drives, mandatory from a stop on until the driver acts.

It is mandatory, too, where a touch of a moment took a moving vehicle from the system: whoever touched it may not know
that nobody drives now. It stands in standby until he acts for longer, the vehicle stands, or somebody engages. Nothing
waits for the driver: the ladder never reads what is kept here.
"""

from __future__ import annotations

from dataclasses import replace

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.safe_trajectory import UNOCCUPIED, Engagement, Mode, Takeover
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.driver_watch import DRIVER_HOLD_NS
from onboard_vla.safety.ladder_state import LadderInputs, LadderState

TOUCH_NS = nanoseconds(1.0) + DRIVER_HOLD_NS
"""An override shorter than this is a touch; the hold after his last action counts, so he acted for less than 1 s."""


def request_takeover(
    before: LadderState, state: LadderState, inputs: LadderInputs, now_ns: int, settings: LadderSettings
) -> LadderState:
    """`state` with the request that its mode makes, and the stamp of the driver's action if he has just answered one.

    The driver answers by steering or braking (override), or by disengaging. A request that the system itself no longer
    has is withdrawn without an answer; the stamps of the newest request stay.
    """
    since_ns = now_ns if before.acts_since_ns is None else before.acts_since_ns
    state = replace(state, acts_since_ns=since_ns if inputs.override else None)
    touch, standby = now_ns - since_ns < TOUCH_NS, state.engagement is Engagement.STANDBY
    engaged = before.engagement is Engagement.STANDBY and not standby
    asked = Takeover.NONE if engaged else before.takeover
    wanted = Takeover.MANDATORY if _left_to_nobody(before, state, inputs, touch, settings) else _wanted(state)
    left = before.engagement is Engagement.ENGAGED and state.engagement in UNOCCUPIED
    acts = inputs.override and not (standby and touch)
    if asked is not Takeover.NONE and (left or acts):
        return replace(state, takeover=Takeover.NONE, driver_stamp_ns=inputs.stamp_ns)
    if wanted > asked and not _answered(before, state):
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


def _left_to_nobody(
    before: LadderState, state: LadderState, inputs: LadderInputs, touch: bool, settings: LadderSettings
) -> bool:
    """Whether the vehicle moves in standby since a touch ended the drive, and nobody has acted for longer."""
    stands = inputs.speed_mps is not None and abs(inputs.speed_mps) < settings.standstill_mps
    if state.engagement is not Engagement.STANDBY or stands:
        return False
    if before.engagement is Engagement.DRIVER_OVERRIDE:
        return touch
    return before.engagement is Engagement.STANDBY and before.takeover is Takeover.MANDATORY


def _answered(before: LadderState, state: LadderState) -> bool:
    """Whether the driver has answered already what a latched vehicle would ask for again."""
    return state.engagement is Engagement.LATCHED and before.driver_stamp_ns is not None
