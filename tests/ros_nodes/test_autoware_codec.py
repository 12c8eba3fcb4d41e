"""What Autoware reads, over stub classes with the fields that its message packages publish."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from onboard_vla.core.errors import WireError
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover

from .conftest import ROOM, imported_over
from .message_stubs import standard_stubs, stub_package

STAMP = 1_795_000_000_123_456_789
PLANNING = {
    "TrajectoryPoint": """builtin_interfaces/Duration time_from_start
geometry_msgs/Pose pose
float32 longitudinal_velocity_mps
float32 lateral_velocity_mps
float32 acceleration_mps2
float32 heading_rate_rps
float32 front_wheel_angle_rad
float32 rear_wheel_angle_rad""",
    "Trajectory": "std_msgs/Header header\nTrajectoryPoint[] points",
}
ADAPI = {
    "MrmState": """builtin_interfaces/Time stamp
uint16 UNKNOWN = 0
uint16 NORMAL = 1
uint16 MRM_OPERATING = 2
uint16 MRM_SUCCEEDED = 3
uint16 MRM_FAILED = 4
uint16 NONE = 1
uint16 EMERGENCY_STOP = 2
uint16 COMFORTABLE_STOP = 3
uint16 PULL_OVER = 4
uint16 state
uint16 behavior"""
}


@pytest.fixture(scope="module")
def codec():
    stubs = standard_stubs()
    stub_package("autoware_planning_msgs", PLANNING, stubs)
    stub_package("autoware_adapi_v1_msgs", ADAPI, stubs)
    (codec,) = imported_over(stubs, f"{ROOM}autoware_codec")
    return codec


def safe_trajectory(points=(), mode=Mode.NOMINAL, engagement=Engagement.ENGAGED, source="model"):
    return SafeTrajectory(
        STAMP, 1, engagement, mode, source, 5, (), np.array(points, float).reshape(-1, 6), False, Takeover.NONE,
        NO_STAMP, NO_STAMP, (), 0, "c" * 64,
    )  # fmt: skip


def test_a_circle_keeps_its_points_and_has_its_turn_rate(codec):
    """20 m to the left at 10 m/s: half a radian per second, on both sides of a full turn."""
    times = np.arange(0.0, 4.0, 0.1)
    heading = np.mod(3.0 + 0.5 * times + np.pi, 2 * np.pi) - np.pi
    points = np.column_stack(
        (
            times,
            20 * np.sin(heading),
            -20 * np.cos(heading),
            heading,
            np.full_like(times, 10.0),
            np.full_like(times, -0.5),
        )
    )

    packed = codec.to_autoware_trajectory(safe_trajectory(points))

    assert (packed.header.frame_id, packed.header.stamp.sec) == ("odom", STAMP // 1_000_000_000)
    assert packed.header.stamp.nanosec == STAMP % 1_000_000_000
    for point, row in zip(packed.points, points, strict=True):
        assert point.time_from_start.sec + point.time_from_start.nanosec * 1e-9 == pytest.approx(row[0], abs=1e-9)
        assert (point.pose.position.x, point.pose.position.y, point.pose.position.z) == (row[1], row[2], 0.0)
        assert 2 * math.atan2(point.pose.orientation.z, point.pose.orientation.w) == pytest.approx(row[3])
        assert (point.longitudinal_velocity_mps, point.acceleration_mps2) == (10.0, -0.5)
        assert point.heading_rate_rps == pytest.approx(0.5)
        assert (point.lateral_velocity_mps, point.front_wheel_angle_rad, point.rear_wheel_angle_rad) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("count", [0, 1])
def test_what_has_no_second_point_has_no_turn_rate(codec, count):
    packed = codec.to_autoware_trajectory(safe_trajectory([[0.0, 1.0, 2.0, 0.5, 0.0, 0.0]] * count))

    assert [point.heading_rate_rps for point in packed.points] == [0.0] * count


def test_points_of_one_time_do_not_divide_by_zero(codec):
    row = [0.0, 1.0, 2.0, 0.5, 0.0, 0.0]

    packed = codec.to_autoware_trajectory(safe_trajectory([row, [*row[:3], 0.6, 0.0, 0.0]]))

    assert [point.heading_rate_rps for point in packed.points] == [0.0, 0.0]


def test_a_supervisor_that_only_watches_gives_autoware_nothing_to_follow(codec):
    with pytest.raises(WireError, match="no authority"):
        codec.to_autoware_trajectory(safe_trajectory(source="shadow"))


@pytest.mark.parametrize(
    ("mode", "state", "behavior"),
    [
        (Mode.NOMINAL, "NORMAL", "NONE"),
        (Mode.REDUCED, "NORMAL", "NONE"),
        (Mode.FALLBACK, "NORMAL", "NONE"),
        (Mode.IN_LANE_STOP, "MRM_OPERATING", "COMFORTABLE_STOP"),
        (Mode.EMERGENCY_STOP, "MRM_OPERATING", "EMERGENCY_STOP"),
        (Mode.STOPPED, "MRM_SUCCEEDED", "NONE"),
    ],
)
@pytest.mark.parametrize("engagement", [Engagement.ENGAGED, Engagement.LATCHED])
def test_the_ladders_stops_are_minimal_risk_manoeuvres(codec, mode, state, behavior, engagement):
    packed = codec.to_mrm_state(safe_trajectory(mode=mode, engagement=engagement))

    assert packed.state == getattr(type(packed), state)
    assert packed.behavior == getattr(type(packed), behavior)
    assert (packed.stamp.sec, packed.stamp.nanosec) == divmod(STAMP, 1_000_000_000)


@pytest.mark.parametrize(
    "change", [{"engagement": Engagement.STANDBY}, {"engagement": Engagement.DRIVER_OVERRIDE}, {"source": "shadow"}]
)
def test_who_does_not_drive_has_no_manoeuvre(codec, change):
    packed = codec.to_mrm_state(safe_trajectory(mode=Mode.EMERGENCY_STOP, **change))

    assert (packed.state, packed.behavior) == (type(packed).NORMAL, type(packed).NONE)


def test_the_supervisors_views_are_made_by_this_codec(codec, monkeypatch):
    pytest.importorskip("rclpy", reason="views import the standard messages (extra `ros`)")
    from onboard_vla.ros_nodes.views import MAKERS

    monkeypatch.setitem(sys.modules, f"{ROOM}autoware_codec", codec)
    stopping = safe_trajectory([[0.0, 1.0, 2.0, 0.0, 3.0, -1.0]], mode=Mode.EMERGENCY_STOP)

    trajectory = MAKERS["autoware/trajectory"].make(stopping)
    state = MAKERS["autoware/mrm_state"].make(stopping)

    assert [point.longitudinal_velocity_mps for point in trajectory.points] == [3.0]
    assert (state.state, state.behavior) == (2, 2)
