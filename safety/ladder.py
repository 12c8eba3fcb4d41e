"""The ladder L0 to L5 and who drives, as a pure function of (state, inputs, now). Safety sheet 6.1 and 6.2.

The mode is the maximum over everybody who asks for one. Going up is immediate and may skip levels; going down is one
level at a time, after a dwell and a clear time. L3 and L4 end at standstill, latched, until somebody re-arms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.safe_trajectory import DISENGAGE, ENGAGE, REARM, Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings


@dataclass(frozen=True)
class Request:
    """Somebody asks for at least this mode, and says why. `outside`: a camera's or process's fault, no judgement."""

    level: Mode
    reason: Reason
    outside: bool = False


@dataclass(frozen=True)
class PlanOutcome:
    """What the guards said of a plan. `hard`: a fault of structure, not of judgement. `shadow`: counts for handback."""

    passed: bool
    hard: bool = False
    shadow: bool = True


@dataclass(frozen=True)
class LadderState:
    """Everything the ladder remembers. Times are monotonic nanoseconds.

    `window`: the newest outcomes, oldest first, true where rejected. `hard`: the newest plan was a hard fault.
    `clear_since_ns`: since when nothing asks for the present mode. `entries_ns`: entries into L2 from below on a
    judgement; `outside_entries_ns`: those for which outside faults alone asked. Each kind latches on its own: the
    limit is against oscillation of one and the same cause.
    `must_rearm`: a stop was begun; even a driver who takes over in between does not clear it.
    """

    engagement: Engagement = Engagement.STANDBY
    mode: Mode = Mode.FALLBACK
    since_ns: int = 0
    clear_since_ns: int | None = None
    standstill_since_ns: int | None = None
    entries_ns: tuple[int, ...] = ()
    outside_entries_ns: tuple[int, ...] = ()
    window: tuple[bool, ...] = ()
    hard: bool = False
    shadow_passes: int = 0
    must_rearm: bool = False


@dataclass(frozen=True)
class LadderInputs:
    """What happened since the last step. `speed_mps` None: unknown. `handback`: the model agrees with the present path.

    `reset_shadow`: the planner is another process than before.
    """

    requests: tuple[Request, ...] = ()
    outcomes: tuple[PlanOutcome, ...] = ()
    commands: tuple[str, ...] = ()
    override: bool = False
    speed_mps: float | None = None
    handback: bool = False
    reset_shadow: bool = False


@dataclass(frozen=True)
class LadderStep:
    """The new state and the ladder's own reasons, beside those of the requests."""

    state: LadderState
    reasons: tuple[Reason, ...]


def step(state: LadderState, inputs: LadderInputs, now_ns: int, settings: LadderSettings) -> LadderStep:
    """Advance by one tick."""
    state = _count_plans(state, inputs, settings)
    state = _watch_standstill(state, inputs, now_ns, settings)
    state, own = _remember_entries(state, now_ns, settings), []
    asked = max((request.level for request in inputs.requests), default=Mode.NOMINAL)
    rejected = sum(state.window)
    outside = all(request.outside for request in inputs.requests if request.level >= Mode.FALLBACK)
    if state.hard or rejected >= settings.rejections:
        outside = False
        asked = max(asked, Mode.FALLBACK)
        own.append(
            Reason("PLANS_REJECTED", float(rejected), float(settings.rejections), f"of the last {settings.window}")
        )
    state = _engagement(state, inputs, asked, now_ns, settings)
    if state.engagement is Engagement.ENGAGED:
        state, reasons = _drive(state, inputs, asked, outside, now_ns, settings)
        own += reasons
    elif state.engagement is Engagement.LATCHED:
        state = replace(state, mode=Mode.STOPPED)
    else:
        state = replace(state, mode=min(max(asked, Mode.FALLBACK), Mode.EMERGENCY_STOP), since_ns=now_ns)
    return LadderStep(state, tuple(own))


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


