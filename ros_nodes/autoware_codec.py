"""The safe trajectory as Autoware reads it; importing this module needs Autoware's message packages.

Fields of autoware_msgs 1.12.0 (autoware_planning_msgs/Trajectory) and autoware_adapi_v1_msgs/MrmState.
"""

from __future__ import annotations

import numpy as np
from autoware_adapi_v1_msgs.msg import MrmState
from autoware_planning_msgs.msg import Trajectory, TrajectoryPoint
from geometry_msgs.msg import Point, Pose
from numpy.typing import NDArray
from std_msgs.msg import Header

from onboard_vla.core.errors import WireError
from onboard_vla.core.safe_trajectory import SHADOW, Engagement, Mode, SafeTrajectory
from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME
from onboard_vla.ros_nodes.stamps import to_duration, to_quaternion, to_time

LEAST_STEP_S = 1e-6
"""Points closer in time than this have no turn rate."""
BEHAVIORS = {Mode.IN_LANE_STOP: MrmState.COMFORTABLE_STOP, Mode.EMERGENCY_STOP: MrmState.EMERGENCY_STOP}
"""What each stopping mode is called there."""


DRIVING = (Engagement.ENGAGED, Engagement.LATCHED)
"""Who drives is the system; otherwise a person does."""


def to_autoware_trajectory(message: SafeTrajectory) -> Trajectory:
    """Pose, speed, acceleration and turn rate of each point, in the odometry frame, timed from the trajectory's stamp.

    Wheel angles and lateral speed stay 0: a safe trajectory has none, and Autoware's followers derive them.

    Raises:
        WireError: a trajectory of a supervisor that only watches, or a stamp or time that ROS cannot say.
    """
    if message.source == SHADOW:
        raise WireError("a supervisor in shadow has no authority: its trajectory is for nobody to follow")
    points = [
        TrajectoryPoint(
            time_from_start=to_duration(time_s),
            pose=Pose(position=Point(x=x, y=y, z=0.0), orientation=to_quaternion(heading)),
            longitudinal_velocity_mps=speed,
            acceleration_mps2=acceleration,
            heading_rate_rps=rate,
        )
        for (time_s, x, y, heading, speed, acceleration), rate in zip(
            message.points.tolist(), _turn_rates(message.points).tolist(), strict=True
        )
    ]
    return Trajectory(header=Header(stamp=to_time(message.stamp_ns), frame_id=ODOMETRY_FRAME), points=points)


def to_mrm_state(message: SafeTrajectory) -> MrmState:
    """Whether a minimal risk manoeuvre runs or has ended in a standstill, and which one.

    A fallback that follows the lane keeps driving: it is no such manoeuvre. A stop that is held for whatever reason
    has succeeded. While a person drives there is none to report.

    Raises:
        WireError: a stamp that ROS cannot say.
    """
    state, behavior = MrmState.NORMAL, MrmState.NONE
    if message.engagement in DRIVING and message.source != SHADOW:
        if message.mode in BEHAVIORS:
            state, behavior = MrmState.MRM_OPERATING, BEHAVIORS[message.mode]
        elif message.mode is Mode.STOPPED:
            state = MrmState.MRM_SUCCEEDED
    return MrmState(stamp=to_time(message.stamp_ns), state=state, behavior=behavior)


def _turn_rates(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Heading change to the next point over its time, rad/s; the last point keeps the one before."""
    if len(points) < 2:
        return np.zeros(len(points))
    steps = np.diff(points[:, 0])
    turns = np.diff(np.unwrap(points[:, 3]))
    rates = np.where(steps > LEAST_STEP_S, turns / np.maximum(steps, LEAST_STEP_S), 0.0)
    return np.append(rates, rates[-1])
