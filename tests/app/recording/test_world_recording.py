"""A recorded drive replayed in lock-step gives the same plans, verdicts and trajectories, and notices what differs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT, prepare_bundle
from onboard_vla.app.lockstep_parts import CONSTANT_VELOCITY, planner_with_model, planner_without_model
from onboard_vla.app.recording.replay import replay_in_lockstep
from onboard_vla.app.recording.world import WorldDrive, record_world
from onboard_vla.core.cameras import CameraModel, CompressedFrame
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import Plan
from onboard_vla.core.process_graph import VEHICLE, topic_for
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.ros_nodes.bag_messages import MessageReader, MessageRecorder

pytestmark = [pytest.mark.ros, pytest.mark.timeout(180)]
DRIVE = WorldDrive(seed=7, profile="quiet_road", seconds=1.0, warmup_ns=2_000_000_000)
MAKE, THRESHOLDS = planner_without_model(CONSTANT_VELOCITY)


def fresh():
    return MAKE(None)


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "bag"
    record, counts = record_world(path, DRIVE, MAKE, THRESHOLDS)
    return path, record, counts


def test_the_recording_holds_every_input_and_output(drive) -> None:
    path, record, counts = drive
    told = list(MessageReader(path).messages())
    seconds = (told[-1].time_ns - told[0].time_ns) / 1e9

    pictures = [t for t in told if isinstance(t.message, CompressedFrame)]
    assert len(pictures) == pytest.approx(60 * seconds, abs=12)
    assert {t.message.camera for t in told if isinstance(t.message, CameraModel)} == {
        p.message.camera for p in pictures
    }
    assert sum(isinstance(t.message, SafeTrajectory) for t in told) == pytest.approx(50 * seconds, abs=2)
    assert sum(isinstance(t.message, Plan) for t in told) >= len(record.plans) > 3
    assert sum(counts.values()) > len(told)


def test_the_replay_is_the_run_to_the_bit(drive) -> None:
    comparison = replay_in_lockstep(drive[0], fresh, THRESHOLDS)

    assert comparison.same, comparison.first_differences
    assert comparison.equal["Plan"] > 10
    assert comparison.equal["SafeTrajectory"] > 100
    assert comparison.equal["Verdict"] > 200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_models_run_is_repeated_to_the_bit(tmp_path) -> None:
    """The reference checkpoint's INT8 bundle, as `onboard-vla record --world` and `replay` use it."""
    prepared = prepare_bundle(REFERENCE_CHECKPOINT, tmp_path / "bundles", lambda *_: None, lambda _: None)
    make, thresholds = planner_with_model(prepared)
    record_world(tmp_path / "bag", DRIVE, make, thresholds)

    comparison = replay_in_lockstep(tmp_path / "bag", lambda: make(None), thresholds)
    assert comparison.same, comparison.first_differences
    assert comparison.equal["Plan"] > 5


def test_a_planner_that_differs_by_a_millimetre_is_noticed(drive) -> None:
    class Other:
        def __init__(self) -> None:
            self._body = fresh()
            self.receive, self.heartbeat = self._body.receive, self._body.heartbeat

        def plan_once(self, now):
            plan = self._body.plan_once(now)
            if not isinstance(plan, Plan):
                return plan
            return dataclasses.replace(plan, poses=plan.poses + np.float32([0.0, 0.001, 0.0]))

    comparison = replay_in_lockstep(drive[0], Other, THRESHOLDS)

    assert not comparison.same
    assert comparison.differs["Plan"] >= 2 * 10
    assert "Plan was recorded and did not come again so" in " ".join(comparison.first_differences)


def test_a_missing_picture_is_noticed(drive, tmp_path) -> None:
    dropped = iter([True])
    recorder = MessageRecorder(tmp_path / "bag", "compressed")
    for told in MessageReader(drive[0]).messages():
        is_late_picture = isinstance(told.message, CompressedFrame) and told.time_ns > 1_002_000_000_000
        if is_late_picture and next(dropped, False):
            continue
        recorder.write(told.topic, told.message, told.time_ns)
    recorder.close()

    comparison = replay_in_lockstep(tmp_path / "bag", fresh, THRESHOLDS)
    assert not comparison.same
    assert comparison.differs["Verdict"] >= 1


def test_other_settings_of_the_supervisor_are_named(drive) -> None:
    other = dataclasses.replace(THRESHOLDS, created="1999-01-01T00:00:00Z")
    comparison = replay_in_lockstep(drive[0], fresh, other)

    assert comparison.first_differences[0].startswith("settings of the supervisor: recorded with ")
    assert comparison.equal["SafeTrajectory"] == 0
    assert comparison.equal["Plan"] > 10


def test_a_recording_of_real_time_is_refused(drive, tmp_path) -> None:
    recorder = MessageRecorder(tmp_path / "bag", "compressed")
    messages = [t for t in MessageReader(drive[0]).messages() if t.topic.sender == VEHICLE][:50]
    for place, told in enumerate(messages):
        recorder.write(topic_for(VEHICLE, told.message), told.message, 1_000_000_000 + place * 12_345_678)
    recorder.close()

    with pytest.raises(ConfigurationError, match="between two steps"):
        replay_in_lockstep(tmp_path / "bag", fresh, THRESHOLDS)
