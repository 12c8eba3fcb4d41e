"""The plan's footprints against predicted independent objects: contact, time to crossing traffic, room to brake.

Contact is judged in the plan's own timing. Room to brake is judged behind the leads on the plan's path, in three ways:
the required deceleration with the lead braking (RSS-like), the deceleration rate to avoid a crash with the lead at
constant speed (DRAC), and the time to collision. Values: TIER IV's validator for learned planners, 2026.
"""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import box_corners, boxes_overlap
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.criticality import deceleration_to_avoid_crash_mps2, time_to_collision_s
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.forecast import SAMPLE_S, Forecast, first_overlap
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.placed_plan import Array, PlacedPlan

MOVING_MPS = 0.5
"""Slower than this, the vehicle needs no room in front of it: it stands in a queue."""
CROSSING_MPS = 1.0
"""Slower objects cross nothing."""
CROSSING_SINE = 0.5
"""Paths that meet at less than 30 degrees are followed or met head-on; contact and room to brake judge them."""
UNBOUNDED_MPS2 = 99.0
"""Reported where no room is left at all."""


def check_collision(poses: Array, seen: Forecast, vehicle: VehicleGeometry, limits: CollisionLimits) -> Reason | None:
    """Contact of the plan's `poses` (K, 3), at the forecast's first K times, with any object."""
    moved = np.hypot(*(poses[-1, :2] - poses[0, :2])) > MOVING_MPS * (len(poses) - 1) * SAMPLE_S
    hit = first_overlap(poses, seen, vehicle, limits.front_margin_m if moved else 0.0)
    if hit is None:
        return None
    return Reason("COLLISION", hit.time_s, limits.horizon_s, "time to overlap with a predicted object, s")


def check_encroachment(
    poses: Array, seen: Forecast, vehicle: VehicleGeometry, limits: CollisionLimits
) -> Reason | None:
    """Post-encroachment time: how long after the one the other is where their paths cross, bare footprints.

    The vehicle first, or the object first, each with its own limit. Both ends are seen up to one sample late, so one
    sample is taken off: the figure is within 0.1 s of the true one.
    """
    states = seen.objects.states
    if not len(states):
        return None
    times = seen.times_s[: len(poses)]
    spread = np.abs(np.sin(seen.headings[0][:, None] - poses[None, :, 2])).max(axis=1)
    chosen = np.flatnonzero((np.hypot(states[:, 3], states[:, 4]) > CROSSING_MPS) & (spread > CROSSING_SINE))
    if not len(chosen):
        return None
    heading = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
    centres = poses[:, :2] + vehicle.centre_offset_m * heading
    others, turns = seen.positions[: len(poses), chosen], seen.headings[: len(poses), chosen]
    gaps = others[None] - centres[:, None, None]
    sizes = np.hypot(vehicle.length_m, vehicle.width_m) / 2 + np.hypot(states[chosen, 5], states[chosen, 6]) / 2
    own, other, row = np.nonzero(gaps[..., 0] ** 2 + gaps[..., 1] ** 2 <= (sizes**2)[None, None])
    crossing = np.abs(np.sin(turns[other, row] - poses[own, 2])) > CROSSING_SINE
    own, other, row = own[crossing], other[crossing], row[crossing]
    if not len(own):
        return None
    boxes = box_corners(centres[own], poses[own, 2], vehicle.length_m, vehicle.width_m)
    theirs = box_corners(others[other, row], turns[other, row], states[chosen[row], 5], states[chosen[row], 6])
    hit = boxes_overlap(boxes, theirs)
    delay = times[other[hit]] - times[own[hit]]
    found = []
    for code, after, limit, who in (
        ("PET_BEFORE", delay[delay >= 0.0], limits.pet_ego_first_s, "vehicle leaves before an object comes, s"),
        ("PET_AFTER", -delay[delay < 0.0], limits.pet_object_first_s, "vehicle comes after an object leaves, s"),
    ):
        if not len(after):
            continue
        soonest = max(float(after.min()) - SAMPLE_S, 0.0)
        if soonest < limit - 1e-9:
            found.append(Reason(code, soonest, limit, who))
    return found[0] if found else None


def gate_deceleration(speed_mps: float, lead: Lead, limits: CollisionLimits) -> float:
    """TIER IV's form: v^2 / (2 (gap - 2.0 - 0.4 v + v_o^2 / (2 4))); infinite where no room is left."""
    if speed_mps <= max(lead.speed_mps, 0.0):
        return 0.0
    other = max(lead.speed_mps, 0.0) ** 2 / (2 * limits.other_brake_mps2)
    room = lead.gap_m - limits.gap_margin_m - limits.delay_s * speed_mps + other
    return speed_mps**2 / (2 * room) if room > 0.0 else math.inf


def check_room(
    placed: PlacedPlan, motion: Motion, leads: list[Lead], stamp_ns: int, limits: CollisionLimits
) -> list[Reason]:
    """Room to brake behind the leads on the plan's path that the vehicle comes nearer to; contact is judged apart.

    A plan that already brakes half as hard as required passes, but for the deceleration that is called fatal.
    """
    speed = motion.speed_mps
    leads = [lead for lead in leads if not lead.speed_mps >= speed]
    if not leads:
        return []
    age_s = seconds(stamp_ns - placed.stamp_ns)
    braking = placed.speed_at(age_s) - placed.speed_at(age_s + 1.0)
    required = max(gate_deceleration(speed, lead, limits) for lead in leads)
    gaps, speeds = np.array([lead.gap_m for lead in leads]), np.array([lead.speed_mps for lead in leads])
    later = gaps - limits.delay_s * (speed - speeds)
    worst = float(deceleration_to_avoid_crash_mps2(later, speed, speeds).max())
    soonest = float(time_to_collision_s(gaps, speed, speeds).min())
    found = []
    if not required <= limits.a_req_mps2 and braking < min(required, limits.drac_fatal_mps2) / 2:
        detail = "behind an object on the plan's path"
        found.append(Reason("REQUIRED_DECELERATION", min(required, UNBOUNDED_MPS2), limits.a_req_mps2, detail))
    if not worst <= limits.drac_fatal_mps2:
        detail = "to an object at constant speed: no plan may need it"
        found.append(Reason("DRAC_FATAL", min(worst, UNBOUNDED_MPS2), limits.drac_fatal_mps2, detail))
    elif worst > limits.drac_danger_mps2 and braking < worst / 2:
        detail = "to an object at constant speed, which the plan does not brake for"
        found.append(Reason("DRAC", worst, limits.drac_danger_mps2, detail))
    elif soonest < limits.ttc_s and worst > limits.drac_safe_mps2 and braking < worst / 2:
        found.append(Reason("TTC", soonest, limits.ttc_s, "s to an object which the plan does not brake for"))
    return found
