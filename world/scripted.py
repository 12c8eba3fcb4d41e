"""Road users that replay a motion: speed and lateral position over time, blind to everybody else.

This family shares no code with the expert, the fallback planner or the car-following traffic, so that a planner cannot
do well merely because the others think like it. The traces are written in the style of recorded ones: knots of speed
and lateral position, interpolated.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from onboard_vla.world.actors import Actor, View

TRIGGER_WINDOW = 0.75
"""A motion triggered by the ego vehicle's approach starts between this share of its gap and the whole gap, or never."""
LANE_HALF_M, ROOM_BEHIND_M, ROOM_BEHIND_S, ROOM_AHEAD_M, ROOM_AHEAD_S = 1.6, 8.0, 3.0, 22.0, 5.0
"""Nobody pulls out or cuts in if the ego lane holds others this close: metres behind plus their travel, metres ahead
plus what is gained on them."""


@dataclass(frozen=True)
class Motion:
    """Knots of a motion. `speed`: (time s, speed m/s), linear between. `lateral`: (time s, d m), eased between.

    Beyond the last knot the last value holds. Times count from the motion's start.
    """

    speed: tuple[tuple[float, float], ...]
    lateral: tuple[tuple[float, float], ...]

    def speed_at(self, time_s: float) -> float:
        """Speed along the path."""
        return _between(self.speed, time_s, eased=False)

    def lateral_at(self, time_s: float) -> float:
        """Lateral position on the path."""
        return _between(self.lateral, time_s, eased=True)


class Replay:
    """Plays a motion, from the start or once the ego vehicle has come within `trigger_gap_m` of the actor's rear.

    A positive `overtake_gap_m` reverses the trigger: the motion starts once the actor's rear is that far ahead of the
    ego vehicle's front (a cut-in after overtaking); before that the actor keeps its speed.
    """

    def __init__(self, motion: Motion, trigger_gap_m: float | None = None, overtake_gap_m: float | None = None) -> None:
        self._motion = motion
        self._trigger_gap, self._overtake_gap = trigger_gap_m, overtake_gap_m
        self._clock = 0.0
        self.playing = trigger_gap_m is None and overtake_gap_m is None

    @property
    def finished(self) -> bool:
        """Whether the last knot has passed."""
        return self._clock > max(self._motion.speed[-1][0], self._motion.lateral[-1][0])

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """Advance the motion's clock and put the actor where the motion says."""
        if not self.playing:
            self.playing = self._triggered(actor, view) and _room_in_lane(actor, others)
        if not self.playing:
            actor.speed_mps = min([actor.speed_mps, *_speeds_close_ahead(actor, others)])
            actor.s_m += actor.direction * actor.speed_mps * dt_s
            actor.acceleration_mps2 = 0.0
            return
        self._clock += dt_s
        speed, lateral = self._motion.speed_at(self._clock), self._motion.lateral_at(self._clock)
        actor.acceleration_mps2 = (speed - actor.speed_mps) / dt_s
        actor.lateral_mps = (lateral - actor.d_m) / dt_s
        actor.s_m += actor.direction * (speed + actor.speed_mps) / 2 * dt_s
        actor.speed_mps, actor.d_m = speed, lateral

    def _triggered(self, actor: Actor, view: View) -> bool:
        gap = actor.s_m - actor.length_m / 2 - (view.ego_s_m + view.ego_front_m)
        if self._trigger_gap is not None:
            return TRIGGER_WINDOW * self._trigger_gap < gap < self._trigger_gap
        return self._overtake_gap is not None and gap > self._overtake_gap


def _room_in_lane(actor: Actor, others: list[Actor]) -> bool:
    """Whether the ego lane beside the actor is free of others; checked once, before the motion starts."""
    return not any(
        other is not actor
        and other.path is None
        and abs(other.d_m) < LANE_HALF_M
        and -ROOM_BEHIND_M - ROOM_BEHIND_S * other.speed_mps
        < other.s_m - actor.s_m
        < ROOM_AHEAD_M + ROOM_AHEAD_S * max(0.0, actor.speed_mps - other.speed_mps)
        for other in others
    )


