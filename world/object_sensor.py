"""Perception of objects as declared: noise, misses, id switches, occlusion and ghosts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import box_corners
from onboard_vla.core.objects import PEDESTRIAN, VEHICLE, ObjectList, TrackedObject
from onboard_vla.world.sensor_table import SENSOR_TABLE

FRAME_CORRELATION = 0.7
"""Correlation of an object's position error from one frame to the next (declared in the table)."""
GHOST_AHEAD_M, GHOST_ASIDE_M = (4.0, 60.0), 8.0
"""Where ghosts appear in the ego frame: distance ahead, and most distance to either side."""
ANGLE_BINS = 720
"""Resolution of the occlusion test: half a degree."""
SENSOR_FORWARD_M = 1.4
"""The sensor's place, forward of the rear axle (middle of the roof)."""


@dataclass
class _Ghost:
    reported: TrackedObject
    frames_left: int


class ObjectSensor:
    """Turns the true object list into a measured one; keeps track ids and error states between frames."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._errors: dict[int, NDArray[np.float64]] = {}
        self._track_ids: dict[int, int] = {}
        self._next_track = 1000
        self._ghosts: list[_Ghost] = []

    def measure(self, truth: ObjectList, ego: EgoState) -> ObjectList:
        """One frame."""
        row, rng = SENSOR_TABLE["objects"], self._rng
        visible = visible_share(truth, ego)
        seen: list[TrackedObject] = []
        for actual, share in zip(truth.objects, visible, strict=True):
            noise = rng.standard_normal(7)
            missed, switched = rng.uniform(size=2)
            error = self._errors.get(actual.track_id)
            fresh = noise[:2]
            keep = FRAME_CORRELATION
            error = fresh if error is None else keep * error + math.sqrt(1 - keep * keep) * fresh
            self._errors[actual.track_id] = error
            if switched < row.value("id switch share") or actual.track_id not in self._track_ids:
                self._track_ids[actual.track_id] = self._take_track()
            if share < 1.0 - row.value("occlusion share") or missed < row.value("miss share"):
                continue
            seen.append(self._blur(actual, error, noise))
        gone = self._errors.keys() - {o.track_id for o in truth.objects}
        for track in gone:
            del self._errors[track]
            self._track_ids.pop(track, None)
        return ObjectList(truth.stamp_ns, (*seen, *self._haunt(ego)))

    def _take_track(self) -> int:
        self._next_track += 1
        return self._next_track - 1

    def _blur(self, actual: TrackedObject, error: NDArray[np.float64], noise: NDArray[np.float64]) -> TrackedObject:
        row = SENSOR_TABLE["objects"]
        turn = float(noise[2]) * row.value("heading sigma") * (1.0 if actual.kind != PEDESTRIAN else 4.0)
        velocity, size = row.value("velocity sigma"), row.value("size sigma")
        return TrackedObject(
            self._track_ids[actual.track_id],
            actual.kind,
            actual.x_m + float(error[0]) * row.value("position sigma"),
            actual.y_m + float(error[1]) * row.value("position sigma"),
            actual.heading_rad + turn,
            actual.vx_mps + float(noise[3]) * velocity,
            actual.vy_mps + float(noise[4]) * velocity,
            max(0.3, actual.length_m + float(noise[5]) * size),
            max(0.3, actual.width_m + float(noise[6]) * size),
        )

    def _haunt(self, ego: EgoState) -> list[TrackedObject]:
        """Ghosts of this frame; each stands still over ground for one to three frames."""
        row, rng = SENSOR_TABLE["objects"], self._rng
        self._ghosts = [_Ghost(g.reported, g.frames_left - 1) for g in self._ghosts if g.frames_left > 1]
        if rng.uniform() < row.value("ghost rate") / row.rate_hz:
            ahead, aside = rng.uniform(*GHOST_AHEAD_M), rng.uniform(-GHOST_ASIDE_M, GHOST_ASIDE_M)
            cos, sin = math.cos(ego.heading_rad), math.sin(ego.heading_rad)
            pedestrian = rng.uniform() < 0.3
            length, width = (0.5, 0.6) if pedestrian else (4.4, 1.8)
            ghost = TrackedObject(
                self._take_track(),
                PEDESTRIAN if pedestrian else VEHICLE,
                ego.x_m + ahead * cos - aside * sin,
                ego.y_m + ahead * sin + aside * cos,
                ego.heading_rad,
                0.0,
                0.0,
                length,
                width,
            )
            frames = int(rng.integers(1, int(row.value("ghost frames most")) + 1))
            self._ghosts.append(_Ghost(ghost, frames))
        return [ghost.reported for ghost in self._ghosts]


def visible_share(truth: ObjectList, ego: EgoState) -> list[float]:
    """Share of each object's angle, seen from the sensor, that no nearer object covers."""
    if not truth.objects:
        return []
    states = truth.states()
    x = ego.x_m + SENSOR_FORWARD_M * math.cos(ego.heading_rad)
    y = ego.y_m + SENSOR_FORWARD_M * math.sin(ego.heading_rad)
    corners = box_corners(states[:, :2], states[:, 2], states[:, 5], states[:, 6]) - np.array([x, y])
    middle = np.arctan2(states[:, 1] - y, states[:, 0] - x)
    spread = np.arctan2(corners[..., 1], corners[..., 0]) - middle[:, None]
    spread = (spread + np.pi) % (2 * np.pi) - np.pi
    scale = ANGLE_BINS / (2 * np.pi)
    low = np.floor((middle + spread.min(axis=1)) * scale).astype(int)
    high = np.ceil((middle + spread.max(axis=1)) * scale).astype(int)
    covered = np.zeros(ANGLE_BINS, bool)
    shares = [0.0] * len(states)
    for k in np.argsort(np.hypot(states[:, 0] - x, states[:, 1] - y), kind="stable").tolist():
        bins = np.arange(low[k], max(high[k], low[k] + 1)) % ANGLE_BINS
        shares[k] = 1.0 - float(covered[bins].mean())
        if truth.objects[k].kind != PEDESTRIAN:
            covered[bins] = True
    return shares
