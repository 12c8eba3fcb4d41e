"""Plans placed on a vehicle's constant motion, for the tests of single guards."""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.safety.ego_history import EgoHistory
from onboard_vla.safety.placed_plan import place

from .driving_range import make_ego, make_plan

STAMP = 20_000_000_000


def found(reasons):
    return {reason.code for reason in reasons if reason is not None}


def history(speed=10.0, heading=0.0, yaw_rate=0.0, origin=(0.0, 0.0)):
    """Two seconds of constant motion that ends at STAMP at `origin`."""
    kept = EgoHistory(2.0, 0.06)
    for k in range(-100, 1):
        t = k * 0.02
        turn, distance = yaw_rate * t, speed * t
        x = origin[0] + distance * math.cos(heading + turn / 2)
        y = origin[1] + distance * math.sin(heading + turn / 2)
        stamp = STAMP + k * 20_000_000
        kept.add(make_ego(stamp, x_m=x, y_m=y, heading_rad=heading + turn, speed_mps=speed, yaw_rate_rps=yaw_rate))
    return kept


def placed(poses, speed=10.0, **changes):
    return place(make_plan(STAMP, poses, **changes), history(speed))


def arc_poses(speed, yaw_rate):
    t = np.arange(1, 11) * 0.5
    turn = yaw_rate * t
    radius = speed / yaw_rate
    return np.column_stack([radius * np.sin(turn), radius * (1 - np.cos(turn)), turn])
