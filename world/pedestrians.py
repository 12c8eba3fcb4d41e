"""Pedestrians: walkers beside the road, and those who cross when they think they can."""

from __future__ import annotations

import math

from onboard_vla.world.actors import Actor, View

ACCEPTED_BRAKING_MPS2 = 2.0
"""A pedestrian steps out only if an approaching vehicle could stop with this deceleration."""
REACTION_S = 1.2
"""... after this reaction time ..."""
CLEARANCE_M = 6.0
"""... and this distance to spare."""
NOTICE_M = 70.0
"""Pedestrians who want to cross do so when a vehicle is within this distance, so that the crossing matters."""


class Walker:
    """Walks along the road at a steady pace and turns round at the ends of its beat."""

    def __init__(self, pace_mps: float, beat_m: float, start_s_m: float) -> None:
        self._pace, self._beat, self._start = pace_mps, beat_m, start_s_m

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """Walk on."""
        actor.speed_mps = self._pace
        actor.s_m += actor.direction * self._pace * dt_s
        if abs(actor.s_m - self._start) > self._beat:
            actor.direction = 1 if actor.s_m < self._start else -1


class Crosser:
    """Waits at the edge on a path across the road, and walks once an approaching vehicle leaves room to stop."""

    def __init__(self, pace_mps: float, cross_s_m: float, length_m: float) -> None:
        self._pace, self._cross_s, self._length = pace_mps, cross_s_m, length_m
        self.walking = False

    @property
    def cross_s_m(self) -> float:
        """Where on the route the crossing is."""
        return self._cross_s

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """Decide, then walk to the other side and stay there."""
        if not self.walking:
            gap = self._cross_s - (view.ego_s_m + view.ego_front_m)
            speed = view.ego_speed_mps
            needed = speed * REACTION_S + speed * speed / (2 * ACCEPTED_BRAKING_MPS2) + CLEARANCE_M
            self.walking = needed < gap < max(NOTICE_M, needed + 5.0)
        pace = self._pace if self.walking and actor.s_m < self._length else 0.0
        actor.acceleration_mps2 = (pace - actor.speed_mps) / dt_s if math.isfinite(pace) else 0.0
        actor.speed_mps = pace
        actor.s_m += pace * dt_s
