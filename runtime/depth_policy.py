"""How deep to think: when a fast plan is followed by slow reasoning on the same pictures, and for how many tokens.

The fast plan comes first, always, so that whatever happens afterwards there is one (an interruptible algorithm in the
sense of Zilberstein 1996; reasoning before acting alone would be a contract algorithm: interrupted, it yields nothing).
Thinking is for what is unclear and not yet urgent: it is no answer to an emergency. All here is a pure function of
state, inputs and time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.plan import FAST, SLOW
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.decoding import MODEL

ALWAYS_FAST, ALWAYS_SLOW, ADAPTIVE = "always_fast", "always_slow", "adaptive"
FIRST_ANSWER = {ALWAYS_FAST: FAST, ALWAYS_SLOW: SLOW, MODEL: MODEL, ADAPTIVE: FAST}
"""How the first answer of each policy is decoded (`decoding.DEPTHS`); `adaptive` alone may give a second one."""
POLICIES = tuple(FIRST_ANSWER)

BRAKE_S = 1.5
"""With less time than this until full braking is due nobody thinks."""
HEARD_S = 0.35
"""What the supervisor said counts for three periods at 10 Hz, and some jitter."""
RAISED_OF, RECENT = 2, 3
"""Demand that is above its limits in so many of the last plans begins the wish to think ..."""
LEAVE_SHARE, CALM_S = 0.8, 3.0
"""... and demand below this share of all limits for so long ends it. Without both, single scores flap."""
FIXED_PASSES = 3
"""What a slow answer costs beyond its own tokens: the rest of its prefix, a forced end, a first wrong guess (own)."""
LEAST_PASS_S = 1e-6
"""No machine makes a pass in less."""


@dataclass(frozen=True)
class DepthLimits:
    """Where each score alone asks for thinking, and how often and how short it may be.

    `slow_probability`: of the fork. `spread_m`, `second_mass`: of the fast plan's uncertainty, worst step. `hazard_s`:
    time to brake; less asks for thinking (until `BRAKE_S`). `rest_s`: least time between the beginnings of two slow
    answers. `least_tokens`: with room for fewer reasoning tokens it is not worth beginning. `margin_s`: kept free
    before the next plan is due.
    """

    slow_probability: float = 0.5
    spread_m: float = 0.5
    second_mass: float = 0.15
    hazard_s: float = 6.0
    rest_s: float = 1.0
    least_tokens: int = 24
    margin_s: float = 0.02


@dataclass(frozen=True)
class Scores:
    """What a fast plan says about itself."""

    slow_probability: float
    spread_m: float
    second_mass: float


@dataclass(frozen=True)
class DepthState:
    """`raised`: whether demand was above its limits, of the last plans, newest last. `wants`: the wish to think.

    `lively_ns`: when demand was last not calm. `began_ns`: when the last slow answer began.
    """

    raised: tuple[bool, ...] = ()
    wants: bool = False
    lively_ns: int = 0
    began_ns: int | None = None


@dataclass(frozen=True)
class Decision:
    """`tokens`: how many reasoning tokens to spend; 0: none, for `reason`."""

    tokens: int
    reason: str


NO_NUMBERS, UNSUPERVISED, DEGRADED, BRAKING = "no_numbers", "unsupervised", "degraded", "braking"
CALM, RESTING, NO_TIME, THINK = "calm", "resting", "no_time", "think"


def decide(
    state: DepthState,
    scores: Scores,
    told: tuple[Supervision, int] | None,
    tokens: int,
    now_ns: int,
    limits: DepthLimits,
) -> tuple[DepthState, Decision]:
    """Whether to answer slowly after a fast plan.

    Args:
        state: of the plan before.
        scores: of the fast plan.
        told: the supervisor's newest word and when it was heard, monotonic ns; None if it never spoke.
        tokens: room for reasoning tokens until the next plan, see `token_budget`.
        now_ns: monotonic.
        limits: the settings.
    """
    demand = demand_of(scores, told, limits)
    if math.isnan(demand):
        return state, Decision(0, NO_NUMBERS)
    state = _noted(state, demand, now_ns)
    if forbidden := forbidden_by(told, now_ns):
        return state, Decision(0, forbidden)
    if not state.wants:
        return state, Decision(0, CALM)
    if state.began_ns is not None and now_ns - state.began_ns < nanoseconds(limits.rest_s):
        return state, Decision(0, RESTING)
    if tokens < max(limits.least_tokens, 1):
        return state, Decision(0, NO_TIME)
    return replace(state, began_ns=now_ns), Decision(tokens, THINK)


def forbidden_by(told: tuple[Supervision, int] | None, now_ns: int) -> str:
    """Why the supervisor's word lets nobody think now, asked before and while thinking; empty if it does.

    A word that came between reading the clock and asking for it is later than now, and counts.
    """
    if told is None or abs(now_ns - told[1]) > nanoseconds(HEARD_S):
        return UNSUPERVISED
    word = told[0]
    if word.mode is not Mode.NOMINAL:
        return DEGRADED
    return "" if word.time_to_brake_s >= BRAKE_S else BRAKING  # NaN: not known, so not allowed


def demand_of(scores: Scores, told: tuple[Supervision, int] | None, limits: DepthLimits) -> float:
    """The greatest share of its limit that a score has; NaN if a score is no finite number."""
    shares = [
        scores.slow_probability / limits.slow_probability,
        scores.spread_m / limits.spread_m,
        scores.second_mass / limits.second_mass,
    ]
    if not all(map(math.isfinite, shares)):
        return math.nan
    if told is not None and 0.0 < told[0].time_to_brake_s < math.inf:
        shares.append(limits.hazard_s / told[0].time_to_brake_s)
    return max(shares)


def token_budget(left_s: float, pass_s: float, actions: int) -> int:
    """Reasoning tokens for which there is time, at one token a pass, with all actions behind them.

    `pass_s`: what one pass takes at worst, measured; where that is not plausible there is no budget.
    """
    if not (math.isfinite(left_s) and LEAST_PASS_S <= pass_s < math.inf):
        return 0
    return max(math.floor(left_s / pass_s) - actions - FIXED_PASSES, 0)


def time_left_s(due_ns: int, now_ns: int, limits: DepthLimits) -> float:
    """Until the next plan is due, less the margin."""
    return seconds(due_ns - now_ns) - limits.margin_s


def _noted(state: DepthState, demand: float, now_ns: int) -> DepthState:
    raised = (*state.raised, demand >= 1.0)[-RECENT:]
    lively_ns = now_ns if demand >= LEAVE_SHARE else state.lively_ns
    wants = state.wants and now_ns - lively_ns < nanoseconds(CALM_S)
    if sum(raised) >= RAISED_OF:
        wants = True
    return replace(state, raised=raised, wants=wants, lively_ns=lively_ns)
