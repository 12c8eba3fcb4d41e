"""The Intelligent Driver Model (Treiber, Hennecke and Helbing 2000) and the traffic that follows it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from onboard_vla.core.road import GREEN
from onboard_vla.world.actors import Actor, View
from onboard_vla.world.signals import SignalProgramme

BRAKING_CLIP_MPS2 = 7.0
"""Hardest braking of an IDM vehicle."""


@dataclass(frozen=True)
class IdmParameters:
    """Model parameters: desired speed, standstill gap, time gap, acceleration, comfortable braking."""

    desired_mps: float
    gap_m: float = 2.0
    time_gap_s: float = 1.4
    acceleration_mps2: float = 1.3
    braking_mps2: float = 2.0


def idm_acceleration(speed: float, gap: float, lead_speed: float, p: IdmParameters) -> float:
    """Acceleration of the model; `gap` is bumper to bumper, infinite for a free road."""
    free = 1.0 - (speed / max(p.desired_mps, 0.1)) ** 4
    if math.isinf(gap):
        return p.acceleration_mps2 * free
    wish = p.gap_m + max(
        0.0, speed * p.time_gap_s + speed * (speed - lead_speed) / (2 * math.sqrt(p.acceleration_mps2 * p.braking_mps2))
    )
    return max(p.acceleration_mps2 * (free - (wish / max(gap, 0.1)) ** 2), -BRAKING_CLIP_MPS2)


class IdmDriver:
    """Follows its lane at its desired speed, behind whatever drives in front, the ego vehicle included."""

    def __init__(self, parameters: IdmParameters) -> None:
        self.parameters = parameters

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """One Euler step of the model."""
        gap, lead_speed = gap_ahead(actor, view, others)
        to_line = _gap_to_signal(actor, view)
        if to_line < gap:
            gap, lead_speed = to_line + self.parameters.gap_m - 1.0, 0.0
        local = min(self.parameters.desired_mps, 1.1 * float(view.road.speed_profile[view.road.index(actor.s_m)]))
        parameters = replace(self.parameters, desired_mps=local)
        advance(actor, idm_acceleration(actor.speed_mps, gap, lead_speed, parameters), dt_s)


class CrossingDriver:
    """Travels straight across a junction, stops at its own signal, and ignores nobody in front on its path."""

    def __init__(self, parameters: IdmParameters, programme: SignalProgramme | None, stop_s_m: float) -> None:
        self.parameters, self._programme, self._stop = parameters, programme, stop_s_m

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """Follow the vehicle in front on the same path; stop at the line unless the signal is green."""
        front = actor.s_m + actor.length_m / 2
        gap, lead_speed = math.inf, 0.0
        for other in others:
            if other is not actor and other.path is actor.path and other.s_m > actor.s_m:
                between = other.s_m - other.length_m / 2 - front
                if between < gap:
                    gap, lead_speed = between, other.speed_mps
        to_line = self._stop - front
        needed = actor.speed_mps**2 / (2 * max(to_line, 0.1))
        blocked = self._programme is None or self._programme.crossing_state(view.time_s) != GREEN
        if blocked and to_line > 0.0 and needed < 4.0 and to_line < gap:
            gap, lead_speed = to_line + self.parameters.gap_m - 1.0, 0.0
        advance(actor, idm_acceleration(actor.speed_mps, gap, lead_speed, self.parameters), dt_s)


def gap_ahead(actor: Actor, view: View, others: list[Actor]) -> tuple[float, float]:
    """Gap to, and speed of, the next road user in the actor's lane and direction on the route."""
    sign = actor.direction
    front = sign * actor.s_m + actor.length_m / 2
    gap, lead_speed = math.inf, 0.0
    reach = actor.width_m / 2 + 0.3
    for other in others:
        if other is actor or other.path is not None:
            continue
        if abs(other.d_m - actor.d_m) > reach + other.width_m / 2 or sign * other.s_m <= sign * actor.s_m:
            continue
        between = sign * other.s_m - other.length_m / 2 - front
        if between < gap:
            gap, lead_speed = between, sign * other.direction * other.speed_mps
    if abs(view.ego_d_m - actor.d_m) < reach + 1.0:
        ego_near = view.ego_s_m - view.ego_rear_m if sign > 0 else -(view.ego_s_m + view.ego_front_m)
        ego_ahead = sign * view.ego_s_m > sign * actor.s_m
        if ego_ahead and ego_near - front < gap:
            gap, lead_speed = ego_near - front, sign * view.ego_speed_mps
    return gap, lead_speed


def _gap_to_signal(actor: Actor, view: View) -> float:
    """Distance from the front to the next stop line that must be respected, infinite if there is none."""
    sign = actor.direction
    front = actor.s_m + sign * actor.length_m / 2
    for junction in view.road.junctions:
        if junction.signal_id is None:
            continue
        line = junction.stop_s_m if sign > 0 else junction.exit_s_m + 4.5
        to_line = sign * (line - front)
        if not 0.0 < to_line < 80.0 or view.programmes[junction.signal_id].state(view.time_s) == GREEN:
            continue
        if actor.speed_mps**2 / (2 * to_line) < 4.0:
            return to_line
    return math.inf


def advance(actor: Actor, acceleration: float, dt_s: float) -> None:
    """Euler step of an actor along its path, never backwards."""
    speed = max(0.0, actor.speed_mps + acceleration * dt_s)
    actor.acceleration_mps2 = (speed - actor.speed_mps) / dt_s
    actor.s_m += actor.direction * (actor.speed_mps + speed) / 2 * dt_s
    actor.speed_mps = speed
