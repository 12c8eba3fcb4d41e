"""What the ladder is told, what it remembers, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.safe_trajectory import Engagement, Mode, Takeover
from onboard_vla.core.verdict import Reason


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
class ModeChange:
    """A change between two modes, the lower one first, and when it was."""

    at_ns: int
    low: Mode
    high: Mode


@dataclass(frozen=True)
class LadderState:
    """Everything the ladder remembers. Times are monotonic nanoseconds unless said otherwise.

    `window`: the newest outcomes, oldest first, true where rejected. `hard`: the newest plan was a hard fault.
    `clear_since_ns`: since when nothing asks for the present mode. `entries_ns`: entries into L2 from below on a
    judgement; `outside_entries_ns`: those for which outside faults alone asked. Each kind latches on its own: the
    limit is against oscillation of one and the same cause. `changes`: recent changes of mode while engaged. `held`:
    the mode that oscillation ended in; nothing below it while engaged.
    `must_rearm`: a stop was begun; even a driver who takes over in between does not clear it. `causes`: codes of what
    asked for the stop.
    `acts_since_ns`: since when the driver acts; None where he does not.
    `takeover`: what is asked of the driver; `takeover_stamp_ns`, `driver_stamp_ns`: data-clock stamps of the newest
    request and of the driver's answer to it. `refusals`: why the newest command was refused; empty where it was obeyed.
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
    changes: tuple[ModeChange, ...] = ()
    held: Mode | None = None
    must_rearm: bool = False
    causes: tuple[str, ...] = ()
    acts_since_ns: int | None = None
    takeover: Takeover = Takeover.NONE
    takeover_stamp_ns: int | None = None
    driver_stamp_ns: int | None = None
    refusals: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class LadderInputs:
    """What happened since the last step. `speed_mps` None: unknown. `handback`: the model agrees with the present path.

    `unheard`: why commands did not count at all.
    `obstacles`: what else stands against engaging and re-arming (self-test, operational design domain, shadow mode).
    `has_fallback`: whether this configuration has an L2 at all. `reset_shadow`: the planner is another process than
    before. `stamp_ns`: the data clock now; recorded, never compared.
    """

    requests: tuple[Request, ...] = ()
    outcomes: tuple[PlanOutcome, ...] = ()
    commands: tuple[str, ...] = ()
    unheard: tuple[Reason, ...] = ()
    override: bool = False
    speed_mps: float | None = None
    handback: bool = False
    reset_shadow: bool = False
    obstacles: tuple[Reason, ...] = ()
    has_fallback: bool = True
    stamp_ns: int = 0


@dataclass(frozen=True)
class LadderStep:
    """The new state, the mode that everybody together asked for, and the ladder's own reasons beside the requests'."""

    state: LadderState
    asked: Mode
    reasons: tuple[Reason, ...]
