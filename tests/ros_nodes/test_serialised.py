"""Bytes that are read and written without rclpy's messages are what rclpy itself makes of these messages."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from geometry_msgs.msg import AccelWithCovarianceStamped, Transform, Twist, TwistWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from trajectory_msgs.msg import MultiDOFJointTrajectory, MultiDOFJointTrajectoryPoint

from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.cdr import Header, Stamp
from onboard_vla.ros_nodes.reading import read
from onboard_vla.ros_nodes.topics import ACCELERATION, ODOMETRY, TRAJECTORY, TWIST
from onboard_vla.ros_nodes.trajectory_cdr import POINT, write_trajectory

pytestmark = pytest.mark.ros

numbers = st.floats(allow_nan=False)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
seconds = st.integers(-(2**31), 2**31 - 1)
KINDS = {
    ODOMETRY: Odometry,
    ACCELERATION: AccelWithCovarianceStamped,
    TWIST: TwistWithCovarianceStamped,
    TRAJECTORY: MultiDOFJointTrajectory,
}


def message_of(kind: str, stamp: tuple[int, int], frames: list[str], values: list[float]):
    """A message with every field that is read filled, and covariances that are not 0."""
    message = KINDS[kind]()
    message.header.stamp.sec, message.header.stamp.nanosec = stamp
    message.header.frame_id = frames[0]
    if kind == ODOMETRY:
        message.child_frame_id = frames[1]
        position, turned = message.pose.pose.position, message.pose.pose.orientation
        position.x, position.y, position.z = values[:3]
        turned.x, turned.y, turned.z, turned.w = values[3:7]
        message.pose.covariance = np.arange(36.0)
    outer = message.accel if kind == ACCELERATION else message.twist
    outer.covariance = np.arange(36.0)
    inner = outer.accel if kind == ACCELERATION else outer.twist
    inner.linear.x, inner.linear.y, inner.linear.z = values[7:10]
    inner.angular.x, inner.angular.y, inner.angular.z = values[10:13]
    return message


def same(found: object, expected: object) -> None:
    """All fields of what was read, and of what stands in them."""
    fields = getattr(found, "_fields", None)
    if fields is None:
        assert found == expected
        return
    for field in fields:
        same(getattr(found, field), getattr(expected, field))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([ODOMETRY, ACCELERATION, TWIST]),
    stamp=st.tuples(seconds, st.integers(0, 2**32 - 1)),
    frames=st.lists(names, min_size=2, max_size=2),
    values=st.lists(numbers, min_size=13, max_size=13),
)
def test_what_is_read_from_bytes_is_what_rclpy_reads(kind, stamp, frames, values) -> None:
    data = serialize_message(message_of(kind, stamp, frames, values))
    same(read(kind, KINDS[kind], data), deserialize_message(data, KINDS[kind]))


def rows(count: int) -> np.ndarray:
    points = np.zeros(count, POINT)
    rng = np.random.default_rng(count)
    points["translation"], points["velocity"] = rng.normal(size=(count, 3)), rng.normal(size=(count, 6))
    points["change"], points["sec"], points["nanosec"] = rng.normal(size=(count, 6)), range(count), 5 * count
    for point in points:
        angle = rng.normal()
        point["rotation"] = 0.0, 0.0, math.sin(angle), math.cos(angle)
    return points


def as_message(header: Header, joint: str, points: np.ndarray) -> MultiDOFJointTrajectory:
    message = MultiDOFJointTrajectory(joint_names=[joint])
    message.header.stamp.sec, message.header.stamp.nanosec = header.stamp
    message.header.frame_id = header.frame_id
    for row in points:
        transform, velocity, change = Transform(), Twist(), Twist()
        transform.translation.x, transform.translation.y, transform.translation.z = row["translation"].tolist()
        turned = transform.rotation
        turned.x, turned.y, turned.z, turned.w = row["rotation"].tolist()
        for twist, values in ((velocity, row["velocity"].tolist()), (change, row["change"].tolist())):
            twist.linear.x, twist.linear.y, twist.linear.z = values[:3]
            twist.angular.x, twist.angular.y, twist.angular.z = values[3:]
        point = MultiDOFJointTrajectoryPoint(transforms=[transform], velocities=[velocity], accelerations=[change])
        point.time_from_start.sec, point.time_from_start.nanosec = int(row["sec"]), int(row["nanosec"])
        message.points.append(point)
    return message


@settings(max_examples=40, deadline=None)
@given(frame=names, joint=names, count=st.sampled_from([0, 1, 2, 51]))
def test_a_trajectory_is_written_as_rclpy_writes_it_and_read_back(frame, joint, count) -> None:
    header, points = Header(Stamp(1_795_000_000, 123_456_789), frame), rows(count)
    message, data = as_message(header, joint, points), write_trajectory(header, joint, points)
    # Not compared byte by byte: rclpy leaves what stands between its fields as it was.
    theirs = serialize_message(message)
    assert len(data) == len(theirs)
    assert deserialize_message(data, MultiDOFJointTrajectory) == message
    for written in (data, theirs):
        back = read(TRAJECTORY, MultiDOFJointTrajectory, written)
        assert back.header == header
        assert all(np.array_equal(back.points[name], points[name]) for name in POINT.names)


@pytest.mark.parametrize("lists", [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 3)])
@pytest.mark.parametrize("frame", ["odom", "odometry"])
def test_a_point_with_another_number_of_transforms_velocities_or_accelerations_is_refused(lists, frame) -> None:
    message = as_message(Header(Stamp(1, 2), frame), "base_link", rows(3))
    odd = MultiDOFJointTrajectoryPoint(
        transforms=[Transform()] * lists[0], velocities=[Twist()] * lists[1], accelerations=[Twist()] * lists[2]
    )
    for place in (0, 1, 3):
        message.points = [*rows_of(message)[:place], odd, *rows_of(message)[place:]][:4]
        with pytest.raises(WireError, match="trajectory"):
            read(TRAJECTORY, MultiDOFJointTrajectory, serialize_message(message))


def rows_of(message: MultiDOFJointTrajectory) -> list[MultiDOFJointTrajectoryPoint]:
    return as_message(Header(Stamp(1, 2), ""), "", rows(3)).points


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_was_cut_off_anywhere_is_refused(kind) -> None:
    if kind == TRAJECTORY:
        data = write_trajectory(Header(Stamp(1, 2), "odom"), "base_link", rows(2))
    else:
        data = serialize_message(message_of(kind, (1, 2), ["odom", "base_link"], [0.5] * 13))
    read(kind, KINDS[kind], data)
    for length in range(4, len(data)):
        with pytest.raises(WireError):
            read(kind, KINDS[kind], data[:length])


def test_a_message_in_the_other_byte_order_is_read_too() -> None:
    values = struct.pack(">6d", 1.5, -2.5, 3.5, 4.5, 5.5, -6.5) + struct.pack(">36d", *range(36))
    front = struct.pack(">iII", 7, 8, 10) + b"base_link\0"
    data = b"\0\0\0\0" + front + bytes(-len(front) % 8) + values
    found = read(TWIST, TwistWithCovarianceStamped, data)
    assert found.header == Header(Stamp(7, 8), "base_link")
    assert (found.twist.twist.linear.x, found.twist.twist.angular.z) == (1.5, -6.5)
