"""Does the plan stay on the drivable area, and before red signals?"""

from __future__ import annotations

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import box_corners
from onboard_vla.core.road import RED, LaneObservation
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import RoadLimits
from onboard_vla.safety.placed_plan import Array, PlacedPlan
from onboard_vla.safety.prediction import place_beside

SAMPLE_S = 0.2
"""Time between checked footprints: 2.8 m at 50 km/h, less than a vehicle's length."""
END_M = 0.05
"""Corners this close to either end of the observed lane are beyond it and not judged here.

Who could not stop before that end is refused for it: `recoverability.check_sight`.
"""


def noses(poses: Array, vehicle: VehicleGeometry) -> Array:
    """Middles (N, 2) of the vehicle's front at rear-axle poses (N, 3)."""
    ahead = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
    return np.asarray(poses[:, :2] + (vehicle.length_m - vehicle.rear_overhang_m) * ahead, np.float64)


def footprints(poses: Array, vehicle: VehicleGeometry) -> Array:
    """Corners (N, 4, 2) of the vehicle at rear-axle poses (N, 3)."""
    ahead = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
    centres = poses[:, :2] + vehicle.centre_offset_m * ahead
    return box_corners(centres, poses[:, 2], vehicle.length_m, vehicle.width_m)


def check_drivable(
    placed: PlacedPlan,
    lanes: LaneObservation,
    stamp_ns: int,
    vehicle: VehicleGeometry,
    limits: RoadLimits,
) -> Reason | None:
    """Footprint corners over the horizon against the lane's left and right extents."""
    times = np.arange(0.0, limits.horizon_s + 1e-9, SAMPLE_S)
    outside, row = outside_by(placed.pose_at(times + seconds(stamp_ns - placed.stamp_ns)), lanes, vehicle)
    if outside <= limits.outside_m:
        return None
    return Reason("OFF_ROAD", outside, limits.outside_m, f"corner outside in {times[row]:.1f} s")


def outside_by(poses: Array, lanes: LaneObservation, vehicle: VehicleGeometry) -> tuple[float, int]:
    """How far the worst footprint corner of `poses` (N, 3) lies outside the lane's extents, and of which pose.

    Negative inside; minus infinity where all corners lie beyond the observed lane.
    """
    corners = footprints(poses, vehicle).reshape(-1, 2)
    line = lanes.line
    s, d = line.project(corners)
    left, right = np.interp(s, line.arc_lengths, lanes.left_m), np.interp(s, line.arc_lengths, lanes.right_m)
    outside = np.maximum(d - left, -d - right)
    outside[(s <= END_M) | (s >= line.length - END_M)] = -np.inf
    index = int(np.argmax(outside))
    return float(outside[index]), index // 4


def check_signals(
    placed: PlacedPlan, lanes: LaneObservation, stamp_ns: int, vehicle: VehicleGeometry, limits: RoadLimits
) -> Reason | None:
    """The vehicle's front against the stop points of red signals within the horizon.

    Beyond the observed lane both are placed along its straight continuation: a signal may be seen where the lane ends.
    """
    red = [signal for signal in lanes.signals if signal.state == RED]
    if not red:
        return None
    times = np.arange(0.0, limits.horizon_s + 1e-9, SAMPLE_S)
    poses = placed.pose_at(times + seconds(stamp_ns - placed.stamp_ns))
    s, _, _ = place_beside(lanes.line, noses(poses, vehicle))
    for signal in red:
        stop, _, _ = place_beside(lanes.line, np.array([[signal.x_m, signal.y_m]]))
        before = s[0] <= stop[0] + limits.red_overrun_m
        overrun = float(s.max() - stop[0])
        if before and overrun > limits.red_overrun_m:
            return Reason("RED_SIGNAL", overrun, limits.red_overrun_m, f"passes signal {signal.signal_id} at red")
    return None
