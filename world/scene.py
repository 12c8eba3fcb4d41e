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
