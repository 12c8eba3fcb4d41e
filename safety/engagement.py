"""Who drives: STANDBY, ENGAGED, DRIVER_OVERRIDE, LATCHED, and what stands against a command.

A command is obeyed when nothing stands against it; else it changes nothing and is answered with every reason.
"""

from __future__ import annotations

from dataclasses import replace

from onboard_vla.core.safe_trajectory import DISENGAGE, ENGAGE, REARM, STOP, Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.ladder_state import LadderInputs, LadderState

FROM_STATE = {
    ENGAGE: Engagement.STANDBY,
    DISENGAGE: Engagement.ENGAGED,
    REARM: Engagement.LATCHED,
    STOP: Engagement.ENGAGED,
}
"""The one state in which each command can be obeyed."""
OPERATOR_STOP = "OPERATOR_STOP"
"""Code of the reason that stands from the operator's stop until somebody re-arms."""


def decide_engagement(
    state: LadderState,
    inputs: LadderInputs,
    own: tuple[Reason, ...],
    asked: Mode,
    now_ns: int,
    settings: LadderSettings,
) -> LadderState:
    """The state after the driver's action and the commands of this step.

    `own`: the ladder's own reasons of this step. `asked`: the mode that everybody together asks for.
    """
    state = give_way(state, inputs.override, state.mode >= Mode.IN_LANE_STOP)
    if inputs.unheard:
        state = replace(state, refusals=inputs.unheard)
    for command in inputs.commands:
        if command == ENGAGE and state.engagement is Engagement.ENGAGED:
            continue
        against = _against(command, state, inputs, own, asked, now_ns, settings)
        state = replace(state, refusals=against) if against else _obey(command, state, asked, now_ns, settings)
    return state


def give_way(state: LadderState, override: bool, stopping: bool) -> LadderState:
    """To the driver while he acts, and afterwards standby; latched where a stop had begun (`stopping`: now at least).

    It needs nothing but his word, so that no error of our own keeps him from taking over.
    """
    if override and state.engagement in (Engagement.ENGAGED, Engagement.LATCHED):
        return replace(state, engagement=Engagement.DRIVER_OVERRIDE, must_rearm=state.must_rearm or stopping)
    if state.engagement is Engagement.DRIVER_OVERRIDE and not override:
        return replace(state, engagement=Engagement.LATCHED if state.must_rearm else Engagement.STANDBY)
    return state


def stop_obeyed(before: LadderState, after: LadderState) -> bool:
    """Whether a stop that the operator asked for in this step was obeyed, if he did."""
    if OPERATOR_STOP not in after.causes:
        return False
    return after.engagement is Engagement.ENGAGED or OPERATOR_STOP not in before.causes


def left_to_a_person(state: LadderState) -> bool:
    """Whether no stop of ours goes on when the person lets go: in standby, or where he holds the vehicle still."""
    held = state.engagement is Engagement.DRIVER_OVERRIDE and state.standstill_since_ns is not None
    return state.engagement is Engagement.STANDBY or held


def standing_for(state: LadderState, now_ns: int, settings: LadderSettings) -> bool:
    """Whether the vehicle has stood still for the time that counts as standstill."""
    return _stood_s(state, now_ns) >= settings.standstill_s


def _against(
    command: str,
    state: LadderState,
    inputs: LadderInputs,
    own: tuple[Reason, ...],
    asked: Mode,
    now_ns: int,
    settings: LadderSettings,
) -> tuple[Reason, ...]:
    """Everything that stands against a command now; empty when it is to be obeyed."""
    from_state = FROM_STATE.get(command)
    if from_state is None:
        known = f"{', '.join((ENGAGE, DISENGAGE, REARM))} or {STOP}"
        return (Reason("COMMAND_UNKNOWN", 1.0, 0.0, f"{command[:50]!r}: expected {known}"),)
    if state.engagement is not from_state:
        detail = f"{command} in {state.engagement.value}: possible in {from_state.value} only"
        return (Reason("COMMAND_NOT_NOW", 1.0, 0.0, detail),)
    if command == STOP:
        return ()
    if command == DISENGAGE:
        if state.mode <= Mode.FALLBACK:
            return ()
        return (Reason("STOP_BEGUN", float(state.mode), float(Mode.FALLBACK), "a stop ends at standstill, latched"),)
    return tuple(_against_driving(command, state, inputs, own, asked, now_ns, settings))


def _against_driving(
    command: str,
    state: LadderState,
    inputs: LadderInputs,
    own: tuple[Reason, ...],
    asked: Mode,
    now_ns: int,
    settings: LadderSettings,
) -> list[Reason]:
    """What stands against engaging, or against re-arming, which is the way back to it."""
    highest = Mode.FALLBACK if inputs.has_fallback else Mode.REDUCED
    found = [request.reason for request in inputs.requests if request.level > highest]
    found += inputs.obstacles
    if inputs.override:
        found.append(Reason("DRIVER_ACTS", 1.0, 0.0, "the driver steers, brakes or accelerates"))
    if command == REARM:
        stood = _stood_s(state, now_ns)
        if stood < settings.standstill_s:
            found.append(Reason("NOT_STANDING", stood, settings.standstill_s, "standing still for, s"))
        present = {r.reason.code for r in inputs.requests if r.level >= Mode.FALLBACK} | {r.code for r in own}
        for code in state.causes:
            if code in present:
                found.append(Reason("CAUSE_PRESENT", 1.0, 0.0, f"{code} asked for the stop and is still there"))
    elif not inputs.has_fallback:
        found += own
        if state.shadow_passes < settings.shadow_passes:
            passes, needed = float(state.shadow_passes), float(settings.shadow_passes)
            found.append(Reason("SHADOW_PASSES", passes, needed, "plans in a row that passed: nothing else can drive"))
    return found


def _obey(command: str, state: LadderState, asked: Mode, now_ns: int, settings: LadderSettings) -> LadderState:
    if command == ENGAGE:
        known = asked <= Mode.REDUCED and state.shadow_passes >= settings.shadow_passes
        mode = Mode.REDUCED if known else Mode.FALLBACK
        return replace(
            state,
            engagement=Engagement.ENGAGED,
            mode=mode,
            since_ns=now_ns,
            clear_since_ns=None,
            changes=(),
            held=None,
            refusals=(),
        )
    if command == DISENGAGE:
        return replace(state, engagement=Engagement.STANDBY, refusals=())
    if command == STOP:
        return _stop(state, now_ns)
    return LadderState(
        window=state.window,
        hard=state.hard,
        standstill_since_ns=state.standstill_since_ns,
        takeover=state.takeover,
        takeover_stamp_ns=state.takeover_stamp_ns,
        driver_stamp_ns=state.driver_stamp_ns,
    )


def _stop(state: LadderState, now_ns: int) -> LadderState:
    """The stop in lane, or the stop that is under way already; it ends at standstill, latched."""
    causes = tuple(dict.fromkeys((*state.causes, OPERATOR_STOP)))
    state = replace(state, causes=causes, refusals=())
    if state.mode >= Mode.IN_LANE_STOP:
        return state
    return replace(state, mode=Mode.IN_LANE_STOP, since_ns=now_ns, clear_since_ns=None, shadow_passes=0)


def _stood_s(state: LadderState, now_ns: int) -> float:
    """Seconds of standstill; 0 while the vehicle moves or its speed is unknown."""
    since = state.standstill_since_ns
    return 0.0 if since is None else (now_ns - since) / 1e9
