"""Known answers that the supervisor asks itself for at the start and before every engaging and re-arming.

It finds a damaged installation, settings that have changed in memory, and arithmetic that no longer holds; it says
nothing of sensors, planner or vehicle. A few milliseconds; nothing of it touches the running state.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from onboard_vla.core.plan import PassCount, Plan, Uncertainty
from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.guards.structure import check_structure
from onboard_vla.safety.ladder import step
from onboard_vla.safety.ladder_state import LadderInputs, LadderState, Request
from onboard_vla.safety.last_resort import DECELERATION_MPS2, JERK_MPS3, stop_along
from onboard_vla.safety.longitudinal import POINT_STEP_S, POINTS, stop_distance
from onboard_vla.safety.published import output_fault

SPEED_MPS = 15.0
DISTANCE_TOLERANCE_M = 0.05
"""Points 0.1 s apart against the closed form."""


def self_test(config: SupervisorConfig, expected_hash: str) -> Reason | None:
    """Why the supervisor must not drive; None where every answer is right."""
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("settings are those that were checked", lambda: config_hash(config) == expected_hash),
        ("a plan that is not a number is refused", lambda: _refuses_what_is_no_number(config)),
        ("an emergency request leads to the emergency stop", lambda: _escalates(config)),
        ("the emergency stop is as long as its formula says", _stops_within_its_distance),
        ("an output that is not finite is seen", _sees_bad_output),
    )
    for name, holds in checks:
        try:
            if holds():
                continue
            detail = name
        except Exception as error:
            detail = f"{name}: {error!r}"
        return Reason("SELF_TEST_FAILED", 1.0, 0.0, detail[:300])
    return None


def _refuses_what_is_no_number(config: SupervisorConfig) -> bool:
    limits = config.structure
    poses = np.zeros((limits.poses, 3), np.float32)
    poses[-1, 0] = math.nan
    fine = np.zeros((limits.poses * limits.sub_steps, 3), np.float32)
    doubt = Uncertainty.sure(limits.tokens)
    tokens = tuple(range(limits.tokens))
    plan = Plan(0, 1, 1, limits.step_s, poses, fine, tokens, "fast", 0.0, "", doubt, PassCount(1, 1, 1), {}, "")
    return "PLAN_NOT_FINITE" in {reason.code for reason in check_structure(plan, limits, None)}


def _escalates(config: SupervisorConfig) -> bool:
    driving = LadderState(engagement=Engagement.ENGAGED, mode=Mode.NOMINAL)
    request = Request(Mode.EMERGENCY_STOP, Reason("SELF_TEST", 1.0, 0.0, ""))
    return step(driving, LadderInputs(requests=(request,)), 1, config.ladder).state.mode is Mode.EMERGENCY_STOP


def _stops_within_its_distance() -> bool:
    times = np.arange(POINTS, dtype=np.float64) * POINT_STEP_S
    points = np.zeros((POINTS, 6))
    points[:, 0], points[:, 1], points[:, 4] = times, SPEED_MPS * times, SPEED_MPS
    stopped = stop_along(points, 0.0, times)
    expected = stop_distance(SPEED_MPS, 0.0, DECELERATION_MPS2, JERK_MPS3)
    return bool(stopped[-1, 4] == 0.0) and abs(float(stopped[-1, 1]) - expected) < DISTANCE_TOLERANCE_M


def _sees_bad_output() -> bool:
    points = np.zeros((POINTS, 6))
    points[:, 0] = np.arange(POINTS) * POINT_STEP_S
    good = output_fault(points, POINTS) is None
    points[7, 2] = math.inf
    return good and output_fault(points, POINTS) is not None
