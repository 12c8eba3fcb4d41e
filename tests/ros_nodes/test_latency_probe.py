"""The probe's arithmetic on messages whose ages are known, and the probe as a node beside a planner."""

from __future__ import annotations

import dataclasses
import json
import signal

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.plan import FAST, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Verdict
from onboard_vla.ros_nodes.latency_probe import LatencyProbe, write

from .nodes import LIMIT_S

MS = 1_000_000
POSES = np.zeros((2, 3), np.float32)
PLAN = Plan(
    1, 1000 * MS, 990 * MS, 0.5, POSES, POSES, (0, 0), FAST, 0.0, "", Uncertainty.sure(2), PassCount(0, 0, 0), {}, "h"
)
TRAJECTORY = SafeTrajectory(
    1100 * MS, 1, Engagement.ENGAGED, Mode.NOMINAL, "model", 1, (), np.zeros((2, 6)), False, Takeover.NONE, -1, -1, (),
    0, "c",
)  # fmt: skip


def at(monotonic_ms: float, stamp_ms: float) -> Now:
    return Now(round(monotonic_ms * MS), round(stamp_ms * MS))


def plan(plan_id: int, oldest_ms: int) -> Plan:
    return dataclasses.replace(PLAN, plan_id=plan_id, oldest_frame_stamp_ns=oldest_ms * MS)


def trajectory(plan_id: int, stamp_ms: int) -> SafeTrajectory:
    return dataclasses.replace(TRAJECTORY, plan_id=plan_id, stamp_ns=stamp_ms * MS)


def values(probe: LatencyProbe, name: str) -> tuple[int, float, float]:
    summary = probe.summary()[name]
    return (summary["n"], summary.get("min"), summary.get("max"))


def test_ages_count_from_the_oldest_picture_and_a_plans_first_trajectory_alone() -> None:
    probe = LatencyProbe()
    probe.take(plan(1, 990), at(0, 1090))
    for step, stamp in enumerate((1100, 1120, 1140)):
        probe.take(trajectory(1, stamp), at(10 + 20 * step, stamp + 2))
    probe.take(plan(2, 1190), at(200, 1305))
    probe.take(trajectory(2, 1320), at(230, 1325))

    assert values(probe, "pictures to plan") == (2, 100.0, 115.0)
    assert values(probe, "pictures to trajectory") == (2, 112.0, 135.0)
    assert values(probe, "trajectory age") == (4, 2.0, 5.0)
    assert values(probe, "gap between plans") == (1, 200.0, 200.0)
    assert values(probe, "gap between trajectories") == (3, 20.0, 180.0)


def test_a_trajectory_that_overtakes_its_plan_counts_from_its_own_arrival() -> None:
    probe = LatencyProbe()
    probe.take(trajectory(1, 1100), at(0, 1101))
    probe.take(plan(1, 990), at(1, 1102))
    probe.take(trajectory(1, 1120), at(20, 1121))

    assert values(probe, "pictures to trajectory") == (1, 111.0, 111.0)


def test_fallback_trajectories_and_rejections_are_no_latency() -> None:
    probe = LatencyProbe()
    probe.take(trajectory(-1, 1100), at(0, 1101))
    probe.take(PlanRejection(3, 5, "frames_invalid", ""), at(1, 1101))
    probe.take(Verdict("front", 1000 * MS, 1, True, (), ""), at(2, 1007))

    assert probe.summary()["pictures to trajectory"]["n"] == 0
    assert probe.summary()["rejected plans"] == 1
    assert values(probe, "picture to verdict") == (1, 7.0, 7.0)


def test_on_a_clock_that_goes_in_steps_only_gaps_are_measured() -> None:
    probe = LatencyProbe(ages=False)
    for step in range(2):
        probe.take(plan(step, 990), at(200 * step, 980))
        probe.take(trajectory(step, 1100), at(200 * step + 10, 1080))
        probe.take(Verdict("front", 1000 * MS, 1, True, (), ""), at(200 * step + 11, 960))

    summary = probe.summary()
    for name in ("pictures to plan", "pictures to trajectory", "picture to verdict", "trajectory age"):
        assert summary[name] == {"n": 0, "left_out": 0, "why": summary["ages"]}
    assert "use_sim_time" in summary["ages"]
    assert values(probe, "gap between plans") == (1, 200.0, 200.0)


def test_what_was_measured_stands_beside_it_and_an_empty_histogram_says_why() -> None:
    probe = LatencyProbe()
    assert probe.summary()["pictures to trajectory"]["why"] == "too few messages"
    probe.take(plan(1, 990), at(0, 1090))
    assert "no safe trajectory heard" in probe.summary()["pictures to trajectory"]["why"]
    probe.take(dataclasses.replace(trajectory(-1, 1100), engagement=Engagement.STANDBY), at(0, 1101))

    summary = probe.summary()

    assert summary["pictures to trajectory"]["why"] == "no safe trajectory was made from a plan (standby)"
    assert (summary["bundles"], summary["config_hashes"], summary["engagements"]) == (["h"], ["c"], ["standby"])


def test_a_link_that_it_is_to_write_to_stays(tmp_path) -> None:
    (tmp_path / "link").symlink_to("latency.json")
    write(tmp_path / "link", LatencyProbe(), 1.0)
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "latency.json").read_text())["measured_s"] == 1.0


@pytest.mark.ros
@pytest.mark.timeout(300)
def test_as_a_node_it_measures_and_leaves_its_file_when_told_to_end(start, client, tmp_path) -> None:
    from std_msgs.msg import UInt8MultiArray

    from onboard_vla.core.process_graph import TOPICS
    from onboard_vla.ros_nodes.codec import WireBytes

    out = tmp_path / "latency.json"
    node = start(("-m", "onboard_vla.ros_nodes.latency_probe"), out=out, period_s=0.2)
    plans = client.node.create_publisher(UInt8MultiArray, "onboard_vla/wire/plan", 5)
    client.until(lambda: plans.get_subscription_count() > 0, "the probe listens")
    codec = WireBytes(next(topic for topic in TOPICS if topic.name == "plan"))

    def measured() -> bool:
        stamp_ns = client.node.get_clock().now().nanoseconds - 50 * MS
        plans.publish(codec.pack(dataclasses.replace(PLAN, oldest_frame_stamp_ns=stamp_ns))[""])
        return out.exists() and json.loads(out.read_text())["pictures to plan"]["n"] > 0

    client.until(measured, "a measurement")
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(LIMIT_S) == 0
    document = json.loads(out.read_text())
    assert 50.0 <= document["pictures to plan"]["min"] < 5000.0
    assert {"onboard_vla", "written", "machine", "ros", "load_average"} <= document.keys()
    assert json.dumps(str(out)) in node.said()
