"""What the expert can say about a scene: a small typed vocabulary that training turns into text."""

from __future__ import annotations

from dataclasses import dataclass

STRAIGHT, CURVE_LEFT, CURVE_RIGHT = "straight road", "left curve", "right curve"
JUNCTION_AHEAD, IN_JUNCTION = "junction ahead", "in a junction"
SCENES = (STRAIGHT, CURVE_LEFT, CURVE_RIGHT, JUNCTION_AHEAD, IN_JUNCTION)

LEAD_VEHICLE, CUT_IN_VEHICLE, CROSSING_PEDESTRIAN, PARKED_VEHICLE, ONCOMING_VEHICLE, RED_SIGNAL = (
    "lead vehicle",
    "vehicle cutting in",
    "crossing pedestrian",
    "parked vehicle",
    "oncoming vehicle",
    "red signal",
)
CRITICAL_KINDS = (
    LEAD_VEHICLE,
    CUT_IN_VEHICLE,
    CROSSING_PEDESTRIAN,
    PARKED_VEHICLE,
    ONCOMING_VEHICLE,
    RED_SIGNAL,
)

CRUISE, FOLLOW, YIELD, STOP_AT_SIGNAL, SLOW_FOR_CURVE, RETURN_TO_LANE = (
    "cruise",
    "follow",
    "yield",
    "stop at signal",
    "slow for curve",
    "return to lane centre",
)
INTENTS = (CRUISE, FOLLOW, YIELD, STOP_AT_SIGNAL, SLOW_FOR_CURVE, RETURN_TO_LANE)

GO_STRAIGHT, BEAR_LEFT, BEAR_RIGHT, TURN_LEFT, TURN_RIGHT = (
    "go straight",
    "bear left",
    "bear right",
    "turn left",
    "turn right",
)
LATERAL_ACTIONS = (GO_STRAIGHT, BEAR_LEFT, BEAR_RIGHT, TURN_LEFT, TURN_RIGHT)

HOLD_SPEED, SPEED_UP, SLOW_DOWN, BRAKE, STOP, STAND = (
    "hold speed",
    "speed up",
    "slow down",
    "brake",
    "stop",
    "stand",
)
LONGITUDINAL_ACTIONS = (HOLD_SPEED, SPEED_UP, SLOW_DOWN, BRAKE, STOP, STAND)

TURN_RAD, BEAR_RAD = 0.6, 0.08
"""A motion that ends with a larger change of heading turns, or bears to a side."""
STANDING_MPS = 0.3
"""Slower than this is standing."""
CHANGE_MPS, BRAKE_MPS = 0.8, 3.0
"""A change of speed within 3 s that has a name, and one that is braking."""


def lateral_action(turn_rad: float) -> str:
    """What a motion of 5 s does sideways, from its change of heading."""
    if abs(turn_rad) > TURN_RAD:
        return TURN_LEFT if turn_rad > 0 else TURN_RIGHT
    if abs(turn_rad) > BEAR_RAD:
        return BEAR_LEFT if turn_rad > 0 else BEAR_RIGHT
    return GO_STRAIGHT


def longitudinal_action(now_mps: float, after_3s_mps: float, after_5s_mps: float) -> str:
    """What a motion of 5 s does along the road, from its speed now, after 3 s and at the end."""
    if now_mps < STANDING_MPS and after_3s_mps < STANDING_MPS:
        return STAND
    if after_5s_mps < STANDING_MPS:
        return STOP
    change = after_3s_mps - now_mps
    if change > CHANGE_MPS:
        return SPEED_UP
    if change < -BRAKE_MPS:
        return BRAKE
    return SLOW_DOWN if change < -CHANGE_MPS else HOLD_SPEED


@dataclass(frozen=True)
class CriticalObject:
    """Something that matters for the next seconds. `distance_m`: from the ego vehicle's front along the lane.

    `speed_mps`: along the lane, negative towards the ego vehicle.
    """

    kind: str
    distance_m: float
    speed_mps: float


@dataclass(frozen=True)
class SceneDescription:
    """Scene, up to three critical objects (nearest first), the expert's intent, and its action in words."""

    scene: str
    critical: tuple[CriticalObject, ...]
    intent: str
    lateral: str
    longitudinal: str
