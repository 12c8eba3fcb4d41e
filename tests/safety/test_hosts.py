"""The hosts round camera guard and supervisor."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import yaml

from onboard_vla.core.cameras import JPEG, CameraFrame, CompressedFrame
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import BundleError, ConfigurationError, FrameError
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.process_graph import CAMERA_GUARD, SUPERVISOR, TOPICS
from onboard_vla.core.realtime import request_realtime
from onboard_vla.core.refusals import LogState
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory
from onboard_vla.core.settings import SettingsReply, SettingsRequest
from onboard_vla.core.supervision import Supervision
from onboard_vla.core.verdict import Verdict
from onboard_vla.safety.camera_guard_config import CameraGuardConfig
from onboard_vla.safety.camera_guard_host import CameraGuardHost, camera_guard_role
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.driving_marker import DrivingMarker
from onboard_vla.safety.supervisor import Supervisor
from onboard_vla.safety.supervisor_host import SupervisorHost, supervisor_role

FRAME = CameraFrame("front", 1, 0, np.zeros((2, 2, 3), np.uint8))
EGO = EgoState(1, 0.0, 0.0, 0.0, 7.5, 0.0, 0.0)

TRAJECTORY = Supervisor(SupervisorConfig()).tick(Now(1, 1))
CALM = SafetyIndicators(1, 10.0, 1, 2.5, 9.0, math.inf, 0.5, math.inf, 4.0, 0, math.inf, "0" * 64)


def decode(frame: CompressedFrame) -> CameraFrame:
    """Stands for a picture library: a file of as many grey pixels as it has bytes."""
    if len(frame.data) < 3:
        raise FrameError("the file is damaged")
    picture = np.repeat(frame.data[:, None, None], 3, axis=2)
    return CameraFrame(frame.camera, frame.stamp_ns, frame.sequence, picture)


class Guard:
    config_hash = "g" * 64

    def check(self, frame: CameraFrame, speed_mps: float, now: Now) -> Verdict:
        self.speed_mps, self.image = speed_mps, frame.image
        return Verdict(frame.camera, frame.stamp_ns, frame.sequence, True, (), self.config_hash)


def test_guard_host_gives_one_verdict_per_picture_with_the_newest_speed() -> None:
    guard, sent = Guard(), []
    host = CameraGuardHost(guard, decode)
    host.start(sent.append, system_now)

    host.receive(EGO, system_now())
    host.receive(FRAME, system_now())
    host.timers[0].tick()

    verdict, beat = sent
    assert isinstance(verdict, Verdict)
    assert guard.speed_mps == 7.5
    assert isinstance(beat, Heartbeat)
    assert (beat.process, beat.work_started, beat.work_done) == ("camera_guard", 1, 1)


def test_guard_host_judges_the_decoded_picture_of_a_compressed_one_and_refuses_a_damaged_one() -> None:
    guard, sent = Guard(), []
    host = CameraGuardHost(guard, decode)
    host.start(sent.append, system_now)

    host.receive(CompressedFrame("front", 5, 1, JPEG, np.full(4, 77, np.uint8)), system_now())
    host.receive(CompressedFrame("back", 6, 2, JPEG, np.zeros(2, np.uint8)), system_now())

    good, damaged = sent
    assert good.usable
    assert guard.image.shape == (4, 1, 3)
    assert (damaged.camera, damaged.stamp_ns, damaged.usable) == ("back", 6, False)
    assert [(reason.code, reason.detail) for reason in damaged.reasons] == [("DAMAGED", "the file is damaged")]
    assert damaged.config_hash == guard.config_hash


def test_guard_host_shows_work_that_was_not_finished() -> None:
    class Broken:
        def check(self, frame, speed_mps, now):
            raise RuntimeError("no")

    sent = []
    host = CameraGuardHost(Broken(), decode)
    host.start(sent.append, system_now)
    with pytest.raises(RuntimeError):
        host.receive(FRAME, system_now())
    host.timers[0].tick()

    assert (sent[0].work_started, sent[0].work_done) == (1, 0)


def test_supervisor_host_survives_any_message_and_publishes_at_50_hz(capsys) -> None:
    class Fragile:
        def receive(self, message, now):
            raise ValueError("poison")

        def tick(self, now):
            return TRAJECTORY

    sent = []
    host = SupervisorHost(Fragile())
    host.start(sent.append, system_now)
    host.receive(EGO, system_now())
    host.receive(EGO, system_now())
    host.timers[0].tick()

    assert host.refused == 2
    assert capsys.readouterr().err.count('"input_error"') == 1
    assert host.timers[0].period_s == 0.02
    assert sent == [TRAJECTORY]


class Scripted:
    """A supervisor that says what it is told."""

    def __init__(self, trajectories=(), indicators=()):
        self._trajectories, self._indicators = list(trajectories), list(indicators)

    def receive(self, message, now):
        raise AssertionError("not for the supervisor")

    def tick(self, now):
        return self._trajectories.pop(0)

    def indicators(self, now):
        found = self._indicators.pop(0)
        if found is RuntimeError:
            raise found
        return found


def test_supervisor_host_publishes_indicators_ten_times_a_second_and_a_fault_of_theirs_ends_nothing(capsys) -> None:
    sent = []
    host = SupervisorHost(Scripted([TRAJECTORY], [CALM, None, RuntimeError, RuntimeError, CALM]))
    host.start(sent.append, system_now)
    host.timers[1].tick()
    assert sent == [], "nothing is decided before the first tick"
    host.timers[0].tick()
    assert host.timers[1].period_s == 0.1
    for _ in range(5):
        host.timers[1].tick()

    assert [message for message in sent if isinstance(message, SafetyIndicators)] == [CALM, CALM]
    assert capsys.readouterr().err.count('"indicators_failed"') == 1


def test_an_intervention_is_logged_with_the_worst_indicators_of_the_seconds_before(capsys) -> None:
    engaged = dataclasses.replace(TRAJECTORY, engagement=Engagement.ENGAGED)
    modes = (Mode.NOMINAL, Mode.NOMINAL, Mode.FALLBACK, Mode.IN_LANE_STOP, Mode.NOMINAL, Mode.FALLBACK)
    near = dataclasses.replace(CALM, headway_s=0.7)
    host = SupervisorHost(Scripted([dataclasses.replace(engaged, mode=mode) for mode in modes], [CALM, near, CALM]))
    host.start(lambda message: None, system_now)
    host.timers[0].tick()
    for _ in range(3):
        host.timers[1].tick()
    for _ in modes[1:]:
        host.timers[0].tick()

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "before_intervention" in line]
    assert [(line["mode"], line["headway_s"], line["time_to_brake_s"]) for line in lines] == [
        ("FALLBACK", 0.7, None)
    ] * 2


def test_the_planner_is_told_mode_and_time_to_brake_and_what_is_not_known(capsys) -> None:
    sent = []
    near = dataclasses.replace(CALM, time_to_brake_s=1.2)
    modes = (Mode.NOMINAL, Mode.REDUCED, Mode.FALLBACK)
    host = SupervisorHost(Scripted([dataclasses.replace(TRAJECTORY, mode=mode) for mode in modes], [near, None, CALM]))
    host.start(sent.append, system_now)
    for _ in modes:
        host.timers[0].tick()
        host.timers[1].tick()

    told = [message for message in sent if isinstance(message, Supervision)]
    assert [message.mode for message in told] == list(modes)
    assert {message.config_hash for message in told} == {TRAJECTORY.config_hash} != {""}
    assert [message.time_to_brake_s for message in told] == pytest.approx([1.2, math.nan, math.inf], nan_ok=True)


def test_a_request_for_settings_goes_to_the_desk_and_its_reply_out(capsys) -> None:
    sent = []
    host = supervisor_role(yaml.compose).build(supervisor_role(yaml.compose).values({}))
    host.start(sent.append, system_now)
    now = system_now()
    host.receive(SettingsRequest(now.stamp_ns, "schema: 1\nfallback: {speed_cap_mps: 7.0}"), now)
    host.receive(SettingsRequest(now.stamp_ns + 1, "schema: 1\nmood: good"), now)

    assert [(type(reply), reply.accepted) for reply in sent] == [(SettingsReply, True), (SettingsReply, False)]
    assert sent[0].config_hash == sent[1].config_hash != config_hash(SupervisorConfig())
    said = capsys.readouterr().err
    assert said.count('"settings_changed"') == said.count('"settings_refused"') == 1


def test_supervisor_without_thresholds_goes_no_further_than_fallback() -> None:
    sent: list[SafeTrajectory] = []
    role = supervisor_role(yaml.compose)
    host = role.build(role.values({}))
    host.start(sent.append, system_now)
    host.timers[0].tick()

    assert sent[0].mode >= Mode.FALLBACK


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"profile": "race"}, ConfigurationError),
        ({"thresholds": "/no/file"}, BundleError),
        ({"config": "/no/file"}, ConfigurationError),
    ],
)
def test_supervisor_is_not_built_on_wrong_settings(values, error) -> None:
    role = supervisor_role(yaml.compose)
    with pytest.raises(error):
        role.build(role.values(values))


def test_both_processes_take_their_settings_from_the_file_and_say_its_hash(tmp_path, capsys) -> None:
    path = tmp_path / "vehicle.yaml"
    path.write_text("schema: 1\nprofile: simulation\ncamera_guard:\n  frozen_standstill_s: 1\n")
    expected = SupervisorConfig(profile="simulation", camera_guard=CameraGuardConfig(frozen_standstill_s=1.0))

    sent = []
    for role in (supervisor_role(yaml.compose), camera_guard_role(yaml.compose, decode)):
        host = role.build(role.values({"config": str(path)}))
        host.start(sent.append, system_now)
        if role.name == SUPERVISOR:
            for timer in host.timers:
                timer.tick()
        else:
            host.receive(FRAME, system_now())

    assert [type(message) for message in sent] == [SafeTrajectory, Supervision, Verdict]
    assert {message.config_hash for message in sent} == {config_hash(expected)}
    assert capsys.readouterr().err.count(config_hash(expected)) == 2


def test_every_output_of_supervisor_and_camera_guard_carries_the_hash_of_its_settings() -> None:
    outputs = {topic.kind for topic in TOPICS if topic.sender in (SUPERVISOR, CAMERA_GUARD)} - {Heartbeat}

    assert outputs == {SafeTrajectory, SafetyIndicators, Supervision, SettingsReply, Verdict}
    for kind in outputs:
        assert "config_hash" in {field.name for field in dataclasses.fields(kind)}, kind.__name__


def test_a_profile_given_at_the_start_stands_over_the_file_and_changes_the_hash(tmp_path) -> None:
    path = tmp_path / "vehicle.yaml"
    path.write_text("schema: 1\nprofile: simulation\n")
    sent: list[SafeTrajectory] = []
    role = supervisor_role(yaml.compose)
    host = role.build(role.values({"config": str(path), "profile": "vehicle"}))
    host.start(sent.append, system_now)
    host.timers[0].tick()

    assert sent[0].config_hash == config_hash(SupervisorConfig()) != config_hash(SupervisorConfig(profile="simulation"))


def test_realtime_that_is_not_permitted_leaves_the_process_running(monkeypatch, capsys) -> None:
    def refuse(*arguments) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.sched_setscheduler", refuse)

    assert request_realtime("camera_guard", 10) is False
    assert '"no_realtime"' in capsys.readouterr().err


def test_realtime_priority_zero_asks_for_nothing(monkeypatch) -> None:
    monkeypatch.setattr("os.sched_setscheduler", lambda *arguments: pytest.fail("asked"))

    assert request_realtime("camera_guard", 0) is False


def test_what_cannot_be_written_to_a_full_disk_is_published_and_disturbs_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("onboard_vla.safety.supervisor_host.LOG", log := LogState())
    folder = tmp_path / "run"
    folder.mkdir()
    sent: list[SafeTrajectory] = []
    host = SupervisorHost(Supervisor(SupervisorConfig()), marker=DrivingMarker(folder / "driving"))
    host.start(sent.append, system_now)
    host.timers[0].tick()
    before = sent[-1]
    assert not {"LOG_FAILED", "MARKER_FAILED"} & {reason.code for reason in before.reasons}

    log.failed, log.error = 3, "No space left on device"
    host._marker._present = True  # as if it had driven: the marker is to go, and cannot
    monkeypatch.setattr("pathlib.Path.unlink", lambda *arguments, **named: (_ for _ in ()).throw(OSError(30, "ro")))
    host.timers[0].tick()
    host.timers[0].tick()
    found = {reason.code: reason for reason in sent[-1].reasons}
    assert (found["LOG_FAILED"].measured, found["LOG_FAILED"].limit) == (3.0, 0.0)
    assert "No space left" in found["LOG_FAILED"].detail
    assert found["MARKER_FAILED"].measured == 1.0
    assert sent[-1].mode == before.mode
