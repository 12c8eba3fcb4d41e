"""The world's truth in the terms of `core.scoring`: road users over time, the road around the vehicle, its signals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.evaluation.trace import Instant
from onboard_vla.core.clock import seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import RED
from onboard_vla.core.scoring.motion import STEP_S, Motion
from onboard_vla.core.scoring.surroundings import RedStretch, RoadArea, Traffic
from onboard_vla.world.world import World

Array = NDArray[np.float64]
Single = NDArray[np.float32]

BEHIND_M, AHEAD_M = 40, 240
"""Stretch of road that a window is scored on: more than 4.9 s at 40 m/s."""


def traffic_of(instants: Sequence[Instant]) -> Traffic:
    """Road users over these instants; who comes into reach later, or leaves it, is absent for the rest."""
    column: dict[int, int] = {}
    for instant in instants:
        for user in instant.users[:, 0].astype(int).tolist():
            column.setdefault(user, len(column))
    boxes = np.full((len(instants), len(column), 5), np.nan)
    speed, agents = np.zeros((len(instants), len(column))), np.zeros(len(column), bool)
    for row, instant in enumerate(instants):
        where = [column[user] for user in instant.users[:, 0].astype(int).tolist()]
        boxes[row, where], speed[row, where] = instant.users[:, 1:6], instant.users[:, 6]
        agents[where] = instant.agents
    return Traffic(boxes, speed, agents)


def road_of(world: World, from_s_m: float, stamps_ns: Sequence[int]) -> RoadArea:
    """The road around arc length `from_s_m`, with what its signals show at these stamps."""
    road, profile = world.road, world.profile
    first = max(0, int(from_s_m) - BEHIND_M)
    rows = slice(first, min(len(road.points), int(from_s_m) + AHEAD_M))
    width = profile.lane_width_m
    lanes = tuple(((lane - 0.5) * width, (lane + 0.5) * width) for lane in range(profile.lanes))
    signals = []
    for junction in road.junctions:
        if junction.signal_id is not None:
            programme = world.programmes[junction.signal_id]
            red = np.array([programme.state(seconds(stamp)) == RED for stamp in stamps_ns])
            signals.append(RedStretch(junction.stop_s_m - first, junction.exit_s_m - first, red))
    return RoadArea(
        centreline=Polyline(road.points[rows]),
        left_m=road.left_m[rows],
        right_m=road.right_m[rows],
        lanes_m=lanes,
        junctions_m=tuple((j.enter_s_m - first, j.exit_s_m - first) for j in road.junctions),
        signals=tuple(signals),
    )


def driven(egos: Sequence[EgoState]) -> Motion:
    """What was driven, from states 0.1 s apart."""
    rows = np.array([(e.x_m, e.y_m, e.heading_rad, e.speed_mps, e.acceleration_mps2, e.yaw_rate_rps) for e in egos])
    return Motion(rows[:, :3], rows[:, 3], rows[:, 4], rows[:, 5])


def intended(ego: EgoState, placed: Array, speeds: Single, accelerations: Single, count: int) -> Motion:
    """A forecast from `ego` on, `count` instants: placed poses (T, 3), speeds and accelerations (T,), 0.1 s apart."""
    poses = np.vstack([[ego.x_m, ego.y_m, ego.heading_rad], placed])[:count]
    rate = np.gradient(np.unwrap(poses[:, 2]), STEP_S)
    rate[0] = ego.yaw_rate_rps
    return Motion(
        poses,
        np.concatenate([[ego.speed_mps], speeds])[:count].astype(np.float64),
        np.concatenate([[ego.acceleration_mps2], accelerations])[:count].astype(np.float64),
        rate,
    )
