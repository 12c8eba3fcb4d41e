"""No at-fault collision (NC) and time to collision within bound (TTC): contacts, and whose fault they are.

Contact is overlap of the two rectangles, touching included. Who was in contact at the first instant is left out
throughout, and a contact that is not the vehicle's fault ends that road user's part. One difference from NAVSIM:
whether a road user stands is told from its speed at the instant of contact, not at its first instant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import boxes_overlap
from onboard_vla.core.scoring.motion import STEP_S, Motion
from onboard_vla.core.scoring.surroundings import Traffic
from onboard_vla.core.scoring.whereabouts import Whereabouts

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

EGO_STANDS_MPS, OTHER_STANDS_MPS = 5e-2, 5e-3
"""At most this fast counts as standing in a contact."""
PROJECTING_MPS = 5e-3
"""A slower vehicle has no time to collision."""
AHEAD_RAD, BEHIND_RAD = np.deg2rad(20.0), np.deg2rad(150.0)
"""Bearing of a road user's centre from the rear axle: within the first it is ahead, beyond the second behind."""
PROJECTED_STEPS = (0, 3, 6, 9)
"""The vehicle is projected straight on for 0, 0.3, 0.6 and 0.9 s."""
OBJECT_SHARE = 0.5
"""Score after hitting an object that is no agent."""


def no_at_fault_collision(
    motion: Motion, traffic: Traffic, where: Whereabouts, vehicle: VehicleGeometry
) -> tuple[float, float]:
    """NC, 1, 0.5 or 0, and the time in seconds of the first contact at fault (infinite if there is none)."""
    if not len(traffic.agents):
        return 1.0, np.inf
    own, others = motion.corners(vehicle), traffic.corners()[: len(motion)]
    touching = overlaps(own, others)
    bearing = bearings(motion, traffic.boxes[: len(motion), :, :2])
    done = touching[0].copy()
    score, first_s = 1.0, np.inf
    for t in np.flatnonzero(touching.any(axis=1)):
        for n in np.flatnonzero(touching[t] & ~done):
            if motion.speed_mps[t] <= EGO_STANDS_MPS:
                at_fault = False
            elif not traffic.agents[n] or traffic.speed_mps[t, n] <= OTHER_STANDS_MPS:
                at_fault = True
            elif bearing[t, n] > BEHIND_RAD:
                at_fault = False
            else:
                at_fault = _front_touches(own[t], others[t, n]) or bool(where.astray[t])
            if at_fault:
                score = min(score, 0.0 if traffic.agents[n] else OBJECT_SHARE)
                first_s = min(first_s, float(t) * STEP_S)
            else:
                done[n] = True
    return score, first_s


def time_to_collision_within_bound(
    motion: Motion, traffic: Traffic, where: Whereabouts, vehicle: VehicleGeometry, *, beyond_end: bool
) -> float:
    """TTC: 0 if going straight on for 0.9 s from some instant hits someone ahead (or beside, when astray), else 1.

    Ahead is judged as published: from the rear axle at that instant to where the other is when it is hit.
    `beyond_end`: judge the last 0.9 s, too, against traffic recorded beyond the motion (NAVSIM v1); NAVSIM v2 does not.
    """
    if not len(traffic.agents):
        return 1.0
    last = len(traffic.boxes) if beyond_end else len(motion)
    instants = min(len(motion), last - PROJECTED_STEPS[-1])
    corners = traffic.corners()
    done = overlaps(motion.corners(vehicle)[:1], corners[:1])[0]
    beside = where.astray | where.rear_axle_in_junction
    projected = {step: motion.corners(vehicle, step * STEP_S) for step in PROJECTED_STEPS}
    hits = {k: overlaps(own[:instants], corners[k : k + instants]) for k, own in projected.items()}
    bearing = {k: bearings(motion.part(0, instants), traffic.boxes[k : k + instants, :, :2]) for k in PROJECTED_STEPS}
    for t in range(instants):
        if motion.speed_mps[t] < PROJECTING_MPS:
            continue
        for step in PROJECTED_STEPS:
            for n in np.flatnonzero(hits[step][t] & ~done):
                angle = bearing[step][t, n]
                if angle < AHEAD_RAD or (beside[t] and angle <= BEHIND_RAD):
                    return 0.0
                done[n] = True
    return 1.0


def overlaps(own: Array, others: Array) -> Flags:
    """(T, N): which of `others` (T, N, 4, 2) overlap `own` (T, 4, 2); one that is not there overlaps nothing."""
    return boxes_overlap(own[:, None], others)


def bearings(motion: Motion, points: Array) -> Array:
    """(T, N): angle between the heading and the line from the rear axle to `points` (T, N, 2), 0 to pi."""
    offset = points - motion.poses[:, None, :2]
    direction = motion.directions()[:, None]
    ahead = (offset * direction).sum(axis=2)
    aside = direction[..., 0] * offset[..., 1] - direction[..., 1] * offset[..., 0]
    return np.asarray(np.abs(np.arctan2(aside, ahead)), np.float64)


def _front_touches(own: Array, other: Array) -> bool:
    """Whether the front edge, from corner 0 to corner 3, meets the other rectangle (4, 2): separating axes."""
    left, rear_left, _, right = own
    front = np.stack([left, right])
    for axis in (left - rear_left, left - right, other[0] - other[1], other[1] - other[2]):
        a, b = front @ axis, other @ axis
        if a.max() < b.min() or b.max() < a.min():
            return False
    return True
