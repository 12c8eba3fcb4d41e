"""What ego states and wheel speeds say: against what a vehicle can do, against themselves and each other (10.2 F17)."""

from __future__ import annotations

import math

from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.ego import HEADING_MAX_RAD, POSITION_MAX_M, EgoState, WheelSpeed
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import EgoLimits
from onboard_vla.safety.ego_history import EgoHistory
from onboard_vla.safety.input_config import WheelLimits


def ego_fault(ego: EgoState, history: EgoHistory, limits: EgoLimits) -> Reason | None:
    """Why this state must not be used; `history` holds the ones before it."""
    values = (ego.x_m, ego.y_m, ego.heading_rad, ego.speed_mps, ego.acceleration_mps2, ego.yaw_rate_rps)
    if not all(math.isfinite(value) for value in values):
        return Reason("EGO_NOT_FINITE", 1.0, 0.0, "a field of the ego state is not finite")
    if (farthest := max(abs(ego.x_m), abs(ego.y_m))) > POSITION_MAX_M:
        return Reason("EGO_IMPLAUSIBLE", farthest, POSITION_MAX_M, "position in the odometry frame, m")
    if abs(ego.heading_rad) > HEADING_MAX_RAD:
        return Reason("EGO_IMPLAUSIBLE", abs(ego.heading_rad), HEADING_MAX_RAD, "heading, rad")
    if abs(ego.yaw_rate_rps) > limits.yaw_rate_max_rps:
        return Reason("EGO_IMPLAUSIBLE", abs(ego.yaw_rate_rps), limits.yaw_rate_max_rps, "yaw rate, rad/s")
    newest = history.newest
    before = None if newest is None else (newest.stamp_ns, newest.speed_mps)
    return speed_fault("EGO", (ego.stamp_ns, ego.speed_mps), before, limits)


def wheel_fault(wheel: WheelSpeed, before: WheelSpeed | None, limits: EgoLimits) -> Reason | None:
    """Why this wheel speed must not be used; `before`: the last one that was."""
    if not math.isfinite(wheel.speed_mps):
        return Reason("WHEEL_NOT_FINITE", 1.0, 0.0, "the wheel speed is not finite")
    last = None if before is None else (before.stamp_ns, before.speed_mps)
    return speed_fault("WHEEL", (wheel.stamp_ns, wheel.speed_mps), last, limits)


def speed_fault(
    source: str, now: tuple[int, float], before: tuple[int, float] | None, limits: EgoLimits
) -> Reason | None:
    """Why a finite speed must not be used: out of range, or farther from the one before than a vehicle can get.

    `now`, `before`: stamp in nanoseconds and speed in metres per second.
    """
    (stamp_ns, speed_mps), low, high = now, limits.speed_min_mps, limits.speed_max_mps
    if not low <= speed_mps <= high:
        return Reason(f"{source}_IMPLAUSIBLE", speed_mps, low if speed_mps < low else high, "speed, m/s")
    if before is None:
        return None
    before_ns, before_mps = before
    change = abs(speed_mps - before_mps)
    reachable = limits.acceleration_max_mps2 * seconds(stamp_ns - before_ns) + limits.speed_jump_mps
    if change > reachable:
        return Reason(f"{source}_JUMP", change, reachable, "speed change between two messages, m/s")
    return None


class SpeedComparison:
    """The two sources side by side; they are apart when several wheel speeds in a row say so."""

    def __init__(self, limits: WheelLimits) -> None:
        self._limits = limits
        self._in_a_row = 0

    def check(self, wheel: WheelSpeed, history: EgoHistory) -> Reason | None:
        """A reason while the sources are apart; nothing where no ego state is near the wheel speed's stamp."""
        motion = history.at(wheel.stamp_ns)
        if motion is None:
            return None
        gap = abs(motion.speed_mps - wheel.speed_mps)
        self._in_a_row = 0 if gap <= self._limits.apart_mps else self._in_a_row + 1
        if self._in_a_row < self._limits.apart_messages:
            return None
        return Reason("SPEED_SOURCES_APART", gap, self._limits.apart_mps, "odometry against wheels, m/s")


def ego_contradiction(history: EgoHistory, limits: EgoLimits) -> Reason | None:
    """Where the newest states contradict each other: speed against displacement, against acceleration, or stuck."""
    ego = history.newest
    if ego is None:
        return None
    return _displacement(ego, history, limits) or _stuck_pose(ego, history, limits) or _gained(ego, history, limits)


def _displacement(ego: EgoState, history: EgoHistory, limits: EgoLimits) -> Reason | None:
    """Reported speed against the distance travelled over a short window."""
    window_s = limits.speed_sources_window_s
    before = history.at(ego.stamp_ns - nanoseconds(window_s))
    if before is None:
        return None
    travelled = math.hypot(ego.x_m - before.x_m, ego.y_m - before.y_m) / window_s
    gap = abs(travelled - abs(before.speed_mps + ego.speed_mps) / 2)
    if gap <= limits.speed_sources_mps:
        return None
    return Reason("EGO_SPEED_SOURCES", gap, limits.speed_sources_mps, "speed against displacement, m/s")


def _stuck_pose(ego: EgoState, history: EgoHistory, limits: EgoLimits) -> Reason | None:
    """The same pose to the bit although the vehicle says that it moves."""
    if not abs(ego.speed_mps) > limits.stuck_speed_mps:
        return None
    states = history.since(ego.stamp_ns - nanoseconds(limits.pose_stuck_s))
    if seconds(ego.stamp_ns - states[0].stamp_ns) < limits.pose_stuck_s:
        return None
    if any((s.x_m, s.y_m, s.heading_rad) != (ego.x_m, ego.y_m, ego.heading_rad) for s in states):
        return None
    return Reason("EGO_POSE_STUCK", abs(ego.speed_mps), limits.stuck_speed_mps, "equal poses at this speed, m/s")


def _gained(ego: EgoState, history: EgoHistory, limits: EgoLimits) -> Reason | None:
    """The change of speed over a window against the acceleration summed up over it."""
    states = history.since(ego.stamp_ns - nanoseconds(limits.gain_window_s))
    if seconds(ego.stamp_ns - states[0].stamp_ns) < limits.gain_window_s:
        return None
    gained, lowest, highest = 0.0, ego.speed_mps, ego.speed_mps
    for i in range(1, len(states)):
        first, second = states[i - 1], states[i]
        mean = (first.acceleration_mps2 + second.acceleration_mps2) / 2
        gained += mean * seconds(second.stamp_ns - first.stamp_ns)
        lowest, highest = min(lowest, first.speed_mps), max(highest, first.speed_mps)
    moving = abs(ego.speed_mps) > limits.stuck_speed_mps
    if moving and highest - lowest <= limits.stuck_spread_mps and abs(gained) > limits.stuck_gain_mps:
        return Reason("EGO_SPEED_STUCK", abs(gained), limits.stuck_gain_mps, "unchanged, while accelerating by, m/s")
    gap = abs(ego.speed_mps - states[0].speed_mps - gained)
    if gap > limits.gain_gap_mps:
        return Reason("EGO_ACCELERATION", gap, limits.gain_gap_mps, "change of speed against acceleration, m/s")
    return None
