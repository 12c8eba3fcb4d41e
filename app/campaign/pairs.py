"""F29: two faults at once. Asked is what the worse of the two asks alone, and a tick."""

from __future__ import annotations

import dataclasses
import itertools

from onboard_vla.app.campaign.fault_case import ADVISORY, REACH, REFUSE, FaultCase
from onboard_vla.app.campaign.table import CASES
from onboard_vla.app.campaign.tamper import Tamper

PAIRED = tuple(f"F{number}" for number in range(1, 21))
"""All pairs of these: 190."""
TICK_MS = 20.0
JOIN = " + "


def representative(fault: str) -> FaultCase:
    """The variant that stands for a fault in pairs: the first that asks for a reaction, else the first."""
    mine = [case for case in CASES if case.fault == fault]
    return next((case for case in mine if case.asks == REACH), mine[0])


def pairs() -> list[tuple[FaultCase, FaultCase]]:
    """Every pair of two different faults."""
    chosen = [representative(fault) for fault in PAIRED]
    return list(itertools.combinations(chosen, 2))


def pair_case(first: FaultCase, second: FaultCase) -> FaultCase:
    """What is asked of a pair. Without a reaction asked for by either, only that no harm comes of it."""
    asking = [case for case in (first, second) if case.asks == REACH]
    mode = max((case.mode for case in asking), default=min(first.mode, second.mode))
    limit_ms = max((case.limit_ms for case in asking if case.mode == mode), default=0.0) + TICK_MS
    return FaultCase(
        fault="F29",
        variant=first.key + JOIN + second.key,
        danger=ADVISORY,
        tamper=Tamper(),
        asks=REACH if asking else REFUSE,
        mode=mode,
        limit_ms=limit_ms,
        names=first.names + second.names,
        provider="the ladder: the highest request counts",
        outright=first.outright or second.outright,
    )


def asked_of(first: FaultCase, second: FaultCase, shown: tuple[bool, bool]) -> tuple[FaultCase, tuple[bool, bool]]:
    """What to judge a pair by, and whose first effect the limit counts from.

    `shown`: which of the two had an effect. A fault that the other kept from showing (no plan to spoil, say) asks for
    nothing: then the other is judged alone.
    """
    if shown[0] != shown[1]:
        alone = first if shown[0] else second
        return dataclasses.replace(alone, limit_ms=alone.limit_ms + TICK_MS), shown
    case = pair_case(first, second)
    return case, decisive(first, second) if case.asks == REACH else (True, True)


def decisive(first: FaultCase, second: FaultCase) -> tuple[bool, bool]:
    """Which of the two asks for the mode that the pair must reach: the limit counts from its first effect."""
    mode = pair_case(first, second).mode
    return tuple(case.asks == REACH and case.mode == mode for case in (first, second))  # type: ignore[return-value]
