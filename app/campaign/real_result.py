"""What one injection on real processes amounted to."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onboard_vla.app.campaign.statistics import Times, times_of


@dataclass(frozen=True)
class RealResult:
    """Times in ms, from the signal to the arrival at the vehicle's end of the link; None: never.

    `lateness_ms`: how late this rig's own 20 ms loop ran at worst around the injection; a rig that was late itself has
    measured the machine. `gap_ms`: longest silence of the published stream. `inconclusive`: see there.
    """

    key: str
    fault: str
    variant: str
    transport: str
    number: int
    limit_ms: float
    handling_ms: float | None
    highest: int
    gap_ms: float
    gate_stopped_ms: float | None
    latched_on_return: bool | None
    lateness_ms: float
    outcome: str
    inconclusive: bool
    detail: str

    def line(self) -> str:
        """As one line of a results file."""
        return json.dumps({"real": dataclasses.asdict(self)}, separators=(",", ":"))

    @staticmethod
    def of_content(content: dict[str, Any]) -> RealResult:
        """Read a line's content back."""
        return RealResult(**content)


@dataclass(frozen=True)
class RealRow:
    """One way of injecting, over one transport. `handling`: over all that were conclusive."""

    fault: str
    variant: str
    transport: str
    injections: int
    inconclusive: int
    outcomes: dict[str, int]
    handling: Times | None
    limit_ms: float
    longest_gap_ms: float


def real_rows(results: Sequence[RealResult]) -> list[RealRow]:
    """In the order of the faults' names. Outcomes and times count what was conclusive."""
    rows = []
    for fault, variant, transport in sorted({(r.fault, r.variant, r.transport) for r in results}):
        mine = [r for r in results if (r.fault, r.variant, r.transport) == (fault, variant, transport)]
        told = [r for r in mine if not r.inconclusive]
        rows.append(
            RealRow(
                fault=fault,
                variant=variant,
                transport=transport,
                injections=len(mine),
                inconclusive=len(mine) - len(told),
                outcomes=dict(Counter(r.outcome for r in told)),
                handling=times_of([r.handling_ms for r in told]),
                limit_ms=max(r.limit_ms for r in mine),
                longest_gap_ms=max((r.gap_ms for r in told), default=0.0),
            )
        )
    return rows
