"""What one injection on real processes amounted to."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any


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
