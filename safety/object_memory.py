"""Objects over a few messages: which are confirmed, and which were only missed in the newest list.

Ghosts live for a few lists, real objects are missed now and then. An object counts as confirmed when a list before the
newest one held it where its velocity says. A confirmed object that a list lacks is braked for through one missing list,
and through more only if it was seen in as many since it was confirmed: a ghost leaves sooner than it came. It is
remembered a little longer, so that whoever comes back is confirmed at once. Matching is by predicted position, so a
changed identity or kind changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import seconds
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import CYCLIST, PEDESTRIAN, STATIC, VEHICLE, ObjectList, TrackedObject
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.guards.clock_step import Restate

Array = NDArray[np.float64]

MATCH_M = 2.0
"""A new measurement belongs to a known object if it lies this close to the prediction, plus `MATCH_PER_S`."""
PARKED_MPS = 1.0
"""Positions of wheeled objects slower than this are smoothed too: passing parked cars leaves no room for noise."""
MATCH_ROUNDS = 4
"""Rounds of matching mutually nearest objects; what is left after them counts as new."""
SMOOTHING_SHARE = 0.25
"""Weight of the newest list in smoothed velocities: noise of 0.4 m/s becomes 0.15, at 0.3 s of delay."""
SLOW_MPS = 3.0
"""Velocities of objects slower than this (pedestrians, parked cars) are smoothed; of faster ones the drift alone."""
NARROW_M = 1.2
"""Motorcycles, animals and wheelchairs are narrower (0.7 to 1.0 m with handlebars), cars wider (1.5 m and more)."""
MATCH_PER_S = 4.0
"""m/s: what 4 m/s^2 may change in the prediction over the 1 s that no list gap reaches."""


@dataclass(frozen=True, eq=False)
class ObjectSet:
    """Objects as rows. `states` (N, 7): x, y, heading, vx, vy, length, width, each measured at `stamps_ns` (N,).

    `vulnerable` (N,): pedestrians, cyclists, and what is narrow and of no known kind; `on_foot` (N,): pedestrians.
    `hits` (N,): object lists in which it was seen. `drift_mps` (N,): speed across the lane, smoothed over the lists;
    NaN where no lane was known.
    """

    states: Array
    stamps_ns: NDArray[np.int64]
    vulnerable: NDArray[np.bool_]
    on_foot: NDArray[np.bool_]
    hits: NDArray[np.int64]
    drift_mps: Array

    @staticmethod
    def empty() -> ObjectSet:
        """No objects."""
        none = np.zeros(0, bool)
        return ObjectSet(np.zeros((0, 7)), np.zeros(0, np.int64), none, none, np.zeros(0, np.int64), np.zeros(0))

    def select(self, rows: NDArray[np.bool_]) -> ObjectSet:
        """The objects where `rows` (N,) is true."""
        return ObjectSet(
            self.states[rows],
            self.stamps_ns[rows],
            self.vulnerable[rows],
            self.on_foot[rows],
            self.hits[rows],
            self.drift_mps[rows],
        )

    def positions_at(self, stamp_ns: int) -> Array:
        """Centres (N, 2) at `stamp_ns`, moving with constant velocity."""
        elapsed = (stamp_ns - self.stamps_ns) / 1e9
        return np.asarray(self.states[:, :2] + elapsed[:, None] * self.states[:, 3:5], np.float64)

    def at(self, stamp_ns: int) -> ObjectSet:
        """The same objects moved to `stamp_ns`."""
        states = self.states.copy()
        states[:, :2] = self.positions_at(stamp_ns)
        return replace(self, states=states, stamps_ns=np.full(len(states), stamp_ns, np.int64))

    def braking_to(self, stamp_ns: int, deceleration_mps2: float) -> ObjectSet:
        """The same objects at `stamp_ns` if all but those on foot have braked since they were last measured."""
        elapsed = (stamp_ns - self.stamps_ns) / 1e9
        speed = np.hypot(self.states[:, 3], self.states[:, 4])
        braked = np.where(self.on_foot, 0.0, deceleration_mps2)
        stopping = np.where(braked > 0.0, speed / np.maximum(braked, 1e-9), np.inf)
        moving_s = np.minimum(elapsed, stopping)
        way = speed * moving_s - 0.5 * braked * moving_s**2
        direction = self.states[:, 3:5] / np.maximum(speed, 1e-9)[:, None]
        states = self.states.copy()
        states[:, :2] += direction * way[:, None]
        states[:, 3:5] = direction * np.maximum(speed - braked * elapsed, 0.0)[:, None]
        return replace(self, states=states, stamps_ns=np.full(len(states), stamp_ns, np.int64))


class ObjectMemory:
    """Turns object lists into an `ObjectSet`; needs lists of finite numbers in order of their stamps."""

    def __init__(self, limits: CollisionLimits) -> None:
        self._limits = limits
        self._known = self._confirmed = ObjectSet.empty()
        self._missed = np.zeros(0, np.int64)

    @property
    def known(self) -> ObjectSet:
        """Every object of the newest list, and once confirmed ones missed for a short while."""
        return self._known

    @property
    def confirmed(self) -> ObjectSet:
        """The known objects to be braked for: seen in enough lists, and not missing for too many."""
        return self._confirmed

    def add(self, message: ObjectList, line: Polyline | None = None) -> None:
        """Take over a newer list. `line`: the ego lane's centreline, for the drift across it."""
        known, states = self._known, message.states()
        count = len(states)
        hits = np.ones(count, np.int64)
        unseen = np.ones(len(known.states), bool)
        walking = np.array([o.kind == PEDESTRIAN for o in message.objects], bool)
        drift = _across(states, line)
        if count and len(known.states):
            rows, columns = self._match(states, message.stamp_ns)
            unseen[columns] = False
            hits[rows] = known.hits[columns] + 1
            share = np.maximum(SMOOTHING_SHARE, 1.0 / hits[rows])
            before = np.where(np.isfinite(known.drift_mps[columns]), known.drift_mps[columns], drift[rows])
            drift[rows] = before + share * (drift[rows] - before)
            velocity, old = states[rows, 3:5], known.states[columns, 3:5]
            slow = np.maximum(np.hypot(*velocity.T), np.hypot(*old.T)) < SLOW_MPS
            smoothed = old + share[:, None] * (velocity - old)
            states[rows, 3:5] = np.where(slow[:, None], smoothed, velocity)
            parked = slow & ~walking[rows] & (np.hypot(*states[rows, 3:5].T) < PARKED_MPS)
            expected = known.positions_at(message.stamp_ns)[columns]
            settled = expected + share[:, None] * (states[rows, :2] - expected)
            states[rows, :2] = np.where(parked[:, None], settled, states[rows, :2])
        recent = np.array([seconds(message.stamp_ns - int(s)) <= self._limits.coast_s for s in known.stamps_ns], bool)
        remembered = unseen & recent & (known.hits >= self._limits.confirm_lists)
        kept, missed = known.select(remembered), self._missed[remembered] + 1
        soft = np.array([_is_vulnerable(o) for o in message.objects], bool)
        self._known = ObjectSet(
            np.concatenate([states, kept.states]),
            np.concatenate([np.full(count, message.stamp_ns, np.int64), kept.stamps_ns]),
            np.concatenate([soft, kept.vulnerable]),
            np.concatenate([walking, kept.on_foot]),
            np.concatenate([hits, kept.hits]),
            np.concatenate([drift, kept.drift_mps]),
        )
        self._missed = np.concatenate([np.zeros(count, np.int64), missed])
        self._confirmed = self._braked_for()

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped: restate all stamps on it."""
        stamps = np.array([clock(stamp_ns) for stamp_ns in self._known.stamps_ns.tolist()], np.int64)
        self._known = replace(self._known, stamps_ns=stamps)
        self._confirmed = self._braked_for()

    def _braked_for(self) -> ObjectSet:
        since_confirmed = self._known.hits - self._limits.confirm_lists
        return self._known.select((since_confirmed >= 0) & (self._missed <= np.maximum(since_confirmed, 1)))

    def _match(self, states: Array, stamp_ns: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of `states` and of the known objects that belong together: mutually nearest, within reach."""
        known = self._known
        gaps = np.linalg.norm(states[:, None, :2] - known.positions_at(stamp_ns)[None], axis=2)
        age_s = (stamp_ns - known.stamps_ns) / 1e9
        gaps = np.where(gaps <= MATCH_M + MATCH_PER_S * age_s[None], gaps, np.inf)
        rows: list[NDArray[np.intp]] = []
        columns: list[NDArray[np.intp]] = []
        for _ in range(MATCH_ROUNDS):
            nearest = np.argmin(gaps, axis=1)
            row = np.arange(len(states))
            mutual = np.flatnonzero((np.argmin(gaps, axis=0)[nearest] == row) & np.isfinite(gaps[row, nearest]))
            if not len(mutual):
                break
            rows.append(mutual)
            columns.append(nearest[mutual])
            gaps[mutual], gaps[:, nearest[mutual]] = np.inf, np.inf
        none = np.zeros(0, np.intp)
        return np.concatenate([none, *rows]), np.concatenate([none, *columns])


def _is_vulnerable(item: TrackedObject) -> bool:
    """Whether somebody sits, stands or walks there with nothing around him: a kind nobody knows may be one."""
    if item.kind in (PEDESTRIAN, CYCLIST):
        return True
    return item.kind not in (VEHICLE, STATIC) and min(item.length_m, item.width_m) <= NARROW_M


def _across(states: Array, line: Polyline | None) -> Array:
    """Speed across the lane (N,), left positive; NaN without a lane."""
    if line is None or not len(states):
        return np.full(len(states), np.nan)
    s, _ = line.project(states[:, :2])
    direction = np.asarray(line.heading_at(s), np.float64)
    return np.asarray(states[:, 4] * np.cos(direction) - states[:, 3] * np.sin(direction), np.float64)
