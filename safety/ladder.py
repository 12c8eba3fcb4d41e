"""The ladder L0 to L5 as a pure function of (state, inputs, now). Safety basis (docs) 6.1 and 6.2.

The mode is the maximum over everybody who asks for one. Going up is immediate and may skip levels; going down is one
level at a time, after a dwell and a clear time. L3 and L4 end at standstill, latched, until somebody re-arms. Where a
configuration has no fallback, what asks for L2 gets L3.
"""

from __future__ import annotations

from dataclasses import replace

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.engagement import OPERATOR_STOP, decide_engagement, standing_for
from onboard_vla.safety.ladder_state import LadderInputs, LadderState, LadderStep, ModeChange, PlanOutcome, Request
from onboard_vla.safety.takeover import request_takeover

__all__ = ["LadderInputs", "LadderState", "LadderStep", "PlanOutcome", "Request", "step"]


def step(before: LadderState, inputs: LadderInputs, now_ns: int, settings: LadderSettings) -> LadderStep:
    """Advance by one tick."""
    state = _count_plans(before, inputs, settings)
    state = _watch_standstill(state, inputs, now_ns, settings)
    state, own = _forget(state, now_ns, settings), []
    asked = max((request.level for request in inputs.requests), default=Mode.NOMINAL)
    rejected = sum(state.window)
    outside = all(request.outside for request in inputs.requests if request.level >= Mode.FALLBACK)
    if state.hard or rejected >= settings.rejections:
        outside = False
        asked = max(asked, Mode.FALLBACK)
        own.append(
            Reason("PLANS_REJECTED", float(rejected), float(settings.rejections), f"of the last {settings.window}")
        )
    if asked is Mode.FALLBACK and not inputs.has_fallback:
        asked = Mode.IN_LANE_STOP
    state = decide_engagement(state, inputs, tuple(own), asked, now_ns, settings)
    if state.engagement is Engagement.ENGAGED:
        state, reasons = _drive(state, inputs, tuple(own), asked, outside, now_ns, settings)
        own += reasons
    elif state.engagement is Engagement.LATCHED:
        state = replace(state, mode=Mode.STOPPED)
    else:
        least = Mode.FALLBACK if inputs.has_fallback else Mode.REDUCED
        state = replace(state, mode=min(max(asked, least), Mode.EMERGENCY_STOP), since_ns=now_ns)
    if OPERATOR_STOP in state.causes:
        own.append(Reason(OPERATOR_STOP, 1.0, 0.0, "the operator asked for a stop"))
    return LadderStep(request_takeover(before, state, inputs, now_ns, settings), asked, tuple(own))


def _count_plans(state: LadderState, inputs: LadderInputs, settings: LadderSettings) -> LadderState:
    window, hard = state.window, state.hard
    passes = 0 if inputs.reset_shadow else state.shadow_passes
    for outcome in inputs.outcomes:
        window = (*window, not outcome.passed)[-settings.window :]
        hard = outcome.hard and not outcome.passed
        passes = passes + 1 if outcome.passed and outcome.shadow else 0
    driving = state.engagement is Engagement.ENGAGED and state.mode <= Mode.REDUCED
    return replace(state, window=window, hard=hard, shadow_passes=0 if driving else passes)


def _watch_standstill(state: LadderState, inputs: LadderInputs, now_ns: int, settings: LadderSettings) -> LadderState:
    standing = inputs.speed_mps is not None and abs(inputs.speed_mps) < settings.standstill_mps
    since = (now_ns if state.standstill_since_ns is None else state.standstill_since_ns) if standing else None
    return replace(state, standstill_since_ns=since)


def _forget(state: LadderState, now_ns: int, settings: LadderSettings) -> LadderState:
    """Entries and changes that are older than the times over which they count."""
    oldest = now_ns - nanoseconds(settings.fallback_window_s)
    oldest_change = now_ns - nanoseconds(settings.changes_window_s)
    return replace(
        state,
        entries_ns=tuple(entry for entry in state.entries_ns if entry >= oldest),
        outside_entries_ns=tuple(entry for entry in state.outside_entries_ns if entry >= oldest),
        changes=tuple(change for change in state.changes if change.at_ns >= oldest_change),
    )


