"""How near the drive is to what must not happen: safety performance indicators, advisory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SafetyIndicators:
    """At `stamp_ns`, over the objects that perception confirmed; nobody brakes for them (see safety/indicators.py).

    `objects`: how many those are. Of who is ahead in the vehicle's corridor, the worst: `headway_s`,
    `time_to_collision_s` (own acceleration held, the other's speed held), `time_to_brake_s` (how long full braking may
    still wait; negative: too late), `required_deceleration_mps2`. Of who crosses: `encroachment_s`, the time between
    one's leaving and the other's entering the place where ways cross; negative: both in it. By responsibility-sensitive
    safety: `rss_margin_m`, least room beyond what it asks for, `rss_violations`, how many have less than that;
    `stop_margin_m`, distance to a red or amber signal less the one that it asks for to stop. Infinite (zero for the
    deceleration) where nobody is concerned; NaN where an input was no number, which counts as violated. `config_hash`:
    SHA-256 (hex) over the settings that this was measured with.
    """

    stamp_ns: int
    speed_mps: float
    objects: int
    headway_s: float
    time_to_collision_s: float
    time_to_brake_s: float
    required_deceleration_mps2: float
    encroachment_s: float
    rss_margin_m: float
    rss_violations: int
    stop_margin_m: float
    config_hash: str
