"""Who speaks: one planner and one camera guard at a time, whose messages count upwards (10.2 F24)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.plan import SLOW, Heartbeat, Plan, PlanRejection
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.input_config import AuthorityLimits
from onboard_vla.safety.ladder import Request

IDENTITIES_MAX = 8
"""Process ids remembered per process; a launcher that restarts in a loop makes no more of them live."""
REPORTED_S = 1.0
"""How long a refused plan is reported."""

Moment = tuple[int, bool]
"""See `moment_of`."""


class Heard(Enum):
    """What a heartbeat is: the next of the same process, the first of another one, or nothing new."""

    NEXT = "next"
    RESTARTED = "restarted"
    OLD = "old"


@dataclass
class _Speaker:
    """One process of the graph as heard. `heard_ns`: when each of its identities was last heard, the present one last.

    `backwards_ns`: when the present identity counted backwards; `forwards_ns`: when it last counted forwards.
    """

    heard_ns: dict[int, int] = field(default_factory=dict)
    sequence: int = -1
    forwards_ns: int = 0
    backwards_ns: deque[int] = field(default_factory=deque)
    duplicate_ns: int | None = None


class AuthorityWatch:
    """Notices a second process under the same name, and plans that were said before."""

    def __init__(self, limits: AuthorityLimits, future_s: float) -> None:
        self._limits, self._future_s = limits, future_s
        self._speakers: dict[str, _Speaker] = {}
        self._newest: tuple[int, Moment] | None = None
        self._refused: list[tuple[int, Moment]] = []
        self._replayed: tuple[int, Reason] | None = None
        self._frozen_ids: list[int] = []

    def hear(self, beat: Heartbeat, now: Now) -> Heard:
        """A heartbeat has come, from whomever."""
        speaker = self._speakers.setdefault(beat.process, _Speaker())
        present = next(reversed(speaker.heard_ns), None)
        if present != beat.process_id:
            return self._change(speaker, present, beat, now)
        if beat.sequence > speaker.sequence:
            speaker.sequence, speaker.forwards_ns = beat.sequence, now.monotonic_ns
            speaker.heard_ns[beat.process_id] = now.monotonic_ns
            return Heard.NEXT
        return self._backwards(speaker, beat, now) if beat.sequence < speaker.sequence else Heard.OLD

    def accept_plan(self, plan: Plan | PlanRejection, now: Now) -> bool:
        """Whether a plan counts on from the one before it; one that does not is reported.

        Several refused ones in a row that count on from each other are a planner that began anew.
        """
        if seconds(plan.stamp_ns - now.stamp_ns) > self._future_s:
            return True  # the plan guard refuses it; its stamp must not stand in the way of others
        this = plan.plan_id, moment_of(plan)
        if self._newest is None or _after(this, self._newest):
            self._newest = this
            self._refused.clear()
            self._frozen_ids.clear()
            return True
        newest_id, (newest_stamp_ns, _) = self._newest
        behind_s = seconds(newest_stamp_ns - plan.stamp_ns)
        detail = f"plan id, expected above the newest; its stamp is {behind_s:.3f} s before the newest's"
        self._replayed = now.monotonic_ns, Reason("PLAN_REPLAYED", float(plan.plan_id), float(newest_id), detail)
        if plan.plan_id > max((newest_id, *self._frozen_ids)):
            self._frozen_ids.append(plan.plan_id)
            del self._frozen_ids[: -self._limits.frozen_plans]
        if self._refused and not _after(this, self._refused[-1]):
            self._refused.clear()
        self._refused.append(this)
        if len(self._refused) >= self._limits.backwards and plan.stamp_ns > newest_stamp_ns:
            self.forget_plans()
        return False

    def forget_plans(self) -> None:
        """The planner begins anew, or the data clock has stepped."""
        self._newest = None
        self._refused.clear()
        self._frozen_ids.clear()

    def requests(self, now: Now) -> list[Request]:
        """A duplicate L3 while it is heard and a while after; a replayed plan is reported.

        A planner whose plans count on while their pictures do not is alive and blind: L2 until a newer plan comes.
        """
        requests = []
        for process, speaker in self._speakers.items():
            held_ns = nanoseconds(self._limits.hold_s)
            if speaker.duplicate_ns is not None and now.monotonic_ns - speaker.duplicate_ns <= held_ns:
                reason = Reason("DUPLICATE_AUTHORITY", 2.0, 1.0, f"processes that speak as {process}")
                requests.append(Request(Mode.IN_LANE_STOP, reason))
        if self._replayed is not None and seconds(now.monotonic_ns - self._replayed[0]) <= REPORTED_S:
            requests.append(Request(Mode.NOMINAL, self._replayed[1]))
        frozen, most = len(self._frozen_ids), self._limits.frozen_plans
        if frozen >= most:
            reason = Reason("PLANS_FROZEN", float(frozen), float(most), "new plans in a row on pictures of before")
            requests.append(Request(Mode.FALLBACK, reason))
        return requests

    def _change(self, speaker: _Speaker, present: int | None, beat: Heartbeat, now: Now) -> Heard:
        """Another identity than the present one: a restart, unless both have been heard just now, in turn."""
        before_ns = speaker.heard_ns.pop(beat.process_id, None)
        if before_ns is not None and present is not None:
            silent_ns = now.monotonic_ns - min(before_ns, speaker.heard_ns[present])
            if silent_ns <= nanoseconds(self._limits.window_s):
                speaker.duplicate_ns = now.monotonic_ns
        while len(speaker.heard_ns) >= IDENTITIES_MAX:
            del speaker.heard_ns[next(iter(speaker.heard_ns))]
        speaker.heard_ns[beat.process_id] = now.monotonic_ns
        self._begin(speaker, beat, now)
        return Heard.RESTARTED

    def _backwards(self, speaker: _Speaker, beat: Heartbeat, now: Now) -> Heard:
        """The same identity counts backwards: once, a stray message.

        Again and again it is a restart under the same process id (a container's) if nobody counts on from before, else
        two processes on two hosts.
        """
        times = speaker.backwards_ns
        times.append(now.monotonic_ns)
        while now.monotonic_ns - times[0] > nanoseconds(self._limits.window_s):
            times.popleft()
        if len(times) < self._limits.backwards:
            return Heard.OLD
        if speaker.forwards_ns > times[0]:
            speaker.duplicate_ns = now.monotonic_ns
            times.popleft()
            return Heard.OLD
        self._begin(speaker, beat, now)
        return Heard.RESTARTED

    @staticmethod
    def _begin(speaker: _Speaker, beat: Heartbeat, now: Now) -> None:
        speaker.sequence, speaker.forwards_ns = beat.sequence, now.monotonic_ns
        speaker.backwards_ns.clear()


def moment_of(plan: Plan | PlanRejection) -> Moment:
    """What orders plans: their stamp, and of one stamp the slow one comes after the fast one."""
    return plan.stamp_ns, isinstance(plan, Plan) and plan.depth == SLOW


def _after(this: tuple[int, Moment], other: tuple[int, Moment]) -> bool:
    """Whether plan id and moment have both risen."""
    return this[0] > other[0] and this[1] > other[1]
