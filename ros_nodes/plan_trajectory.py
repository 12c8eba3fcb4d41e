"""The model's plan as MultiDOFJointTrajectory and Path: in the vehicle's frame, at the time of its anchor picture.

REP 105: a pose in base_link at a stamp is where it is seen from where base_link was then, so whoever has the vehicle's
TF can place a plan in any frame. What a vehicle may follow is the supervisor's trajectory, not this.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from geometry_msgs.msg import PoseStamped, Transform, Twist
from nav_msgs.msg import Path
from std_msgs.msg import Header
from trajectory_msgs.msg import MultiDOFJointTrajectory, MultiDOFJointTrajectoryPoint

from onboard_vla.core.plan import Plan
from onboard_vla.ros_nodes.frames import VEHICLE_FRAME
from onboard_vla.ros_nodes.stamps import to_duration, to_quaternion, to_time


def to_plan_trajectory(plan: Plan) -> MultiDOFJointTrajectory:
    """Sub-step by sub-step; velocities are the vehicle's own means since the point before: forward, and turn rate.

    Accelerations are left empty: a plan has none.
    """
    message = MultiDOFJointTrajectory(header=_header(plan), joint_names=[VEHICLE_FRAME])
    step_s = _step_s(plan)
    before = (0.0, 0.0, 0.0)
    for number, (x, y, heading) in enumerate(_poses(plan), start=1):
        point = MultiDOFJointTrajectoryPoint(time_from_start=to_duration(number * step_s))
        place, motion = Transform(), Twist()
        place.translation.x, place.translation.y = x, y
        place.rotation = to_quaternion(heading)
        middle = (heading + before[2]) / 2
        forward = (x - before[0]) * np.cos(middle) + (y - before[1]) * np.sin(middle)
        motion.linear.x, motion.angular.z = float(forward) / step_s, (heading - before[2]) / step_s
        point.transforms, point.velocities = [place], [motion]
        message.points.append(point)
        before = x, y, heading
    return message


def to_plan_path(plan: Plan) -> Path:
    """The same points for a viewer."""
    path = Path(header=_header(plan))
    for x, y, heading in _poses(plan):
        pose = PoseStamped(header=path.header)
        pose.pose.position.x, pose.pose.position.y = x, y
        pose.pose.orientation = to_quaternion(heading)
        path.poses.append(pose)
    return path


def _header(plan: Plan) -> Header:
    return Header(stamp=to_time(plan.stamp_ns), frame_id=VEHICLE_FRAME)


def _poses(plan: Plan) -> Iterator[tuple[float, float, float]]:
    headings = np.unwrap(np.concatenate([[0.0], plan.fine_poses[:, 2].astype(np.float64)]))[1:]
    yield from zip(*plan.fine_poses[:, :2].T.astype(float).tolist(), headings.tolist(), strict=True)


def _step_s(plan: Plan) -> float:
    return plan.step_s * len(plan.poses) / len(plan.fine_poses)
