"""How old a plan may be: A_max(v) = min(1.5 s, (L - d_stop,L4(v) - 2 m) / v) (safety basis 7, item 6)."""

from __future__ import annotations

from onboard_vla.core.clock import seconds
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import StalenessLimits, StopSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.longitudinal import stop_distance
from onboard_vla.safety.placed_plan import PlacedPlan

SLOW_MPS = 0.5
"""Below this speed the quotient says nothing: the vehicle stands within centimetres."""


def age_limit(placed: PlacedPlan, motion: Motion, limits: StalenessLimits, stop: StopSettings) -> float:
    """A_max in seconds for this plan at the present speed; never negative.

    A plan that ends at standstill contains its own stop and needs no length beyond it.
    """
    speed = max(motion.speed_mps, 0.0)
    if speed < SLOW_MPS or placed.end_speed_mps <= limits.stopping_plan_mps:
        return limits.age_max_s
    braking = stop_distance(speed, motion.acceleration_mps2, stop.emergency_mps2, stop.emergency_jerk_mps3)
    return min(limits.age_max_s, max((placed.length_m - braking - limits.margin_m) / speed, 0.0))


def check_age(
    placed: PlacedPlan, motion: Motion, stamp_ns: int, limits: StalenessLimits, stop: StopSettings
) -> Reason | None:
    """The plan's data age (from its oldest picture) against A_max; None while it is young enough."""
    age = seconds(stamp_ns - placed.plan.oldest_frame_stamp_ns)
    highest = age_limit(placed, motion, limits, stop)
    if age <= highest:
        return None
    return Reason("PLAN_STALE", age, highest, f"plan {placed.plan.plan_id}: age of its oldest picture")