def _drive(
    state: LadderState,
    inputs: LadderInputs,
    own: tuple[Reason, ...],
    asked: Mode,
    outside: bool,
    now_ns: int,
    settings: LadderSettings,
) -> tuple[LadderState, list[Reason]]:
    """The mode while engaged."""
    reasons: list[Reason] = []
    if state.mode >= Mode.IN_LANE_STOP:
        if asked > state.mode and asked <= Mode.EMERGENCY_STOP:
            state = _remember_causes(state, inputs, own)
            state = replace(state, mode=asked, since_ns=now_ns)
        elif standing_for(state, now_ns, settings):
            state = replace(state, mode=Mode.STOPPED, engagement=Engagement.LATCHED, since_ns=now_ns)
        return replace(state, must_rearm=True), reasons
    held_s = (now_ns - state.since_ns) / 1e9
    if state.mode is Mode.FALLBACK and held_s > settings.fallback_max_s:
        asked = max(asked, Mode.IN_LANE_STOP)
        reasons.append(Reason("FALLBACK_TOO_LONG", held_s, settings.fallback_max_s, "time in L2, s"))
    if asked is Mode.FALLBACK and state.mode < Mode.FALLBACK:
        entries = (*(state.outside_entries_ns if outside else state.entries_ns), now_ns)
        state = replace(state, outside_entries_ns=entries) if outside else replace(state, entries_ns=entries)
        if len(entries) >= settings.fallback_entries:
            asked = Mode.IN_LANE_STOP
            count, limit, kind = float(len(entries)), float(settings.fallback_entries), "outside" if outside else "own"
            detail = f"entries in {settings.fallback_window_s:g} s, {kind} causes"
            reasons.append(Reason("FALLBACK_TOO_OFTEN", count, limit, detail))
    if asked > state.mode:
        if asked >= Mode.IN_LANE_STOP:
            state = replace(_remember_causes(state, inputs, own), must_rearm=True)
        state, many = _change(state, min(asked, Mode.EMERGENCY_STOP), now_ns, settings)
        return state, reasons + many
    state, many = _descend(state, inputs, asked, now_ns, settings)
    return state, reasons + many


def _remember_causes(state: LadderState, inputs: LadderInputs, own: tuple[Reason, ...]) -> LadderState:
    """Codes of what asks for this stop, or, where nobody does, for the fallback that lasted too long or came too often.

    They have to be gone before somebody may re-arm.
    """
    codes = [request.reason.code for request in inputs.requests if request.level >= Mode.IN_LANE_STOP]
    if not codes:
        codes = [request.reason.code for request in inputs.requests if request.level is Mode.FALLBACK]
        codes += [reason.code for reason in own]
    return replace(state, causes=tuple(dict.fromkeys((*state.causes, *codes))))


def _descend(
    state: LadderState, inputs: LadderInputs, asked: Mode, now_ns: int, settings: LadderSettings
) -> tuple[LadderState, list[Reason]]:
    """One level down at most, after dwell and clear time."""
    if asked >= state.mode:
        return replace(state, clear_since_ns=None), []
    clear_since = now_ns if state.clear_since_ns is None else state.clear_since_ns
    state = replace(state, clear_since_ns=clear_since)
    if now_ns - state.since_ns < nanoseconds(settings.dwell_s):
        return state, []
    clear_ns = now_ns - clear_since
    if state.mode is Mode.FALLBACK:
        shown = state.shadow_passes >= settings.shadow_passes and inputs.handback
        if shown and clear_ns >= nanoseconds(settings.handback_clear_s):
            return _change(state, Mode.REDUCED, now_ns, settings)
    elif clear_ns >= nanoseconds(settings.clear_s):
        return _change(state, Mode.NOMINAL, now_ns, settings)
    return state, []


def _change(state: LadderState, mode: Mode, now_ns: int, settings: LadderSettings) -> tuple[LadderState, list[Reason]]:
    """Another mode, unless it is one change too many between the same two: then the safer of them, held."""
    low, high = min(state.mode, mode), max(state.mode, mode)
    count = 1 + sum((change.low, change.high) == (low, high) for change in state.changes)
    reasons = []
    if count > settings.changes_max or (state.held is not None and mode < state.held):
        state = replace(state, held=high)
        limit, detail = float(settings.changes_max), f"changes between {low.name} and {high.name} in a minute: held"
        reasons.append(Reason("OSCILLATION", float(count), limit, detail))
        if mode < state.mode:
            return state, reasons
    changes = (*state.changes, ModeChange(now_ns, low, high))
    state = replace(state, mode=mode, since_ns=now_ns, clear_since_ns=None, shadow_passes=0, changes=changes)
    return state, reasons
