"""The plan's footprints against predicted independent objects, and the room left to brake."""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline, box_corners, boxes_overlap
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.placed_plan import Array, PlacedPlan
from onboard_vla.safety.prediction import predict

SAMPLE_S = 0.1
"""Time between checked footprints."""
MOVING_MPS = 0.5
"""Slower than this, the vehicle needs no room in front of it: it stands in a queue."""


def first_overlap(
    poses: Array,
    times_s: Array,
    objects: ObjectSet,
    vehicle: VehicleGeometry,
    limits: CollisionLimits,
    lane: Polyline | None = None,
) -> tuple[float, int] | None:
    """Time of the first overlap and the object's row, or None. `poses` (T, 3) at `times_s` (T,); `objects` at time 0.

    The footprint grows to the sides (more for vulnerable road users) and, while moving, to the front. Objects that
    first touch the vehicle's rear half, and faster than it, are not the plan's fault and are left out.
    """
    if not len(objects.states):
        return None
    states = objects.states
    moved = np.hypot(*(poses[-1, :2] - poses[0, :2])) > MOVING_MPS * (times_s[-1] - times_s[0])
    nose = limits.front_margin_m if moved else 0.0
    heading = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
    length = vehicle.length_m + nose
    centres = poses[:, :2] + (vehicle.centre_offset_m + nose / 2) * heading
    others, turns, velocities = predict(objects, times_s, lane)
    margin = np.where(objects.vulnerable, limits.vulnerable_margin_m, limits.lateral_margin_m)
    reach = math.hypot(length, vehicle.width_m) / 2 + margin + np.hypot(states[:, 5], states[:, 6]) / 2
    gaps = others - centres[:, None]
    near_t, near_o = np.nonzero(gaps[..., 0] ** 2 + gaps[..., 1] ** 2 <= reach[None] ** 2)
    if not len(near_t):
        return None
    width = vehicle.width_m + 2 * margin[near_o]
    own = box_corners(centres[near_t], poses[near_t, 2], np.full(len(near_t), length), width)
    boxes = box_corners(others[near_t, near_o], turns[near_t, near_o], states[near_o, 5], states[near_o, 6])
    hit = boxes_overlap(own, boxes)
    ahead = np.einsum("ij,ij->i", others[near_t, near_o] - centres[near_t], heading[near_t])
    own_speed = np.einsum("ij,ij->i", np.gradient(poses[:, :2], times_s, axis=0), heading)[near_t]
    their_speed = np.einsum("ij,ij->i", velocities[near_t, near_o], heading[near_t])
    from_behind = (ahead < 0.0) & (their_speed > own_speed)
    # Rows are in order of time: an object's first overlap decides whether it ran into the vehicle.
    first_rows: dict[int, int] = {}
    for row in np.flatnonzero(hit).tolist():
        first_rows.setdefault(int(near_o[row]), row)
    rows = [row for row in first_rows.values() if not from_behind[row]]
    if not rows:
        return None
    return float(times_s[near_t[rows[0]]]), int(near_o[rows[0]])


def check_collision(
    placed: PlacedPlan,
    objects: ObjectSet,
    stamp_ns: int,
    vehicle: VehicleGeometry,
    limits: CollisionLimits,
    lane: Polyline | None = None,
) -> Reason | None:
    """The plan from `stamp_ns` on, in its own timing, against `objects`; `lane`: the ego lane's centreline."""
    times = np.arange(0.0, limits.horizon_s + 1e-9, SAMPLE_S)
    poses = placed.pose_at(times + seconds(stamp_ns - placed.stamp_ns))
    hit = first_overlap(poses, times, objects.at(stamp_ns), vehicle, limits, lane)
    if hit is None:
        return None
    return Reason("COLLISION", hit[0], limits.horizon_s, "time to overlap with a predicted object, s")


def gate_deceleration(speed_mps: float, lead: Lead, limits: CollisionLimits) -> float:
    """TIER IV's form (2.5 ii): v^2 / (2 (gap - 2.0 - 0.4 v + v_o^2 / (2 4))); infinite where no room is left."""
    if speed_mps <= max(lead.speed_mps, 0.0):
        return 0.0
    other = max(lead.speed_mps, 0.0) ** 2 / (2 * limits.other_brake_mps2)
    room = lead.gap_m - limits.gap_margin_m - limits.delay_s * speed_mps + other
    return speed_mps**2 / (2 * room) if room > 0.0 else math.inf


def check_room(
    placed: PlacedPlan, motion: Motion, leads: list[Lead], stamp_ns: int, limits: CollisionLimits
) -> Reason | None:
    """Required deceleration behind the leads on the plan's path; a plan that already brakes half as hard may pass."""
    age_s = seconds(stamp_ns - placed.stamp_ns)
    braking = (placed.speed_at(age_s) - placed.speed_at(age_s + 1.0)) / 1.0
    required = max((gate_deceleration(motion.speed_mps, lead, limits) for lead in leads), default=0.0)
    if required <= limits.a_req_mps2 or braking >= min(required, 6.0) / 2:
        return None
    return Reason(
        "REQUIRED_DECELERATION", min(required, 99.0), limits.a_req_mps2, "behind an object on the plan's path"
    )
