"""A moment of a recording: what is gathered, what is drawn, and what is said of cameras without a picture."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from PIL import Image

from onboard_vla.app.recording.moment import read_moment
from onboard_vla.app.recording.snapshot import words_of, write_snapshot
from onboard_vla.app.report.style import MODE_COLOURS
from onboard_vla.core.cameras import CAMERAS, CameraFrame, CompressedFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import FAST, PassCount, Plan, Uncertainty
from onboard_vla.core.process_graph import PLANNER, SUPERVISOR, TOPICS, VEHICLE, topic_for
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.ros_nodes.bag_messages import MessageRecorder
from onboard_vla.runtime.jpeg import encode_frame

pytestmark = pytest.mark.ros
START = 1_000_000_000_000
MS = 1_000_000
ROAD = np.full((252, 448, 3), 90, np.uint8)
SPEED_MPS = 8.0


def ego(stamp_ns: int) -> EgoState:
    return EgoState(stamp_ns, SPEED_MPS * (stamp_ns - START) / 1e9, 0.0, 0.0, SPEED_MPS, 0.0, 0.0)


def plan(stamp_ns: int) -> Plan:
    poses = np.zeros((10, 3), np.float32)
    poses[:, 0] = SPEED_MPS * 0.5 * np.arange(1, 11)
    return Plan(
        plan_id=3, stamp_ns=stamp_ns, oldest_frame_stamp_ns=stamp_ns - 30 * MS, step_s=0.5, poses=poses,
        fine_poses=poses, action_tokens=(0,) * 10, depth=FAST, slow_probability=0.25, text="the road is free",
        uncertainty=Uncertainty.sure(10, 0.75), passes=PassCount(1, 1, 9), stage_ms={"total": 123.0}, bundle_hash="b",
        camera_skew_ms={"front": 0.0, "back": -17.0},
    )  # fmt: skip


def safe(stamp_ns: int, mode: Mode) -> SafeTrajectory:
    points = np.zeros((20, 6))
    points[:, 0] = np.arange(20) * 0.2
    points[:, 1] = ego(stamp_ns).x_m + SPEED_MPS * points[:, 0]
    reasons = (Reason("PLANNER_SILENT", 0.4, 0.15, "no heartbeat, s"),)
    return SafeTrajectory(
        stamp_ns, 1, Engagement.ENGAGED, mode, "fallback", -1, reasons, points, True, Takeover.ADVISORY, -1, -1, (), 0,
        "c",
    )  # fmt: skip


@pytest.fixture
def recorded(tmp_path):
    """Two seconds; the back camera falls silent after one, front_left's pictures are damaged."""
    recorder = MessageRecorder(tmp_path / "bag", "compressed")

    def write(sender: str, message, time_ns: int) -> None:
        recorder.write(topic_for(sender, message), message, time_ns)

    for tick in range(21):
        stamp_ns = START + tick * 100 * MS
        write(VEHICLE, ego(stamp_ns), stamp_ns)
        for camera in CAMERAS:
            if camera == "back" and tick > 10:
                continue
            frame = encode_frame(CameraFrame(camera, stamp_ns, tick, ROAD))
            if camera == "front_left":
                frame = CompressedFrame(camera, stamp_ns, tick, frame.format, frame.data[:200])
            write(VEHICLE, frame, stamp_ns + 20 * MS)
        write(SUPERVISOR, safe(stamp_ns, Mode.NOMINAL if tick < 15 else Mode.FALLBACK), stamp_ns + 30 * MS)
        if tick == 9:
            write(PLANNER, plan(stamp_ns), stamp_ns + 40 * MS)
    verdict = Verdict("front_left", START + 2_000 * MS, 20, False, (Reason("DAMAGED", 1.0, 0.0, "cut"),), "")
    recorder.write(next(topic for topic in TOPICS if topic.name == "verdict"), verdict, START + 2_035 * MS)
    recorder.close()
    return tmp_path / "bag"


def test_a_moment_holds_the_pictures_of_one_instant_and_the_newest_words(recorded) -> None:
    moment = read_moment(recorded)

    assert set(moment.snapshot.images) == {"front", "front_right", "back_left", "back_right"}
    assert np.abs(moment.snapshot.images["front"].astype(int) - 90).max() < 4
    assert "frame_gap" in moment.absent["back"]
    assert "JPEG" in moment.absent["front_left"]
    assert moment.safe.mode is Mode.FALLBACK
    assert moment.plan.plan_id == 3
    assert [step.time_ns for step in moment.record.steps] == [tick * 100 * MS for tick in range(21)]
    assert moment.snapshot.pose == pytest.approx((16.0, 0.0, 0.0))


def test_an_earlier_moment_knows_nothing_of_what_came_later(recorded) -> None:
    moment = read_moment(recorded, 0.85)

    assert moment.plan is None
    assert moment.safe.mode is Mode.NOMINAL
    assert "back" in moment.snapshot.images
    assert moment.snapshot.time_ns == 800 * MS
    assert "no plan until then" in words_of(moment)


def test_words_name_reasons_doubt_and_unfit_cameras(recorded) -> None:
    text = "\n".join(words_of(read_moment(recorded)))

    for expected in (
        "trajectory from fallback, takeover request: advisory",
        "PLANNER_SILENT: no heartbeat, s (0.4, limit 0.15)",
        "plan 3: fast thinking (slow at 25%), 123 ms, oldest picture 0.030 s before the front one",
        "spread up to 0.75 m a step",
        "says: the road is free",
        "back -17 ms",
        "front_left not usable: DAMAGED",
    ):
        assert expected in text


def test_the_picture_shows_the_plan_in_the_front_camera_and_no_black_for_missing_ones(recorded, tmp_path) -> None:
    out = tmp_path / "pictures" / "moment.png"
    write_snapshot(out, read_moment(recorded))
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    height, width = pixels.shape[:2]

    orange = np.array([int(MODE_COLOURS[2][i : i + 2], 16) for i in (1, 3, 5)])
    front = pixels[: height * 3 // 10, width // 3 : width * 2 // 3]
    ribbon = orange * 0.55 + 90 * 0.45
    assert (np.abs(front - ribbon).max(axis=2) < 12).mean() > 0.02
    assert (pixels.max(axis=2) < 20).mean() < 0.02


def test_a_moment_before_anybody_engaged_can_be_drawn(recorded, tmp_path) -> None:
    moment = read_moment(recorded, 0.025)
    assert moment.safe is None
    write_snapshot(tmp_path / "moment.png", moment)
    assert (tmp_path / "moment.png").stat().st_size > 10_000


def test_a_time_outside_the_recording_is_refused(recorded) -> None:
    with pytest.raises(ConfigurationError, match=r"--at 3: .* lasts 2.0 s"):
        read_moment(recorded, 3.0)


def test_a_recording_without_pictures_is_refused(tmp_path) -> None:
    recorder = MessageRecorder(tmp_path / "bag")
    recorder.write(topic_for(VEHICLE, ego(START)), ego(START), START)
    recorder.close()
    with pytest.raises(ConfigurationError, match="no front picture until"):
        read_moment(tmp_path / "bag")
