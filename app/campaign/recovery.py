"""After the fault: the vehicle comes back by itself within a time, or stays stopped where the ladder demands it.

The situation is the other one: a road user ahead who slows a little and drives on, so that there is something to come
back to. The fault stays for three seconds.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onboard_vla.app.campaign.episode import MONITOR_ON, Course, Published, StartKey, Stream, drive_on, kept_start
from onboard_vla.app.campaign.fault_case import FaultCase
from onboard_vla.app.campaign.outcome import CRASH, HANG, SWERVED, broken, first_harm, swerves
from onboard_vla.app.campaign.pairs import representative
from onboard_vla.app.campaign.situation import SPEEDS_MPS
from onboard_vla.app.campaign.statistics import Times, times_of
from onboard_vla.app.campaign.table import BY_KEY, CASES
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS
from onboard_vla.core.safe_trajectory import Engagement, Mode

FAULT_NS = 3 * SECOND_NS
RETURN_NS = 10 * SECOND_NS
"""From the fault's end to L1 or L0, at most: the catalogue's F1 asks for recovery after 10 s clean. It is made of 3 s
in which the front camera must be clean, 3 s where nobody asks for L2, a plan's cycle, and two planners' agreement."""
SETTLED_NS = SECOND_NS
"""Back for so long is back."""
COURSE = Course(watched_ns=FAULT_NS + RETURN_NS + SECOND_NS, fault_ns=FAULT_NS, lead_brakes=False)
RETURNED, STAYED, LATE_RETURN, NEEDLESS, LEFT, NO_STOP, HARMED, NO_EFFECT = (
    "returned",
    "stayed stopped",
    "late",
    "stopped needlessly",
    "left the stop",
    "no stop",
    "harm",
    "no effect",
)
RECOVERIES = (RETURNED, STAYED, LATE_RETURN, NEEDLESS, LEFT, NO_STOP, HARMED, SWERVED, CRASH, HANG, NO_EFFECT)
"""The first two are what is asked for. Late: not back in time. Needless: a stop that only an operator ends, though the
fault asks for none. Left: a stop was begun, and ended without an operator. No stop: one was asked for."""
GOOD_RECOVERIES = (RETURNED, STAYED)


@dataclass(frozen=True)
class RecoveryJob:
    """One fault that ends."""

    case: str
    speed_mps: float
    start: int

    @property
    def key(self) -> str:
        """Name under which a result is kept and found again."""
        return f"recovery|{self.case}|{self.speed_mps:g}|{self.start}"


@dataclass(frozen=True)
class RecoveryResult:
    """What became of it. Times in ms from the fault's end to the mode that then stays; None: never.

    `highest`: the most restrictive mode since the fault began to show.
    """

    key: str
    fault: str
    variant: str
    speed_mps: float
    stops: bool
    outcome: str
    harm: str
    return_ms: float | None
    highest: int
    modes: tuple[tuple[float, int], ...]
    """Every change of the published mode: (ms since the fault's end, mode)."""

    def line(self) -> str:
        """As one line of a results file."""
        return json.dumps({"recovery": dataclasses.asdict(self)}, separators=(",", ":"))

    @staticmethod
    def of_content(content: dict[str, Any]) -> RecoveryResult:
        """Read a line's content back."""
        return RecoveryResult(**{**content, "modes": tuple((at, mode) for at, mode in content["modes"])})


@dataclass(frozen=True)
class RecoveryRow:
    """A variant added up. `times`: to L1 or L0, of those that came back."""

    fault: str
    variant: str
    stops: bool
    episodes: int
    outcomes: dict[str, int]
    times: Times | None


def recovery_jobs(faults: Sequence[str] = (), *, quick: bool) -> list[RecoveryJob]:
    """Quick: one variant of every fault; else every variant at every speed."""
    asked = [case for case in CASES if not faults or case.fault in faults]
    if quick:
        chosen = [representative(fault) for fault in dict.fromkeys(case.fault for case in asked)]
        return [RecoveryJob(case.key, SPEEDS_MPS[k % len(SPEEDS_MPS)], 0) for k, case in enumerate(chosen)]
    return [RecoveryJob(case.key, speed, 0) for speed in SPEEDS_MPS for case in asked]


def run_recovery(job: RecoveryJob) -> RecoveryResult:
    """Drive one and judge it."""
    case = BY_KEY[job.case]
    start = kept_start(StartKey(job.speed_mps, job.start + 1, MONITOR_ON, case.sensor))
    seed = zlib.crc32(job.key.encode())
    stream, (injection,) = drive_on(start, [case.tamper], seed, COURSE, None if case.stops else _is_back)
    end_ns = injection.end_ns
    outcome, return_ms = judge_recovery(case, stream, injection.first_effect_ns, end_ns)
    since_ns = injection.first_effect_ns or injection.memory.onset_ns
    after = [item for item in stream.published if item.received_ns >= since_ns]
    harm = first_harm(stream.harms, since_ns)
    changes = [after[0], *(b for a, b in itertools.pairwise(after) if a.mode != b.mode)]
    return RecoveryResult(
        key=job.key,
        fault=case.fault,
        variant=case.variant,
        speed_mps=job.speed_mps,
        stops=case.stops,
        outcome=outcome,
        harm="" if harm is None else f"{harm.kind}: {harm.detail}",
        return_ms=return_ms,
        highest=max(item.mode for item in after),
        modes=tuple(((item.received_ns - end_ns) / MILLISECOND_NS, item.mode) for item in changes),
    )


def judge_recovery(case: FaultCase, stream: Stream, effect_ns: int | None, end_ns: int) -> tuple[str, float | None]:
    """Outcome, and ms from the fault's end until L1 or L0 for good."""
    if effect_ns is None:
        return NO_EFFECT, None
    failed = broken(case, stream, effect_ns)
    if failed is not None:
        return failed, None
    if first_harm(stream.harms, effect_ns) is not None:
        return HARMED, None
    if swerves(case, stream, effect_ns):
        return SWERVED, None
    after = [item for item in stream.published if item.received_ns >= effect_ns]
    stopping = [_stops(item) for item in after]
    if case.stops:
        if True not in stopping:
            return NO_STOP, None
        return (STAYED if all(stopping[stopping.index(True) :]) else LEFT), None
    if True in stopping:
        return NEEDLESS, None
    back = list(itertools.takewhile(lambda item: item.mode <= Mode.REDUCED, reversed(after)))
    if not back or back[-1].received_ns - end_ns > RETURN_NS:
        return LATE_RETURN, None
    return RETURNED, max(back[-1].received_ns - end_ns, 0) / MILLISECOND_NS


def recovery_rows(results: Sequence[RecoveryResult]) -> list[RecoveryRow]:
    """One row a variant, in the table's order."""
    rows = []
    for case in CASES:
        mine = [r for r in results if (r.fault, r.variant) == (case.fault, case.variant)]
        if mine:
            outcomes = {word: sum(r.outcome == word for r in mine) for word in RECOVERIES}
            counted = {word: count for word, count in outcomes.items() if count}
            times = times_of([r.return_ms for r in mine])
            rows.append(RecoveryRow(case.fault, case.variant, case.stops, len(mine), counted, times))
    return rows


def _stops(item: Published) -> bool:
    return item.mode >= Mode.IN_LANE_STOP or item.engagement == Engagement.LATCHED.value


def _is_back(stream: Stream, end_ns: int) -> bool:
    """Whether the model has driven for a second since the fault's end; the newest entries are looked at first."""
    newest_ns = stream.published[-1].received_ns
    if newest_ns - end_ns < SETTLED_NS:
        return False
    recent = itertools.takewhile(lambda item: item.received_ns > newest_ns - SETTLED_NS, reversed(stream.published))
    return all(item.mode <= Mode.REDUCED for item in recent)
