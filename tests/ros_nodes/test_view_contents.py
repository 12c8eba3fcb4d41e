"""What takeover request, decision and markers say."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.serialization import serialize_message
from visualization_msgs.msg import Marker

from onboard_vla.core.plan import FAST, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.ros_nodes.markers import to_markers
from onboard_vla.ros_nodes.plan_trajectory import to_plan_path, to_plan_trajectory
from onboard_vla.ros_nodes.status_views import takeover_news, to_decision, to_takeover_request
from onboard_vla.ros_nodes.topics import VIEWS
from onboard_vla.ros_nodes.views import MAKERS

pytestmark = pytest.mark.ros
STAMP = 1_795_000_000_123_456_789
POINTS = np.arange(18, dtype=float).reshape(3, 6)
STOPPING = SafeTrajectory(
    STAMP, 7, Engagement.ENGAGED, Mode.IN_LANE_STOP, "stop", -1, (Reason("EGO_STALE", 0.3, 0.2, ""),), POINTS, True,
    Takeover.MANDATORY, STAMP - 5, -1, (), 0, "c" * 64,
)  # fmt: skip
PLAN = Plan(
    3, STAMP, STAMP - 10, 0.5, np.zeros((10, 3), np.float32), np.zeros((50, 3), np.float32), tuple(range(10)), FAST,
    0.25, "go", Uncertainty.sure(10, 0.5), PassCount(1, 1, 10), {"vision": 12.5}, "b",
)  # fmt: skip


def values(status: DiagnosticStatus) -> dict:
    return {pair.key: json.loads(pair.value) for pair in status.values}


def test_takeover_request_says_what_since_when_and_why() -> None:
    status = to_takeover_request(STOPPING)

    assert (status.level, status.message) == (DiagnosticStatus.ERROR, "take over now")
    assert values(status) == {
        "takeover": "MANDATORY",
        "takeover_stamp_ns": STAMP - 5,
        "driver_stamp_ns": -1,
        "mode": "IN_LANE_STOP",
        "reasons": ["EGO_STALE"],
    }


def test_a_takeover_request_is_sent_anew_when_the_driver_acts_and_not_at_each_cycle() -> None:
    again = dataclasses.replace(STOPPING, stamp_ns=STAMP + 20, sequence=8)

    assert takeover_news(again) == takeover_news(STOPPING)
    assert takeover_news(dataclasses.replace(STOPPING, driver_stamp_ns=STAMP)) != takeover_news(STOPPING)
    assert takeover_news(dataclasses.replace(STOPPING, takeover=Takeover.ADVISORY)) != takeover_news(STOPPING)


def test_decision_of_a_plan_has_depth_doubt_passes_and_times() -> None:
    status = to_decision(PLAN)

    said = values(status)
    assert (status.level, status.message) == (DiagnosticStatus.OK, "plan, fast")
    assert (said["plan_id"], said["stamp_ns"], said["slow_probability"]) == (3, STAMP, 0.25)
    assert (said["greatest_spread_m"], said["passes"], said["stage_ms"]) == (0.5, [1, 1, 10], {"vision": 12.5})
    assert said["outside_mass_steps"] == said["tokens"]


def test_decision_of_a_rejection_has_its_code() -> None:
    status = to_decision(PlanRejection(4, STAMP, "tokens_missing", "9 of 10"))

    assert (status.level, status.message) == (DiagnosticStatus.WARN, "rejected: tokens_missing")
    assert values(status)["detail"] == "9 of 10"


def test_a_plan_is_shown_in_the_vehicles_frame_at_its_anchor_pictures_time() -> None:
    # Three quarters of a left turn of 10 m radius in 5 s, so that headings wrap.
    turns = np.linspace(0.0, 1.5 * np.pi, 51)[1:]
    arc = np.stack([10.0 * np.sin(turns), 10.0 * (1.0 - np.cos(turns)), (turns + np.pi) % (2 * np.pi) - np.pi], axis=1)
    plan = dataclasses.replace(PLAN, fine_poses=arc.astype(np.float32))

    trajectory, path = to_plan_trajectory(plan), to_plan_path(plan)

    for header in (trajectory.header, path.header, path.poses[-1].header):
        assert (header.frame_id, header.stamp.sec * 10**9 + header.stamp.nanosec) == ("base_link", STAMP)
    assert trajectory.joint_names == ["base_link"]
    assert [point.time_from_start.sec * 10**9 + point.time_from_start.nanosec for point in trajectory.points] == [
        k * 100_000_000 for k in range(1, 51)
    ]
    last = trajectory.points[-1].transforms[0]
    assert (last.translation.x, last.translation.y) == pytest.approx((-10.0, 10.0), abs=1e-5)
    assert (last.rotation.z, last.rotation.w) == pytest.approx((np.sin(0.75 * np.pi), np.cos(0.75 * np.pi)), abs=1e-6)
    # Ten times the turn rate is the speed; a chord is shorter than its arc by 0.04 %.
    rate = 1.5 * np.pi / 5.0
    motions = [point.velocities[0] for point in trajectory.points]
    np.testing.assert_allclose([motion.angular.z for motion in motions], rate, atol=1e-5)
    np.testing.assert_allclose([motion.linear.x for motion in motions], 10.0 * rate, rtol=5e-4)
    assert not any(point.accelerations for point in trajectory.points)
    shown = [(pose.pose.position.x, pose.pose.position.y) for pose in path.poses]
    np.testing.assert_array_equal(shown, plan.fine_poses[:, :2])


def test_markers_follow_the_trajectory_at_its_own_stamp() -> None:
    ribbon, text = to_markers(STOPPING).markers

    assert [(point.x, point.y) for point in ribbon.points] == [(1, 2), (7, 8), (13, 14)]
    assert (ribbon.header.frame_id, ribbon.header.stamp.nanosec, ribbon.action) == ("odom", 123_456_789, Marker.ADD)
    assert text.text == "IN_LANE_STOP stop EGO_STALE"
    assert (text.pose.position.x, text.pose.position.y) == (1, 2)


def test_without_points_the_ribbon_is_taken_away() -> None:
    ribbon, _ = to_markers(dataclasses.replace(STOPPING, points=np.zeros((0, 6)))).markers

    assert ribbon.action == Marker.DELETE


@pytest.mark.parametrize("message", [STOPPING, PLAN], ids=["trajectory", "plan"])
def test_every_view_whose_package_is_installed_can_be_sent(message) -> None:
    made = [
        MAKERS[row.port].make(message) for row in VIEWS if not row.needs and isinstance(message, MAKERS[row.port].kinds)
    ]

    assert made
    assert all(len(serialize_message(view)) > 50 for view in made)
