"""The expert's control law and its five-second forecast on a copy of the plant, compiled.

An obstacle is a row (rear end s, speed, acceleration, from time, until time, gap wanted at standstill); it counts only
in its time window. Lateral law: critically damped return to the lane's centre in distance; longitudinal law: curve
speed with feedback, and car following on the nearest obstacle, both within jerk bounds.
"""

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201
from __future__ import annotations

import numba
import numpy as np

from onboard_vla.world import vehicle as plant
from onboard_vla.world.road import project_point

HORIZON_S, FINE_STEP_S, TICK_S = 5.0, 0.1, 0.02
FOLLOW_TIME_S, ACCELERATION_MPS2, BRAKING_MPS2 = 1.5, 1.2, 2.0
"""Car following of the expert: time gap, acceleration, comfortable braking."""
COOLNESS, KEEP_M = 0.97, 1.0
"""Share of the constant-acceleration heuristic (Kesting et al. 2010: 0.99), and the gap that it never spends."""
HARDEST_BRAKING_MPS2 = 6.0
RETURN_TIME_S, RETURN_MIN_M = 1.2, 5.0
"""Length constant of the return to the lane's centre: travel time, and its least length."""
LATERAL_FEEDBACK_MPS2 = 1.5
"""Feedback never asks for more lateral acceleration than this, at any speed."""
JERK_UP, JERK_DOWN, JERK_EMERGENCY = 1.5, 2.5, 12.0
"""Bounds of jerk, m/s^3; the emergency bound holds for demands below the emergency acceleration."""
EMERGENCY_MPS2 = -2.6
SPEED_GAIN_PER_S = 0.7

_DRIVE_LAG, _STEERING_LAG = plant.DRIVE_LAG_S, plant.STEERING_LAG_S
_MAX_CURVATURE, _MAX_RATE = plant.MAX_CURVATURE_PER_M, plant.MAX_CURVATURE_RATE


@numba.njit(cache=True)
def command(s, d, heading_error, speed, acceleration, time, front, curvatures, profile, obstacles):
    """Acceleration and curvature commanded in this state at `time` seconds from now."""
    last = curvatures.shape[0] - 1
    ahead = s + speed * _STEERING_LAG
    i = min(max(int(ahead), 0), last - 1)
    share = min(max(ahead - i, 0.0), 1.0)
    bend = curvatures[i] + share * (curvatures[i + 1] - curvatures[i])
    length = max(RETURN_MIN_M, RETURN_TIME_S * speed)
    feedback = -2.0 / length * np.sin(heading_error) - d / (length * length)
    bound = LATERAL_FEEDBACK_MPS2 / max(speed * speed, 9.0)
    curvature = bend * np.cos(heading_error) / (1.0 - bend * d) + min(max(feedback, -bound), bound)

    i = min(max(int(s + speed * 0.3), 0), last - 1)
    wanted = profile[i] + (s + speed * 0.3 - i) * (profile[i + 1] - profile[i])
    slope = min(profile[i + 1] - profile[i], 0.0) * speed
    demand = min(max(SPEED_GAIN_PER_S * (wanted - speed) + slope, -BRAKING_MPS2), ACCELERATION_MPS2)
    for k in range(obstacles.shape[0]):
        if time < obstacles[k, 3] or time > obstacles[k, 4]:
            continue
        moving = min(time, 1.5)
        there = max(0.0, obstacles[k, 1] + obstacles[k, 2] * moving)
        gap = obstacles[k, 0] + (obstacles[k, 1] + there) / 2 * moving + there * (time - moving) - s - front
        stand = obstacles[k, 5]
        wish = stand + max(
            0.0,
            speed * FOLLOW_TIME_S + speed * (speed - there) / (2 * np.sqrt(ACCELERATION_MPS2 * BRAKING_MPS2)),
        )
        follow = ACCELERATION_MPS2 * (1.0 - (wish / max(gap, 0.3)) ** 2)
        # Constant-acceleration heuristic: what it takes if the one in front goes on as it does.
        lead_brakes = min(obstacles[k, 2], ACCELERATION_MPS2) if time < 1.5 else 0.0
        room = max(gap - KEEP_M, 0.1)
        if lead_brakes < 0.0 and there * (speed - there) <= -2.0 * room * lead_brakes:
            heuristic = speed * speed * lead_brakes / (there * there - 2.0 * room * lead_brakes)
        else:
            heuristic = lead_brakes - max(speed - there, 0.0) ** 2 / (2.0 * room)
        if follow < heuristic:
            eased = heuristic + BRAKING_MPS2 * np.tanh((follow - heuristic) / BRAKING_MPS2)
            follow = (1.0 - COOLNESS) * follow + COOLNESS * eased
        demand = min(demand, follow)
    demand = max(demand, -HARDEST_BRAKING_MPS2)
    down = JERK_EMERGENCY if demand < EMERGENCY_MPS2 else JERK_DOWN
    demand = min(max(demand, acceleration - down * _DRIVE_LAG), acceleration + JERK_UP * _DRIVE_LAG)
    if speed < 0.3 and demand < 0.1:
        demand = -0.5
    return demand, curvature


@numba.njit(cache=True)
def forecast(x, y, heading, speed, acceleration, curvature, s, front, points, headings, curvatures, profile, obstacles):
    """Drive the plant's copy for the horizon; (50, 6): x, y, heading, speed, acceleration, s at 0.1 s steps."""
    count = round(HORIZON_S / FINE_STEP_S)
    inner = round(FINE_STEP_S / TICK_S)
    out = np.empty((count, 6))
    drive = 1.0 - np.exp(-TICK_S / _DRIVE_LAG)
    steer = 1.0 - np.exp(-TICK_S / _STEERING_LAG)
    time = 0.0
    last = headings.shape[0] - 2
    for row in range(count):
        for _ in range(inner):
            s, d = project_point(points, headings, x, y, int(s))
            i = min(max(int(s), 0), last)
            share = min(max(s - i, 0.0), 1.0)
            lane = headings[i] + share * (headings[i + 1] - headings[i])
            error = (heading - lane + np.pi) % (2 * np.pi) - np.pi
            demand, wanted = command(s, d, error, speed, acceleration, time, front, curvatures, profile, obstacles)
            acceleration += (demand - acceleration) * drive
            wanted = min(max(wanted, -_MAX_CURVATURE), _MAX_CURVATURE)
            change = min(max((wanted - curvature) * steer, -_MAX_RATE * TICK_S), _MAX_RATE * TICK_S)
            mean = curvature + change / 2
            curvature += change
            new_speed = max(0.0, speed + acceleration * TICK_S)
            if new_speed == 0.0:
                acceleration = max(acceleration, -speed / TICK_S)
            distance = (speed + new_speed) / 2 * TICK_S
            middle = heading + distance * mean / 2
            x += distance * np.cos(middle)
            y += distance * np.sin(middle)
            heading += distance * mean
            speed = new_speed
            time += TICK_S
        out[row, 0], out[row, 1], out[row, 2] = x, y, heading
        out[row, 3], out[row, 4], out[row, 5] = speed, acceleration, s
    return out