def _speeds_close_ahead(actor: Actor, others: list[Actor]) -> list[float]:
    """Speeds of vehicles so close ahead in the actor's lane that it would run into them before its motion starts."""
    return [
        other.speed_mps
        for other in others
        if other is not actor
        and other.path is None
        and abs(other.d_m - actor.d_m) < LANE_HALF_M
        and 0.0 < actor.direction * (other.s_m - actor.s_m) < ROOM_AHEAD_M
    ]


def slow_lead(limit_mps: float, start_speed_mps: float, rng: np.random.Generator, kerb_d_m: float) -> Motion:
    """A vehicle that hesitates, nearly stops, drives on, and in the end pulls over or speeds away."""
    time, speed = 0.0, start_speed_mps
    knots = [(0.0, speed)]
    for _ in range(int(rng.integers(3, 7))):
        target = float(rng.choice([0.25, 0.45, 0.6, 0.75, 0.9])) * limit_mps
        if rng.uniform() < 0.2:
            target = 0.0
        rate = float(rng.uniform(0.6, 1.8))
        time += abs(target - speed) / rate + 0.05
        knots.append((time, target))
        time += float(rng.uniform(1.5, 7.0))
        knots.append((time, target))
        speed = target
    pull_over = rng.uniform() < 0.6
    slow = 0.35 * limit_mps
    lateral: tuple[tuple[float, float], ...]
    if pull_over:
        time += abs(slow - speed) / 1.2 + 0.05
        knots.append((time, slow))
        lateral = ((0.0, 0.0), (time, 0.0), (time + 4.0, kerb_d_m))
        knots += [(time + 3.5, 0.8 * slow), (time + 7.0, 0.0)]
    else:
        lateral = ((0.0, 0.0), (1.0, 0.0))
        knots.append((time + limit_mps / 1.2, 1.15 * limit_mps))
    return Motion(tuple(knots), lateral)


def pull_out(limit_mps: float, kerb_d_m: float, rng: np.random.Generator) -> Motion:
    """A parked vehicle pulls out in front and dawdles; afterwards the traffic takes it over."""
    cruise = float(rng.uniform(0.45, 0.7)) * limit_mps
    ramp = cruise / float(rng.uniform(1.2, 1.8))
    hold = ramp + float(rng.uniform(4.0, 9.0))
    speed = ((0.0, 0.0), (ramp, cruise), (hold, cruise))
    return Motion(speed, ((0.0, kerb_d_m), (0.6, kerb_d_m), (0.6 + float(rng.uniform(2.6, 3.6)), 0.0)))


def lane_cut_in(speed_mps: float, from_d_m: float, rng: np.random.Generator) -> Motion:
    """A vehicle that has overtaken moves into the ego lane and slows; afterwards the traffic takes it over."""
    slow = speed_mps * float(rng.uniform(0.72, 0.85))
    duration = float(rng.uniform(3.0, 4.5))
    brake_until = duration + (speed_mps - slow) / float(rng.uniform(0.8, 1.6))
    hold = brake_until + float(rng.uniform(3.0, 8.0))
    speed = ((0.0, speed_mps), (duration, speed_mps), (brake_until, slow), (hold, slow))
    return Motion(speed, ((0.0, from_d_m), (duration, 0.0)))


def weaving(speed_mps: float, d_m: float, rng: np.random.Generator) -> Motion:
    """A vehicle whose speed and lateral position wander (oncoming traffic)."""
    times = np.cumsum(rng.uniform(2.0, 5.0, 24))
    speed = [(0.0, speed_mps)] + [(float(t), float(speed_mps * rng.uniform(0.75, 1.15))) for t in times]
    lateral = [(0.0, d_m)] + [(float(t), d_m + float(rng.uniform(-0.25, 0.25))) for t in times]
    return Motion(tuple(speed), tuple(lateral))


def _between(knots: tuple[tuple[float, float], ...], time_s: float, *, eased: bool) -> float:
    if time_s <= knots[0][0]:
        return knots[0][1]
    for (t0, v0), (t1, v1) in itertools.pairwise(knots):
        if time_s < t1:
            share = (time_s - t0) / (t1 - t0)
            if eased:
                share = share * share * (3.0 - 2.0 * share)
            return v0 + share * (v1 - v0)
    return knots[-1][1]
