"""What the expert says about a scene, in the words of `core/scene_record.py`, and names for what a motion does."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.scene_record import (
    BEAR_LEFT,
    BEAR_RIGHT,
    BRAKE,
    GO_STRAIGHT,
    HOLD_SPEED,
    SLOW_DOWN,
    SPEED_UP,
    STAND,
    STOP,
    TURN_LEFT,
    TURN_RIGHT,
)

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
