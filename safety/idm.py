"""The intelligent driver model and the emergency brake overlay, on plain floats (safety basis 2.1 and 2.4)."""

from __future__ import annotations

import math
from typing import NamedTuple

from onboard_vla.safety.config import IdmSettings


class Lead(NamedTuple):
    """Something ahead on the path: distance from the vehicle's front to its rear, and its speed along the path."""

    gap_m: float
    speed_mps: float


def free_acceleration(speed_mps: float, wanted_mps: float, idm: IdmSettings, over_speed_mps2: float) -> float:
    """The free-road term; slowing to a lower wanted speed is bounded by `over_speed_mps2`."""
    if wanted_mps <= 0.0:
        return -over_speed_mps2
    ratio = min(speed_mps / wanted_mps, 10.0)
    return max(idm.acceleration_mps2 * float(1.0 - ratio**idm.exponent), -over_speed_mps2)


def following_acceleration(speed_mps: float, wanted_mps: float, lead: Lead, idm: IdmSettings) -> float:
    """IDM behind one lead, clipped to [-clip, a]. A gap of zero or less is contact, never a small gap: full braking.

    Behind a lead that appears late, IDM first brakes harder than the distance asks for; so it brakes no harder than
    comfort, or than it takes to stop at the standstill gap behind a lead that brakes hard itself.
    """
    if lead.gap_m <= 0.0:
        return -idm.clip_mps2
    closing = speed_mps - lead.speed_mps
    dynamic = speed_mps * idm.time_gap_s + speed_mps * closing / (
        2 * math.sqrt(idm.acceleration_mps2 * idm.comfort_mps2)
    )
    ratio = min((idm.standstill_gap_m + max(dynamic, 0.0)) / lead.gap_m, 100.0)
    free = min(speed_mps / wanted_mps, 1.0) ** idm.exponent if wanted_mps > 0.0 else 1.0
    wanted = float(idm.acceleration_mps2 * (1.0 - free - ratio**2))
    enough = max(idm.comfort_mps2, stop_behind(speed_mps, lead, idm.standstill_gap_m, idm.lead_brake_mps2))
    return min(max(wanted, -enough, -idm.clip_mps2), idm.acceleration_mps2)


def required_deceleration(speed_mps: float, lead: Lead, idm: IdmSettings) -> float:
    """a_req of 2.4: what it takes to stop just behind a lead that brakes hard itself."""
    return stop_behind(speed_mps, lead, idm.brake_gap_m, idm.lead_brake_mps2)


def stop_behind(speed_mps: float, lead: Lead, margin_m: float, lead_brake_mps2: float) -> float:
    """Constant deceleration that stops `margin_m` behind a lead that brakes now; infinite where no room is left."""
    if speed_mps <= 0.0:
        return 0.0
    room = lead.gap_m - margin_m + max(lead.speed_mps, 0.0) ** 2 / (2 * lead_brake_mps2)
    return speed_mps**2 / (2 * room) if room > 0.0 else math.inf


def closing_deceleration(speed_mps: float, lead: Lead, idm: IdmSettings) -> float:
    """What it takes to come down to the lead's own speed in the room that is left; infinite where there is none.

    For one that comes towards the vehicle: to stop; more than that braking cannot do.
    """
    if speed_mps <= lead.speed_mps:
        return 0.0
    room = lead.gap_m - idm.brake_gap_m
    return (speed_mps - max(lead.speed_mps, 0.0)) ** 2 / (2 * room) if room > 0.0 else math.inf


def emergency_brake(speed_mps: float, lead: Lead, idm: IdmSettings) -> float | None:
    """The overlay's acceleration (negative), or None while it has nothing to say."""
    if speed_mps <= lead.speed_mps or speed_mps <= 0.0:
        return None
    required = required_deceleration(speed_mps, lead, idm)
    if required <= idm.brake_start_mps2:
        return None
    return -min(idm.brake_gain * required, idm.clip_mps2)
