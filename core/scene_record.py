"""What a model says about a scene, as a typed record: what is seen, what matters, what it intends and does.

The words are those that the reference checkpoint is trained on (`world/expert.py` says them). The meta-action is a pair
of them, as in AutoVLA's reasoning data (Zhou et al. 2025, arXiv:2506.13757): one for sideways, one for along the road.
"""

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
class SeenObject:
    """Something that matters for the next seconds. `distance_m`: from the vehicle's front along its lane, as said."""

    kind: str
    distance_m: float


@dataclass(frozen=True)
class SceneRecord:
    """A model's own words, for people, logs and records; no check and no trajectory depends on them.

    `code`: empty where the text was read, else why not, and then all else is empty: one of UNREAD. `scene`: one of
    SCENES; `objects`: nearest first, each of CRITICAL_KINDS; `intent`: one of INTENTS; `lateral` and `longitudinal`:
    the meta-action, of LATERAL_ACTIONS and LONGITUDINAL_ACTIONS.
    """

    code: str
    scene: str
    objects: tuple[SeenObject, ...]
    intent: str
    lateral: str
    longitudinal: str

    @classmethod
    def unread(cls, code: str) -> SceneRecord:
        """Nothing is known, and why."""
        return cls(code, "", (), "", "", "")


NO_REASONING, CUT_SHORT, MALFORMED, UNKNOWN_WORDS = "no_reasoning", "cut_short", "malformed", "unknown_words"
UNREAD = (NO_REASONING, CUT_SHORT, MALFORMED, UNKNOWN_WORDS)
"""The model did not reason; its reasoning was ended by force; it has another form; the form fits, its words do not."""
