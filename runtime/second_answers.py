"""Slow answers behind fast ones: begun as the depth policy says, given up within one token, and counted.

A second answer is about the same pictures as the fast plan before it, has a higher plan id, and comes before the next
fast plan or not at all; the supervisor holds the two against each other (`safety/guards/second_opinion.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from onboard_vla.core.clock import Now
from onboard_vla.core.errors import EngineError
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.process import Clock
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.answer_grammar import CANCELLED
from onboard_vla.runtime.depth_policy import (
    DepthLimits,
    DepthState,
    Scores,
    decide,
    forbidden_by,
    time_left_s,
    token_budget,
)
from onboard_vla.runtime.pass_times import PassTimes

ANSWERED, ABANDONED, REFUSED = "answered", "abandoned", "refused"


class AnswersFurther(Protocol):
    """What this needs of a planner."""

    def plan_further(
        self, first: Plan, plan_id: int, most_reasoning: int, cancelled: Callable[[], bool]
    ) -> Plan | PlanRejection:
        """Answer slowly on the pictures of the fast plan just made."""


class SecondAnswers:
    """The depth policy `adaptive` beside one planner; not thread-safe but for `observe`.

    Args:
        planner: makes both answers.
        limits: of the policy.
        pass_s: what a pass takes; measured on the last answers, the worst of them, where it is not given.
    """

    def __init__(self, planner: AnswersFurther, limits: DepthLimits, pass_s: float | None = None) -> None:
        self._planner, self._limits, self._times = planner, limits, PassTimes(pass_s)
        self._state = DepthState()
        self._told: tuple[Supervision, int] | None = None
        self.counts: Counter[str] = Counter()
        self.reason = ""
        """Why the newest fast plan was, or was not, followed by thinking."""

    def observe(self, told: Supervision, now: Now) -> None:
        """The supervisor has spoken."""
        self._told = told, now.monotonic_ns

    def room(self, first: Plan, due_ns: int, now: Now) -> int:
        """Reasoning tokens to spend behind a fast plan, 0 for none; `due_ns`: when the next is due, monotonic."""
        self._times.note(first)
        left_s = time_left_s(due_ns, now.monotonic_ns, self._limits)
        tokens = token_budget(left_s, self._times.pass_s, len(first.action_tokens))
        told, doubt = self._told, first.uncertainty
        scores = Scores(first.slow_probability, float(doubt.spread_m.max()), float(doubt.second_mass.max()))
        self._state, decision = decide(self._state, scores, told, tokens, now.monotonic_ns, self._limits)
        self.reason = decision.reason
        return decision.tokens

    def answer(self, first: Plan, plan_id: int, tokens: int, clock: Clock, needed: Callable[[], bool]) -> Plan | None:
        """The slow answer; none where it was given up or refused. Both are counted, nobody else is told.

        `needed`: asked before every token, whether the engine is wanted for something else.
        """

        def cancelled() -> bool:
            return needed() or bool(forbidden_by(self._told, clock().monotonic_ns))

        try:
            result = self._planner.plan_further(first, plan_id, tokens, cancelled)
        except EngineError as error:  # the fast plan stands; what the engine is worth shows with the next one
            result = PlanRejection(plan_id, first.stamp_ns, "engine_failed", str(error))
        if isinstance(result, Plan) and not cancelled():
            self.counts[ANSWERED] += 1
            self._times.note(result)
            return result
        given_up = isinstance(result, Plan) or result.code == CANCELLED
        self.counts[ABANDONED if given_up else REFUSED] += 1
        return None

    @property
    def summary(self) -> str:
        """What became of them, and what was decided last."""
        counted = ", ".join(f"{self.counts[word]} {word}" for word in (ANSWERED, ABANDONED, REFUSED))
        return f"second answers: {counted}; last plan: {self.reason or 'none yet'}"
