"""What the supervisor tells the planner: whether there is time to think."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.safe_trajectory import Mode


@dataclass(frozen=True)
class Supervision:
    """At `stamp_ns`: the ladder's mode, and how long full braking may still wait (`SafetyIndicators`).

    `time_to_brake_s`: infinite where nobody is ahead; NaN where it is not known. `config_hash`: SHA-256 (hex) over
    the settings that the mode was decided with.
    """

    stamp_ns: int
    mode: Mode
    time_to_brake_s: float
    config_hash: str
