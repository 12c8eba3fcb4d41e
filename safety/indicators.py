"""Safety performance indicators of one instant, in the coordinates of the observed lane; advisory, outside the cycle.

Definitions: criticality.py (Westhofen et al. 2022, UN Regulation 157's brake model) and rss.py (Shalev-Shwartz et al.
2017) with conservative parameters, which ordinary traffic violates now and then: they are counted, nobody brakes for
them. Objects hold their speed; who does not follow the road crosses it where their course meets the vehicle's line.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.road import AMBER, RED, LaneObservation
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.criticality import (
    deceleration_to_avoid_crash_mps2,
    post_encroachment_time_s,
    time_headway_s,
    time_to_brake_s,
    time_to_collision_accelerated_s,
    times_in_zone_s,
)
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.inputs import LANES, OBJECTS, Inputs
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.prediction import follows_road, seen_from, without_sliding
from onboard_vla.safety.rss import CONSERVATIVE_EGO, stop_before_intersection_m
from onboard_vla.safety.rss_margin import rss_margins_m

Array = NDArray[np.float64]

BRAKE_MPS2, JERK_MPS3, DELAY_S = 6.0, 12.65, 0.2
"""Full braking of the time to brake: the emergency stop's, with UN Regulation 157's jerk; delay of the actuators."""
CROSSING_MPS = 0.5
"""Slower across the lane, and nobody crosses it."""
CROSSING_S = 10.0
"""Ways that cross later than this do not concern anybody yet."""
PASSED_M = 1.0
"""A stop point this far behind the front has been passed."""


def indicators_of(
    inputs: Inputs, motion: Motion | None, config: SupervisorConfig, config_hash: str, now: Now
) -> SafetyIndicators | None:
    """Of this instant; None while the vehicle's state, objects or lanes are not known, or are silent too long."""
    lanes, line, limits = inputs.lanes, inputs.lane_line, config.freshness
    heard = inputs.arrivals.get(OBJECTS), inputs.arrivals.get(LANES)
    if motion is None or lanes is None or line is None or None in heard:
        return None
    silent = max(seconds(now.monotonic_ns - arrival.received_ns) for arrival in heard if arrival is not None)
    if silent > max(limits.objects_reception_s, limits.lanes_reception_s):
        return None
    here = inputs.objects.confirmed.at(now.stamp_ns)
    return measure(motion, here, line, lanes, config.vehicle, now.stamp_ns, config_hash)


def measure(
    motion: Motion,
    objects: ObjectSet,
    lane: Polyline,
    lanes: LaneObservation,
    vehicle: VehicleGeometry,
    stamp_ns: int,
    config_hash: str,
) -> SafetyIndicators:
    """All indicators. `objects` at the present instant; `lane`: the centreline of `lanes`."""
    states = np.concatenate([_own_state(motion, vehicle), without_sliding(objects)])
    s, d, along, across, direction = seen_from(lane, states)
    cos, sin = np.abs(np.cos(states[:, 2] - direction)), np.abs(np.sin(states[:, 2] - direction))
    half_along = (cos * states[:, 5] + sin * states[:, 6]) / 2
    half_across = (sin * states[:, 5] + cos * states[:, 6]) / 2
    speed = max(float(along[0]), 0.0)
    gap = s[1:] - s[0] - half_along[1:] - half_along[0]
    aside = np.abs(d[1:] - d[0]) - half_across[1:] - half_across[0]
    ahead = (s[1:] > s[0]) & ~(aside > 0.0)
    gaps, leads = gap[ahead], along[1:][ahead]
    crossing = ~follows_road(objects, d[1:], along[1:], across[1:])
    margins = rss_margins_m(motion, objects, lane, vehicle)
    held = time_to_collision_accelerated_s(gaps, speed, motion.acceleration_mps2, leads, 0.0)
    brake = time_to_brake_s(gaps, speed, leads, BRAKE_MPS2, JERK_MPS3, DELAY_S)
    return SafetyIndicators(
        stamp_ns=stamp_ns,
        speed_mps=motion.speed_mps,
        objects=len(objects.states),
        headway_s=_least(time_headway_s(gaps, speed)),
        time_to_collision_s=_least(held),
        time_to_brake_s=_least(brake),
        required_deceleration_mps2=-_least(-deceleration_to_avoid_crash_mps2(gaps, speed, leads), 0.0),
        encroachment_s=_least(_encroachment(s, d, along, across, half_along, half_across, crossing)),
        rss_margin_m=_least(margins),
        rss_violations=int(np.count_nonzero(~(margins >= 0.0))),
        stop_margin_m=_stop_margin(lane, lanes, float(s[0] + half_along[0]), speed),
        config_hash=config_hash,
    )


def _own_state(motion: Motion, vehicle: VehicleGeometry) -> Array:
    """The vehicle as a row (1, 7) like an object's: centre, heading, velocity, length, width."""
    cos, sin = math.cos(motion.heading_rad), math.sin(motion.heading_rad)
    ahead, speed = vehicle.centre_offset_m, max(motion.speed_mps, 0.0)
    x, y = motion.x_m + ahead * cos, motion.y_m + ahead * sin
    return np.array([[x, y, motion.heading_rad, speed * cos, speed * sin, vehicle.length_m, vehicle.width_m]])


def _encroachment(
    s: Array, d: Array, along: Array, across: Array, half_along: Array, half_across: Array, crossing: NDArray[np.bool_]
) -> Array:
    """Post-encroachment times with those of the `crossing` (N,) who meet the vehicle's way ahead of it.

    All else (N + 1,), the vehicle first.
    """
    aside = d[1:] - d[0]
    to_cross = np.abs(aside)
    toward = -np.sign(aside) * across[1:]
    moving = crossing & (toward > CROSSING_MPS)
    wait_s = np.where(moving, to_cross / np.where(moving, toward, 1.0), np.inf)
    place = s[1:] + along[1:] * np.where(moving, wait_s, 0.0)
    rows = moving & (wait_s <= CROSSING_S) & (place > s[0])
    if not rows.any():
        return np.zeros(0)
    width = half_across[1:][rows] + half_across[0]
    length = half_along[1:][rows] + half_along[0]
    room = place[rows] - s[0]
    enters, leaves = times_in_zone_s(room - length, room + length, max(float(along[0]), 0.0))
    theirs = times_in_zone_s(to_cross[rows] - width, to_cross[rows] + width, toward[rows])
    return post_encroachment_time_s(enters, leaves, *theirs)


def _stop_margin(lane: Polyline, lanes: LaneObservation, front_s: float, speed: float) -> float:
    """To the nearest signal that is not green, less what stopping before it takes; infinite without one."""
    stops = [(signal.x_m, signal.y_m) for signal in lanes.signals if signal.state in (RED, AMBER)]
    if not stops:
        return math.inf
    s, _ = lane.project(np.array(stops))
    gaps = s - front_s
    room = _least(gaps[gaps >= -PASSED_M])
    return room - float(stop_before_intersection_m(speed, CONSERVATIVE_EGO))


def _least(values: Array, without: float = math.inf) -> float:
    """The least; NaN if any is; `without` for none."""
    return float(values.min()) if len(values) else without
