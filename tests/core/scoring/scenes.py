"""A straight road along x, 100 m before and 200 m after the start, and simple motions on it."""

from __future__ import annotations

import numpy as np

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.scoring.motion import STEP_S, Motion
from onboard_vla.core.scoring.surroundings import RoadArea, Traffic

VEHICLE = VehicleGeometry()
"""4.8 m x 2.0 m, the rear axle's centre 0.95 m ahead of the rear end: the front is 3.85 m ahead, the centre 1.45 m."""
INSTANTS = 41


def straight_on(speed=10.0, y=0.0, count=INSTANTS, heading=0.0, x=0.0):
    """Constant speed along a heading."""
    t = STEP_S * np.arange(count)
    poses = np.stack([x + speed * t * np.cos(heading), y + speed * t * np.sin(heading), np.full(count, heading)], 1)
    return Motion(poses, np.full(count, float(speed)), np.zeros(count), np.zeros(count))


def along_x(speeds, y=0.0):
    """Given speeds at the instants (T,); acceleration and place follow."""
    speeds = np.asarray(speeds, float)
    x = np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2 * STEP_S)])
    poses = np.stack([x, np.full(len(x), y), np.zeros(len(x))], 1)
    return Motion(poses, speeds, np.gradient(speeds, STEP_S), np.zeros(len(x)))


def sideways(offsets, speed=10.0):
    """Along x at a constant speed with given lateral positions (T,), pointing along x."""
    offsets = np.asarray(offsets, float)
    t = STEP_S * np.arange(len(offsets))
    zero = np.zeros(len(offsets))
    return Motion(np.stack([speed * t, offsets, zero], 1), np.full(len(t), speed), zero, zero)


def road(lanes=((-1.75, 1.75),), left=5.0, right=3.0, junctions=(), signals=()):
    """Its own lane 3.5 m wide; drivable from 3 m right to 5 m left of the lane's middle."""
    x = np.arange(-100.0, 201.0, 5.0)
    line = Polyline(np.stack([x, np.zeros_like(x)], 1))
    return RoadArea(line, np.full(len(x), left), np.full(len(x), right), lanes, junctions, signals)


def s_of(x):
    """Arc length of the road at x."""
    return x + 100.0


def other(x, y=0.0, speed=0.0, heading=0.0, length=4.0, width=2.0, agent=True, count=INSTANTS + 9):
    """One road user at constant velocity."""
    t = STEP_S * np.arange(count)
    boxes = np.zeros((count, 1, 5))
    boxes[:, 0, 0] = x + speed * t * np.cos(heading)
    boxes[:, 0, 1] = y + speed * t * np.sin(heading)
    boxes[:, 0, 2:] = heading, length, width
    return Traffic(boxes, np.full((count, 1), abs(float(speed))), np.array([agent]))


def together(*traffics):
    """Several road users at once."""
    boxes = np.concatenate([t.boxes for t in traffics], axis=1)
    return Traffic(
        boxes, np.concatenate([t.speed_mps for t in traffics], 1), np.concatenate([t.agents for t in traffics])
    )