def _remember_entries(state: LadderState, now_ns: int, settings: LadderSettings) -> LadderState:
    oldest = now_ns - nanoseconds(settings.fallback_window_s)
    return replace(
        state,
        entries_ns=tuple(entry for entry in state.entries_ns if entry >= oldest),
        outside_entries_ns=tuple(entry for entry in state.outside_entries_ns if entry >= oldest),
    )


def _engagement(
    state: LadderState, inputs: LadderInputs, asked: Mode, now_ns: int, settings: LadderSettings
) -> LadderState:
    """Who drives: STANDBY, ENGAGED, DRIVER_OVERRIDE, LATCHED."""
    if inputs.override:
        if state.engagement is Engagement.ENGAGED:
            stopping = state.mode >= Mode.IN_LANE_STOP
            state = replace(state, engagement=Engagement.DRIVER_OVERRIDE, must_rearm=state.must_rearm or stopping)
        return state
    if state.engagement is Engagement.DRIVER_OVERRIDE:
        latched = state.must_rearm
        return replace(state, engagement=Engagement.LATCHED if latched else Engagement.STANDBY)
    for command in inputs.commands:
        if command == ENGAGE and state.engagement is Engagement.STANDBY and asked <= Mode.FALLBACK:
            known = asked <= Mode.REDUCED and state.shadow_passes >= settings.shadow_passes
            mode = Mode.REDUCED if known else Mode.FALLBACK
            state = replace(state, engagement=Engagement.ENGAGED, mode=mode, since_ns=now_ns, clear_since_ns=None)
        elif command == DISENGAGE and state.engagement is Engagement.ENGAGED and state.mode <= Mode.FALLBACK:
            state = replace(state, engagement=Engagement.STANDBY)
        elif command == REARM and state.engagement is Engagement.LATCHED and asked <= Mode.FALLBACK:
            if not _standing_for(state, now_ns, settings):
                continue
            state = LadderState(window=state.window, hard=state.hard, standstill_since_ns=state.standstill_since_ns)
    return state


def _drive(
    state: LadderState, inputs: LadderInputs, asked: Mode, outside: bool, now_ns: int, settings: LadderSettings
) -> tuple[LadderState, list[Reason]]:
    """The mode while engaged."""
    reasons: list[Reason] = []
    if state.mode >= Mode.IN_LANE_STOP:
        if asked > state.mode and asked <= Mode.EMERGENCY_STOP:
            state = replace(state, mode=asked, since_ns=now_ns)
        elif _standing_for(state, now_ns, settings):
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
        stopping = asked >= Mode.IN_LANE_STOP
        state = replace(state, mode=min(asked, Mode.EMERGENCY_STOP), since_ns=now_ns, clear_since_ns=None)
        return replace(state, must_rearm=state.must_rearm or stopping, shadow_passes=0), reasons
    return _descend(state, inputs, asked, now_ns, settings), reasons


def _descend(
    state: LadderState, inputs: LadderInputs, asked: Mode, now_ns: int, settings: LadderSettings
) -> LadderState:
    """One level down at most, after dwell and clear time."""
    if asked >= state.mode:
        return replace(state, clear_since_ns=None)
    clear_since = now_ns if state.clear_since_ns is None else state.clear_since_ns
    state = replace(state, clear_since_ns=clear_since)
    if now_ns - state.since_ns < nanoseconds(settings.dwell_s):
        return state
    if state.mode is Mode.FALLBACK:
        if state.shadow_passes >= settings.shadow_passes and inputs.handback:
            return replace(state, mode=Mode.REDUCED, since_ns=now_ns, clear_since_ns=None, shadow_passes=0)
    elif now_ns - clear_since >= nanoseconds(settings.clear_s):
        return replace(state, mode=Mode.NOMINAL, since_ns=now_ns, clear_since_ns=None)
    return state


def _standing_for(state: LadderState, now_ns: int, settings: LadderSettings) -> bool:
    since = state.standstill_since_ns
    return since is not None and now_ns - since >= nanoseconds(settings.standstill_s)
