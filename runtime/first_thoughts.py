"""Whether a plan's only answer may be a slow one: the same leave, budget and cancelling as second answers have.

For the depth policies that think before they act (`always_slow`, `model`). Reasoning before acting is a contract
algorithm: interrupted, it yields nothing. So what is given up is followed by a fast plan of the same pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from onboard_vla.core.clock import nanoseconds, seconds, system_now
from onboard_vla.core.plan import SLOW, Plan
from onboard_vla.core.process import Clock
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.depth_policy import NO_TIME, THINK, DepthLimits, forbidden_by, time_left_s, token_budget
from onboard_vla.runtime.pass_times import PassTimes

CLOSING_PASSES = 1
"""What the end of a text costs before the actions."""


class FirstThoughts:
    """Leave to think before acting, beside one planner.

    Args:
        limits: `least_tokens` and `margin_s` count; scores do not, for the policy is not asked in doubt alone.
        actions: tokens of an answer.
        period_s: a plan is due by the end of it; with 0 there is never time to think.
        pass_s: what a pass takes; measured on the last answers, the worst of them, where it is not given.
    """

    def __init__(self, limits: DepthLimits, actions: int, period_s: float, pass_s: float | None = None) -> None:
        self._limits, self._actions, self.period_s = limits, actions, period_s
        self._times = PassTimes(pass_s)
        self._told: tuple[Supervision, int] | None = None
        self._clock: Clock = system_now
        self._needed: Callable[[], bool] = lambda: False
        self._begun_ns = self._due_ns = self._tokens = self._asked = 0
        """When the present answer was begun, when it is due, its budget, and how often it was asked whether to stop."""
        self.counts: Counter[str] = Counter()
        self.reason = ""
        """Why the newest plan might, or might not, think."""

    def attend(self, clock: Clock, needed: Callable[[], bool]) -> None:
        """`needed`: asked before every token, whether planning is to end or to rest."""
        self._clock, self._needed = clock, needed

    def observe(self, told: Supervision, monotonic_ns: int) -> None:
        """The supervisor has spoken."""
        self._told = told, monotonic_ns

    def room(self, begun_ns: int) -> int:
        """Reasoning tokens for a plan begun then, monotonic; 0: it has to be fast."""
        if forbidden := forbidden_by(self._told, begun_ns):
            self.reason = forbidden
            return 0
        self._begun_ns, self._due_ns, self._asked = begun_ns, begun_ns + nanoseconds(self.period_s), 0
        left_s = time_left_s(self._due_ns, begun_ns, self._limits) - self._times.before_s
        self._tokens = tokens = token_budget(left_s, self._times.pass_s, self._actions)
        enough = tokens >= max(self._limits.least_tokens, 1)
        self.reason = THINK if enough else NO_TIME
        return tokens if enough else 0

    def cancelled(self) -> bool:
        """Whether to stop thinking now; asked once before every token."""
        told, now_ns = self._told, self._clock().monotonic_ns
        acted = max(self._asked - self._tokens, 0)  # at least: a text may have ended before its budget
        self._asked += 1
        passes = self._actions - acted if acted else self._actions + CLOSING_PASSES
        late = time_left_s(self._due_ns, now_ns, self._limits) < passes * self._times.pass_s
        return late or self.ending or bool(forbidden_by(told, now_ns))

    @property
    def ending(self) -> bool:
        """Whether not even a fast plan is wanted any more."""
        return self._needed()

    def note(self, plan: Plan) -> None:
        """A plan has been made."""
        self._times.note(plan)
        self.counts[plan.depth] += 1

    def given_up(self) -> float:
        """A slow answer was; how long it took until then, ms."""
        self.counts["given up"] += 1
        return seconds(self._clock().monotonic_ns - self._begun_ns) * 1e3

    @property
    def summary(self) -> str:
        """What became of plans, and what the last one was allowed."""
        counts = self.counts
        return f"slow plans: {counts[SLOW]}, {counts['given up']} given up; last plan: {self.reason or 'none yet'}"
