"""The situation in which a fault must matter: a winding road, a lead that brakes, and a human driver behind."""

from __future__ import annotations

import math
from dataclasses import replace

from onboard_vla.app.campaign.pictures import MomentPictures
from onboard_vla.app.closed_loop import Scene
from onboard_vla.core.objects import VEHICLE
from onboard_vla.world.actors import Actor, View
from onboard_vla.world.expert import Expert
from onboard_vla.world.idm import advance
from onboard_vla.world.profiles import PROFILES, Profile
from onboard_vla.world.scenarios.follower import GAP_S, HumanBehind
from onboard_vla.world.sensors import SensorModel
from onboard_vla.world.vehicle import VehicleGate
from onboard_vla.world.world import START_S_M, World

SPEEDS_MPS = (5.0, 15.0, 25.0)
"""Speeds at which every fault is injected."""
CURVE_MPS2 = 1.5
"""Lateral acceleration of the road's curves at the situation's speed."""
RADIUS_MIN_M = 35.0
ROUTE_S = 70.0
"""Length of the route as travel time."""
LEAD_GAP_M, LEAD_GAP_S = 5.0, 1.7
"""The lead's first gap: a distance, and travel time."""
LEAD_SPEED_SHARE = 0.92
"""The lead drives a little slower than the limit: whoever follows comes up to it."""
LEAD_BRAKING_MPS2 = 5.0
"""Hard, and avoidable at these gaps within a second of delay."""
LEAD_RATE_MPS2 = 2.0
SLOWING_MPS2, SLOWING_S = 1.5, 1.5
"""What a lead does that only slows for a moment."""
FOLLOWER_GAP_M = 4.0
"""Behind the vehicle at the start, and the time gap of a human driver on top."""
CAR = (4.5, 1.85, 1.5)
LEAD_ID, FOLLOWER_ID = 9001, 9002


class PacedLead:
    """Drives at a steady speed; brakes hard to a stop and stands, or slows for a moment, when told to."""

    def __init__(self) -> None:
        self.brake_at_s = self.slow_at_s = math.inf

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """Cruise, or brake."""
        if view.time_s >= self.brake_at_s:
            advance(actor, -LEAD_BRAKING_MPS2, dt_s)
            return
        if 0.0 <= view.time_s - self.slow_at_s < SLOWING_S:
            advance(actor, -SLOWING_MPS2, dt_s)
            return
        rate = (LEAD_SPEED_SHARE * view.road.speed_limit_mps - actor.speed_mps) / 0.5
        advance(actor, min(max(rate, -LEAD_RATE_MPS2), LEAD_RATE_MPS2), dt_s)


class HumanFollower:
    """Follows the ego vehicle; brakes harder than comfortably only a reaction time after that does."""

    def __init__(self, desired_mps: float) -> None:
        self._driver = HumanBehind(desired_mps)

    def step(self, actor: Actor, view: View, others: list[Actor], dt_s: float) -> None:
        """Car following, with the limit that surprise puts on braking."""
        gap = view.ego_s_m - view.ego_rear_m - actor.s_m - actor.length_m / 2
        advance(actor, self._driver.acceleration(actor.speed_mps, gap, view.ego_speed_mps, dt_s), dt_s)


def winding_road(speed_mps: float) -> Profile:
    """One lane, curve upon curve, nobody there but who is put there."""
    radius = max(speed_mps**2 / CURVE_MPS2, RADIUS_MIN_M)
    return replace(
        PROFILES["rural"],
        name=f"winding_{speed_mps:g}",
        speed_limits_mps=(speed_mps,),
        lane_width_m=3.75,
        shoulder_m=1.25,
        centre_gap_m=0.8,
        left_margin_m=1.25,
        route_length_m=max(ROUTE_S * speed_mps, 400.0),
        min_radius_m=radius,
        max_radius_m=1.5 * radius,
        straight_share=0.0,
        junction_spacing_m=0.0,
        sight_m=100.0 if speed_mps < 20.0 else 200.0,
        leads=0,
        oncoming=0,
        parked_spacing_m=1e6,
        cut_in_spacing_m=0.0,
        tree_spacing_m=1e6,
        building_spacing_m=1e6,
        start_speed_share=0.8,
    )


def build_scene(seed: int, speed_mps: float, sensor: str) -> tuple[Scene, PacedLead]:
    """A fresh scene and its lead, which brakes once it is told when."""
    world = World(seed, winding_road(speed_mps))
    start = world.vehicle.speed_mps
    front = world.geometry.length_m - world.geometry.rear_overhang_m
    lead = PacedLead()
    s = START_S_M + front + LEAD_GAP_M + LEAD_GAP_S * start + CAR[0] / 2
    _add(world, LEAD_ID, s, start, lead)
    follower = HumanFollower(1.1 * speed_mps)
    s = START_S_M - world.geometry.rear_overhang_m - FOLLOWER_GAP_M - GAP_S * start - CAR[0] / 2
    _add(world, FOLLOWER_ID, s, start, follower)
    driver = Expert(world)
    pictures = MomentPictures(driver)
    return Scene(world, pictures, SensorModel(seed, sensor), driver, VehicleGate()), lead


def _add(world: World, actor_id: int, s_m: float, speed_mps: float, behaviour: PacedLead | HumanFollower) -> None:
    length, width, height = CAR
    actor = Actor(actor_id, VEHICLE, "campaign", s_m, 0.0, length, width, height, 0)
    actor.speed_mps, actor.behaviour = speed_mps, behaviour
    actor.place(world.road)
    world.traffic.moving.append(actor)
