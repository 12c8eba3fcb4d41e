"""Core messages through ROS messages, serialised as DDS would, and back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")


from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.errors import WireError
from onboard_vla.core.objects import ObjectList, TrackedObject
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.process_graph import TOPICS, Topic
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.core.wire import encode
from onboard_vla.ros_nodes.codec import codec_for
from onboard_vla.ros_nodes.ego_codec import ACCELERATION, JOIN_LIMIT_NS, ODOMETRY
from onboard_vla.ros_nodes.ports import message_class
from onboard_vla.ros_nodes.reading import read, written
from onboard_vla.ros_nodes.topics import rows_of
from onboard_vla.ros_nodes.trajectory_cdr import read_trajectory
from onboard_vla.ros_nodes.trajectory_codec import to_path

pytestmark = pytest.mark.ros

STAMP = 1_795_000_000_123_456_789
EGO = EgoState(STAMP, 12.5, -3.25, 1.25, 8.5, -0.75, 0.125)
finite = st.floats(-1e6, 1e6)
stamps = st.integers(0, 2**31 * 1_000_000_000 - 1)


def topic(name: str) -> Topic:
    return next(topic for topic in TOPICS if topic.name == name)


def through_dds(name: str, message, order=None):
    """Pack, serialise, deserialise, unpack; the last thing that the receiver's codec returns."""
    packed = codec_for(topic(name)).pack(message)
    receiver, result = codec_for(topic(name)), None
    kinds = {row.part: row.type for row in rows_of(topic(name))}
    for part in order or packed:
        received = read(kinds[part], message_class(kinds[part]), written(packed[part]))
        result = receiver.unpack(part, received)
    return result


def safe_trajectory(points: np.ndarray, **changes) -> SafeTrajectory:
    reasons = (Reason("PLANNER_SILENT", float("inf"), 0.15, "no heartbeat"), Reason("a", 1.5, 2.5, "b"))
    trajectory = SafeTrajectory(
        STAMP, 7, Engagement.ENGAGED, Mode.FALLBACK, "fallback", -1, reasons, points, True,
        Takeover.MANDATORY, STAMP - 5, STAMP - 2, reasons[1:], 3, "c" * 64,
    )  # fmt: skip
    return dataclasses.replace(trajectory, **changes)


def assert_same(first: SafeTrajectory, second: SafeTrajectory, tolerance: float = 1e-9) -> None:
    for field in dataclasses.fields(SafeTrajectory):
        if field.name != "points":
            assert getattr(first, field.name) == getattr(second, field.name), field.name
    np.testing.assert_allclose(first.points, second.points, atol=tolerance)


@settings(max_examples=50, deadline=None)
@given(stamps, st.floats(width=64))
def test_wheel_speed_survives_whatever_its_value(stamp_ns, speed) -> None:
    back = through_dds("wheel_speed", WheelSpeed(stamp_ns, speed))

    assert back.stamp_ns == stamp_ns
    np.testing.assert_equal(back.speed_mps, speed)


def test_wheel_speed_of_another_frame_is_refused() -> None:
    packed = codec_for(topic("wheel_speed")).pack(WheelSpeed(STAMP, 3.0))[""]
    packed.header.frame_id = "front_axle"

    with pytest.raises(WireError, match="front_axle"):
        codec_for(topic("wheel_speed")).unpack("", packed)


@pytest.mark.parametrize("shape", [(252, 448, 3), (1, 1, 3), (3, 5, 3)])
def test_picture_survives_to_the_bit(shape) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    back = through_dds("camera/front", CameraFrame("front", STAMP, 5, image))

    assert (back.camera, back.stamp_ns, back.sequence) == ("front", STAMP, 0)
    assert np.array_equal(back.image, image)


def test_picture_with_padded_rows_is_read_without_them() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    packed = codec_for(topic("camera/front")).pack(CameraFrame("front", STAMP, 0, image))[""]
    padded = np.zeros((4, 16), np.uint8)
    padded[:, :15] = image.reshape(4, 15)
    packed.step, packed.data = 16, padded.tobytes()

    assert np.array_equal(codec_for(topic("camera/front")).unpack("", packed).image, image)


@pytest.mark.parametrize(
    "change", [{"encoding": "bgr8"}, {"width": 6}, {"height": 0}, {"step": 3}, {"data": b"123"}, {"encoding": ""}]
)
def test_picture_whose_description_does_not_fit_is_refused(change) -> None:
    codec = codec_for(topic("camera/front"))
    packed = codec.pack(CameraFrame("front", STAMP, 0, np.zeros((4, 5, 3), np.uint8)))[""]
    for name, value in change.items():
        setattr(packed, name, value)

    with pytest.raises(WireError):
        codec.unpack("", packed)


@settings(max_examples=50, deadline=None)
@given(stamps, finite, finite, st.floats(-3.14, 3.14), finite, finite, finite)
def test_ego_state_survives(stamp, x, y, heading, speed, acceleration, yaw_rate) -> None:
    ego = EgoState(stamp, x, y, heading, speed, acceleration, yaw_rate)

    for order in ((ACCELERATION, ODOMETRY), (ODOMETRY, ACCELERATION)):
        back = through_dds("ego", ego, order)
        assert dataclasses.replace(back, heading_rad=0.0) == dataclasses.replace(ego, heading_rad=0.0)
        assert back.heading_rad == pytest.approx(heading, abs=1e-12)


