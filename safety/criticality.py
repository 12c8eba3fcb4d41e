"""How near two road users are to a collision: closed forms along a common path, vectorised.

Names and definitions follow Westhofen et al., "Criticality metrics for automated driving: a review and suitability
analysis of the state of the art", Arch. Comput. Methods Eng. 2022, doi 10.1007/s11831-022-09788-7 (TTC, DRAC,
a_long_req, THW, PET, TTB). The brake model of the time to brake (delay, jerk ramp of 12.65 m/s^3, then full braking) is
that of UN Regulation 157, annex 4 appendix 3.

`gap_m`: from the front of the follower to the rear of the leader, along the path; zero or less is contact. Speeds and
accelerations are along the path too, so nothing depends on a heading. Nobody drives backwards: who brakes to a stand,
stays there. All arguments broadcast. Where an argument is NaN the result is NaN, which a caller must treat as critical.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def time_to_collision_s(gap_m: ArrayLike, speed_mps: ArrayLike, lead_mps: ArrayLike) -> Array:
    """TTC with both speeds held: gap over closing speed; infinite while not closing, 0 in contact."""
    gap, closing = np.asarray(gap_m, np.float64), np.subtract(speed_mps, lead_mps)
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(gap <= 0.0, 0.0, np.where(closing > 0.0, gap / closing, np.inf))
    return _known(time, gap_m, speed_mps, lead_mps)


def time_to_collision_accelerated_s(
    gap_m: ArrayLike,
    speed_mps: ArrayLike,
    acceleration_mps2: ArrayLike,
    lead_mps: ArrayLike,
    lead_acceleration_mps2: ArrayLike,
) -> Array:
    """TTC with both accelerations held until standstill: the first zero of a gap made of three parabolas.

    The parabolas meet where either of the two comes to a stand.
    """
    rows = np.broadcast_arrays(gap_m, speed_mps, acceleration_mps2, lead_mps, lead_acceleration_mps2)
    gap, v, a, lead_v, lead_a = (np.asarray(row, np.float64) for row in rows)
    stands, lead_stands = _time_to_stand(v, a), _time_to_stand(lead_v, lead_a)
    first, last = np.minimum(stands, lead_stands), np.maximum(stands, lead_stands)
    found, begin = np.full_like(gap, np.inf), np.zeros_like(gap)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for end in (first, last, np.full_like(gap, np.inf)):
            own_s, own_v, own_a = _state_at(v, a, stands, begin)
            other_s, other_v, other_a = _state_at(lead_v, lead_a, lead_stands, begin)
            time = begin + _first_zero(gap + other_s - own_s, own_v - other_v, own_a - other_a)
            found = np.where((time <= end) & (time < found), time, found)
            begin = np.where(np.isfinite(end), end, begin)
    return _known(found, *rows)


def deceleration_to_avoid_crash_mps2(gap_m: ArrayLike, speed_mps: ArrayLike, lead_mps: ArrayLike) -> Array:
    """DRAC: closing speed squared over twice the gap, behind a lead that holds its speed; infinite in contact."""
    return required_deceleration_mps2(gap_m, speed_mps, lead_mps, 0.0)


def required_deceleration_mps2(
    gap_m: ArrayLike, speed_mps: ArrayLike, lead_mps: ArrayLike, lead_acceleration_mps2: ArrayLike
) -> Array:
    """The least constant deceleration that never touches a lead of constant acceleration (until it stands).

    Both are at the same place with the same speed either while the lead still moves, or when both stand. Never
    negative; infinite in contact.
    """
    rows = np.broadcast_arrays(gap_m, speed_mps, lead_mps, lead_acceleration_mps2)
    gap, v, lead_v, lead_a = (np.asarray(row, np.float64) for row in rows)
    closing = v - lead_v
    with np.errstate(divide="ignore", invalid="ignore"):
        moving = (closing > 0.0) & ((lead_a >= 0.0) | (2 * gap / closing <= _time_to_stand(lead_v, lead_a)))
        while_moving = closing**2 / (2 * gap) - lead_a
        lead_stop = np.where(lead_a < 0.0, lead_v**2 / (-2 * lead_a), np.inf)
        at_stand = v**2 / (2 * (gap + lead_stop))
    needed = np.where(moving, while_moving, at_stand)
    return _known(np.where(gap <= 0.0, np.inf, np.maximum(needed, 0.0)), *rows)


def time_headway_s(gap_m: ArrayLike, speed_mps: ArrayLike) -> Array:
    """THW: time until the follower's front is where the lead's rear is now; infinite at standstill."""
    gap, v = np.asarray(gap_m, np.float64), np.asarray(speed_mps, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(gap <= 0.0, 0.0, np.where(v > 0.0, gap / v, np.inf))
    return _known(time, gap_m, speed_mps)


def times_in_zone_s(to_enter_m: ArrayLike, to_leave_m: ArrayLike, speed_mps: ArrayLike) -> tuple[Array, Array]:
    """When someone at constant speed enters and leaves a conflict zone.

    `to_enter_m`: from the front to the zone's begin; `to_leave_m`: from the rear to its end.
    Who is inside has entered at 0 or before; who stands before the zone never enters, who stands in it never leaves.
    """
    v = np.asarray(speed_mps, np.float64)
    times = []
    for distance_m in (to_enter_m, to_leave_m):
        distance = np.asarray(distance_m, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            time = np.where(v > 0.0, distance / v, np.where(distance <= 0.0, -np.inf, np.inf))
        times.append(_known(time, distance_m, speed_mps))
    return times[0], times[1]


def post_encroachment_time_s(
    enters_s: ArrayLike, leaves_s: ArrayLike, other_enters_s: ArrayLike, other_leaves_s: ArrayLike
) -> Array:
    """PET: from the first one's leaving the zone to the second one's entering; negative where both are in it."""
    rows = np.broadcast_arrays(enters_s, leaves_s, other_enters_s, other_leaves_s)
    own_in, own_out, in_, out = (np.asarray(row, np.float64) for row in rows)
    never = (own_in == np.inf) | (in_ == np.inf) | (own_out == -np.inf) | (out == -np.inf)
    with np.errstate(invalid="ignore"):
        time = np.maximum(in_ - own_out, own_in - out)
    return _known(np.where(never, np.inf, time), *rows)


def time_to_brake_s(
    gap_m: ArrayLike,
    speed_mps: ArrayLike,
    lead_mps: ArrayLike,
    deceleration_mps2: float,
    jerk_mps3: float,
    delay_s: float,
) -> Array:
    """TTB: how long the brake demand may still wait; behind a lead that holds its speed. Negative: it is too late.

    After the demand nothing happens for `delay_s`, then braking builds up with `jerk_mps3` to `deceleration_mps2`.
    Infinite while not closing.
    """
    gap, closing = np.asarray(gap_m, np.float64), np.subtract(speed_mps, lead_mps)
    c = np.maximum(closing, 0.0)
    ramp_s = np.minimum(deceleration_mps2 / jerk_mps3, np.sqrt(2 * c / jerk_mps3))
    after = np.maximum(c - jerk_mps3 * ramp_s**2 / 2, 0.0)
    braking = c * ramp_s - jerk_mps3 * ramp_s**3 / 6 + after**2 / (2 * deceleration_mps2)
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(closing > 0.0, (gap - braking) / closing - delay_s, np.inf)
    return _known(np.where(gap <= 0.0, -np.inf, time), gap_m, speed_mps, lead_mps)


def _time_to_stand(speed: Array, acceleration: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        braking = np.where(acceleration < 0.0, speed / -acceleration, np.inf)
    return np.asarray(np.where((speed <= 0.0) & (acceleration <= 0.0), 0.0, braking), np.float64)


def _state_at(speed: Array, acceleration: Array, stands: Array, time: Array) -> tuple[Array, Array, Array]:
    """Distance, speed and acceleration after `time`; nothing moves from `stands` on."""
    t = np.minimum(time, stands)
    standing = time >= stands
    distance = speed * t + acceleration * t**2 / 2
    moving_v = np.where(standing, 0.0, speed + acceleration * t)
    return distance, moving_v, np.where(standing, 0.0, acceleration)


def _first_zero(gap: Array, closing: Array, closing_rate: Array) -> Array:
    """Smallest t >= 0 with gap - closing t - closing_rate t^2 / 2 = 0; infinite without one. No cancellation."""
    inside = closing**2 + 2 * closing_rate * gap
    root = np.sqrt(np.maximum(inside, 0.0))
    opening = closing < 0.0
    time = np.where(opening, (root - closing) / closing_rate, 2 * gap / (closing + root))
    hit = (inside >= 0.0) & np.where(opening, closing_rate > 0.0, closing + root > 0.0)
    return np.asarray(np.where(gap <= 0.0, 0.0, np.where(hit, time, np.inf)), np.float64)


def _known(result: Array, *arguments: ArrayLike) -> Array:
    """The result, NaN wherever an argument is."""
    unknown = np.isnan(np.asarray(arguments[0], np.float64))
    for argument in arguments[1:]:
        unknown = unknown | np.isnan(np.asarray(argument, np.float64))
    return np.asarray(np.where(unknown, np.nan, result), np.float64)
