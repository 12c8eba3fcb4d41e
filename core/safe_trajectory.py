"""What the vehicle gets: a trajectory, who made it, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.verdict import Reason


class Mode(IntEnum):
    """The ladder, ordered from least to most restrictive."""

    NOMINAL = 0
    REDUCED = 1
    FALLBACK = 2
    IN_LANE_STOP = 3
    EMERGENCY_STOP = 4
    STOPPED = 5


class Engagement(Enum):
    """Who drives."""

    STANDBY = "standby"
    ENGAGED = "engaged"
    DRIVER_OVERRIDE = "driver_override"
    LATCHED = "latched"


UNOCCUPIED = (Engagement.STANDBY, Engagement.DRIVER_OVERRIDE)
"""A person drives, or nobody: the system has not got the vehicle."""


class Takeover(IntEnum):
    """What is asked of the driver. Advisory: be ready. Mandatory: take over; it stands until the driver acts."""

    NONE = 0
    ADVISORY = 1
    MANDATORY = 2


@dataclass(frozen=True, eq=False)
class SafeTrajectory:
    """Published by the supervisor at its own fixed rate; its arrival is the supervisor's heartbeat.

    `points`: (T, 6) float64: time from stamp_ns (s), x, y (m, odometry frame), heading (rad), speed (m/s),
    acceleration (m/s^2). `source` names the planner that made the points: "model", "fallback", "stop" or "none"; or it
    is "shadow": the verdicts of a supervisor that only watches, which no gate may take for an authority.
    `takeover_stamp_ns`, `driver_stamp_ns`: when the newest takeover request began, and when the driver acted on it;
    NO_STAMP where that has not happened. `refusals`: why the newest operator command was not obeyed.
    `shadow_passes`: consecutive model plans that passed every guard while the model was not driving.
    `config_hash`: SHA-256 (hex) over the settings that this was decided with.
    """

    stamp_ns: int
    sequence: int
    engagement: Engagement
    mode: Mode
    source: str
    plan_id: int
    reasons: tuple[Reason, ...]
    points: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None, 6)})
    hazard_lights: bool
    takeover: Takeover
    takeover_stamp_ns: int
    driver_stamp_ns: int
    refusals: tuple[Reason, ...]
    shadow_passes: int
    config_hash: str


@dataclass(frozen=True)
class OperatorCommand:
    """Sent by the operator (or the demo): "engage", "disengage", "rearm" or "stop"."""

    stamp_ns: int
    command: str


@dataclass(frozen=True)
class DriverState:
    """What the driver does. `override` is true while the driver steers, brakes or accelerates against the system."""

    stamp_ns: int
    override: bool


NO_STAMP = -1
SHADOW = "shadow"
ENGAGE, DISENGAGE, REARM, STOP = "engage", "disengage", "rearm", "stop"