def test_nan_passes_so_that_the_guards_see_it() -> None:
    back = through_dds("ego", dataclasses.replace(EGO, heading_rad=float("nan"), speed_mps=float("nan")))

    assert np.isnan(back.heading_rad)
    assert np.isnan(back.speed_mps)


def test_ego_state_without_a_recent_acceleration_does_not_exist() -> None:
    codec = codec_for(topic("ego"))
    old = codec.pack(dataclasses.replace(EGO, stamp_ns=STAMP - JOIN_LIMIT_NS - 1))[ACCELERATION]

    assert codec.unpack(ACCELERATION, old) is None
    assert codec.unpack(ODOMETRY, codec.pack(EGO)[ODOMETRY]) is None
    back = codec.unpack(ACCELERATION, codec.pack(EGO)[ACCELERATION])
    assert (back.stamp_ns, back.acceleration_mps2) == (EGO.stamp_ns, EGO.acceleration_mps2)


def test_each_odometry_message_gives_one_ego_state() -> None:
    codec = codec_for(topic("ego"))
    packed = codec.pack(EGO)

    assert codec.unpack(ODOMETRY, packed[ODOMETRY]) is None
    assert codec.unpack(ACCELERATION, packed[ACCELERATION]) is not None
    assert codec.unpack(ACCELERATION, packed[ACCELERATION]) is None


@pytest.mark.parametrize("fault", ["frame", "orientation", "stamp"])
def test_odometry_that_was_never_filled_in_is_refused(fault) -> None:
    codec = codec_for(topic("ego"))
    packed = codec.pack(EGO)
    codec.unpack(ACCELERATION, packed[ACCELERATION])
    odometry = packed[ODOMETRY]
    if fault == "frame":
        odometry.header.frame_id = "map"
    elif fault == "orientation":
        odometry.pose.pose.orientation.w = odometry.pose.pose.orientation.z = 0.0
    else:
        odometry.header.stamp.nanosec = 1_000_000_000

    with pytest.raises(WireError):
        codec.unpack(ODOMETRY, odometry)


@pytest.mark.parametrize("frame", ["imu_link", "odom", "car/base_link", ""])
def test_acceleration_of_another_frame_is_refused_and_is_no_later_ones_value(frame) -> None:
    codec = codec_for(topic("ego"))
    packed = codec.pack(EGO)
    packed[ACCELERATION].header.frame_id = frame

    with pytest.raises(WireError, match=f"acceleration: expected frame 'base_link', found {frame!r}"):
        codec.unpack(ACCELERATION, packed[ACCELERATION])
    assert codec.unpack(ODOMETRY, packed[ODOMETRY]) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.floats(-0.5, 0.5), st.floats(-10, 10))
def test_safe_trajectory_survives_with_headings_over_a_full_turn(count, turn, start) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 50, (count, 6))
    points[:, 0] = np.arange(count) * 0.1
    points[:, 3] = np.mod(start + np.pi, 2 * np.pi) - np.pi + turn * np.arange(count)

    for order in (("trajectory", "state"), ("state", "trajectory")):
        assert_same(through_dds("safe_trajectory", safe_trajectory(points), order), safe_trajectory(points))


def test_halves_of_different_trajectories_are_never_joined() -> None:
    codec = codec_for(topic("safe_trajectory"))
    first, second = safe_trajectory(np.zeros((2, 6))), safe_trajectory(np.ones((2, 6)), stamp_ns=STAMP + 1)

    assert codec.unpack("trajectory", read_trajectory(codec.pack(first)["trajectory"])) is None
    assert codec.unpack("state", codec.pack(second)["state"]) is None
    assert_same(codec.unpack("trajectory", read_trajectory(codec.pack(second)["trajectory"])), second)
    assert_same(codec.unpack("state", codec.pack(first)["state"]), first)


@pytest.mark.parametrize(
    ("key", "value"), [("mode", '"FLYING"'), ("sequence", "1.5"), ("reasons", "[[1]]"), ("source", "{"), (None, None)]
)
def test_state_that_is_not_ours_is_refused(key, value) -> None:
    codec = codec_for(topic("safe_trajectory"))
    state = codec.pack(safe_trajectory(np.zeros((0, 6))))["state"]
    if key is None:
        state.values = state.values[:-1]
    for pair in state.values:
        if pair.key == key:
            pair.value = value

    with pytest.raises(WireError):
        codec.unpack("state", state)


def test_path_for_viewers_has_the_trajectorys_points() -> None:
    points = np.arange(18, dtype=float).reshape(3, 6)

    path = to_path(safe_trajectory(points))

    assert [(pose.pose.position.x, pose.pose.position.y) for pose in path.poses] == [(1, 2), (7, 8), (13, 14)]


def test_wire_bytes_survive_and_another_kind_is_refused() -> None:
    objects = ObjectList(STAMP, (TrackedObject(1, "vehicle", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),))
    assert through_dds("objects", objects) == objects

    codec = codec_for(topic("objects"))
    packed = codec.pack(objects)[""]
    packed.data = encode(Heartbeat("vla_planner", 1, 2, 3, 4, 5, True, ""))
    with pytest.raises(WireError, match="expected ObjectList, found Heartbeat"):
        codec.unpack("", packed)
