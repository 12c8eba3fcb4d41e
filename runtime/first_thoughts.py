"""Whether a plan's only answer may be a slow one: the same leave and budget as second answers have.

For the depth policies that think before they act (`always_slow`, `model`). Reasoning before acting is a contract
algorithm: interrupted, it yields nothing, and actions behind half a text are nobody's (docs/depth.md). So an answer
whose text has no more time, or no more leave, is taken back to the fork and is the fast one of the same pictures.
Actions once begun are never given up for lateness: nothing would come sooner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from statistics import median_low

from onboard_vla.core.clock import nanoseconds, seconds, system_now
from onboard_vla.core.plan import SLOW, Plan
from onboard_vla.core.process import Clock
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.depth_policy import NO_TIME, THINK, DepthLimits, forbidden_by, time_left_s, token_budget
from onboard_vla.runtime.pass_times import PassTimes

MORE_PASSES = 1
"""What one token more costs, beside the actions; the pass of the fast prefix has the logits of the first one."""


class FirstThoughts:
    """Leave to think before acting, beside one planner.

    Args:
        limits: `least_tokens` and `margin_s` count; scores do not, for the policy is not asked in doubt alone.
        actions: tokens of an answer.
        period_s: a plan is due by the end of it; with 0 there is never time to think.
    """

    def __init__(self, limits: DepthLimits, actions: int, period_s: float) -> None:
        self._limits, self._actions, self.period_s = limits, actions, period_s
        self._times = PassTimes()
        self._told: tuple[Supervision, int] | None = None
        self._clock: Clock = system_now
        self._needed: Callable[[], bool] = lambda: False
        self._due_ns = 0
        self._asked_ns: list[int] = []
        """Before which passes of the present text it was asked whether there is time, monotonic."""
        self.counts: Counter[str] = Counter()
        self.reason = ""
        """Why the newest plan might, or might not, think or think on."""

    def attend(self, clock: Clock, needed: Callable[[], bool]) -> None:
        """`needed`: asked before every token, whether planning is to end or to rest."""
        self._clock, self._needed = clock, needed

    def observe(self, told: Supervision, monotonic_ns: int) -> None:
        """The supervisor has spoken."""
        self._told = told, monotonic_ns

    def may_begin(self, begun_ns: int) -> bool:
        """Whether a plan begun then, monotonic, may think; else it has to be fast."""
        self._due_ns = begun_ns + nanoseconds(self.period_s)
        self._asked_ns = []
        left_s = time_left_s(self._due_ns, begun_ns, self._limits) - self._times.before_s
        enough = token_budget(left_s, self._times.pass_s, self._actions) >= max(self._limits.least_tokens, 1)
        self.reason = forbidden_by(self._told, begun_ns) or (THINK if enough else NO_TIME)
        return self.reason == THINK

    def act_now(self, reasoning: bool) -> bool:
        """Whether the slow answer is to be the fast one after all: asked before every pass of it, until it is."""
        told, now_ns = self._told, self._clock().monotonic_ns
        stop = forbidden_by(told, now_ns) or (NO_TIME if reasoning and not self._time_for_more(now_ns) else "")
        if stop:
            self.reason = stop
            self.counts["given up"] += 1
        return bool(stop)

    def ending(self) -> bool:
        """Whether not even a fast plan is wanted any more."""
        return self._needed()

    def note(self, plan: Plan) -> None:
        """A plan has been made."""
        self._times.note(plan)
        self.counts[plan.depth] += 1

    @property
    def summary(self) -> str:
        """What became of plans, and what the last one was allowed."""
        counts = self.counts
        return f"slow plans: {counts[SLOW]}, {counts['given up']} given up; last plan: {self.reason or 'none yet'}"

    def _time_for_more(self, now_ns: int) -> bool:
        """Whether there is, to act by when the plan is due, for one token more.

        At the worst measured pace, or that of this text where it is slower: the median, so that one stall ends no text.
        """
        self._asked_ns.append(now_ns)
        pass_s = self._times.pass_s
        taken_s = [seconds(after - before) for before, after in pairwise(self._asked_ns)]
        needed_s = (self._actions + MORE_PASSES) * max(pass_s, median_low([pass_s, *taken_s]))
        return time_left_s(self._due_ns, now_ns, self._limits) >= needed_s
