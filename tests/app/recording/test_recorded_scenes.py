"""Scenes out of a recording are what the planner would have been shown, with what was then driven."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT
from onboard_vla.app.recording import scenes as recorded
from onboard_vla.app.recording.scenes import main, recorded_scenes
from onboard_vla.core.cameras import CameraFrame, CompressedFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process_graph import TOPICS
from onboard_vla.core.road import TURN_LEFT, Route, RouteCommand
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.verification import shapes_of
from onboard_vla.ros_nodes.bag_messages import MessageRecorder
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import prompt_writer
from onboard_vla.runtime.prompt import Tokenizer

SPEED_MPS, STEP_NS, BEGIN_NS = 8.0, 100_000_000, 1_700_000_000_000_000_000
TURN_FROM_M = 26.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(export_bundle(REFERENCE_CHECKPOINT, tmp_path_factory.mktemp("b") / "b", precision="fp32"))


def ego_at(tenths):
    """Straight along x at a constant speed."""
    time_s = tenths / 10
    return EgoState(BEGIN_NS + tenths * STEP_NS, 5.0 + SPEED_MPS * time_s, -2.0, 0.0, SPEED_MPS, 0.0, 0.0)


def drive(bundle, tenths, route=True, brightness=lambda number: 10 * number):
    """Messages of a straight drive at 10 Hz; a picture every half second, as bright as its number and camera."""
    end = RouteCommand(TURN_FROM_M, 1e6, TURN_LEFT)
    line = np.array([[0.0, -2.0], [1000.0, -2.0]])
    if route:
        yield Route("r", line, np.full(2, np.inf), (end,))
    for i in range(tenths + 1):
        yield ego_at(i)
        if i % 5 == 0:
            for number, camera in enumerate(bundle.cameras):
                picture = np.full((240, 320, 3), brightness(i // 5) + number, np.uint8)
                yield CameraFrame(camera, BEGIN_NS + i * STEP_NS, i, picture)


class FakeReader:
    """A recording of messages that a test put in, by the name of its path."""

    drives: ClassVar[dict[str, list]] = {}

    def __init__(self, path):
        if path.name not in self.drives:
            raise ConfigurationError(f"{path} is no recording that can be read")
        self._messages = self.drives[path.name]
        self.bag, self.refused = SimpleNamespace(span_ns=(0, len(self._messages))), {"/a/topic": 3}

    def messages(self, kinds):
        return (SimpleNamespace(message=message, time_ns=i) for i, message in enumerate(self._messages))

    def close(self):
        pass


@pytest.fixture
def drives(monkeypatch):
    monkeypatch.setattr(FakeReader, "drives", {})
    monkeypatch.setattr(recorded, "_opened", FakeReader)
    return FakeReader.drives


@pytest.fixture
def gather(bundle, drives, tmp_path):
    """The scenes of a drive, and what is said of it."""

    def gathered(messages, **options):
        drives["drive"], lines = messages if isinstance(messages, Torn) else list(messages), []
        return list(recorded_scenes(bundle, [tmp_path / "drive"], tell=lines.append, **options)), lines[0]

    return gathered


def brightness(scenes):
    """Of the newest front picture: its number times ten."""
    return [int(scene.images["front"][-1, 0, 0, 0]) for scene in scenes]


def test_pictures_prompt_and_motion_are_those_of_the_moment(bundle, gather):
    scenes, said = gather(drive(bundle, 80))
    assert len(scenes) == 4, "from 1.5 s, when the look-back is full, to 3 s, after which 5 s are driven"
    assert "4 scenes of 14 moments; 10 where the drive ends less than 5 s, a plan's reach, after them" in said
    assert "3 messages of /a/topic could not be read" in said
    writer = prompt_writer(bundle, Tokenizer(bundle.path / bundle.manifest.tokenizer))
    for number, scene in enumerate(scenes):
        at = 15 + 5 * number
        for place, camera in enumerate(bundle.manifest.cameras):
            images = scene.images[camera.role]
            assert images.shape == (4, camera.height, camera.width, 3)
            assert images[:, 0, 0, 0].tolist() == [10 * (number + k) + place for k in range(4)], "oldest first"
            assert (images == images[:, :1, :1, :1]).all()
        command = TURN_LEFT if ego_at(at).x_m >= TURN_FROM_M else "keep forward"
        np.testing.assert_array_equal(scene.prompt_ids, writer.write(ego_at(at), command).ids)
        driven = bundle.codebook.decode(scene.expert_tokens)[0]
        expected = SPEED_MPS * 0.5 * np.arange(1, 11)
        np.testing.assert_allclose(driven[:, 0], expected, atol=0.3)
        np.testing.assert_allclose(driven[:, 1], 0, atol=0.3)


def test_the_command_writes_a_file_that_the_bundle_takes(bundle, drives, tmp_path, capsys):
    drives["drive"] = list(drive(bundle, 80))
    out = tmp_path / "out" / "scenes.npz"
    words = [str(tmp_path / "drive"), "--bundle", str(bundle.path), "--out", str(out), "--every", "1.0"]
    assert main(words) == 0
    assert "2 scenes of 1 recordings" in capsys.readouterr().out
    loaded = load_scenes(out, shapes_of(bundle))
    assert brightness(loaded) == [30, 50]
    assert all(scene.expert_tokens is not None for scene in loaded)


def test_a_number_of_scenes_is_chosen_over_all_recordings_and_useless_ones_are_passed_over(
    bundle, drives, tmp_path, capsys
):
    drives |= {"a": list(drive(bundle, 100)), "short": list(drive(bundle, 30)), "b": list(drive(bundle, 100))}
    out = tmp_path / "scenes.npz"
    recordings = [str(tmp_path / name) for name in ("a", "short", "b")]
    assert main([*recordings, "--bundle", str(bundle.path), "--out", str(out), "--count", "4"]) == 0
    said = capsys.readouterr()
    assert "4 scenes of 3 recordings" in said.out
    assert "short: 0 scenes of 4 moments; 4 where the drive ends less than 5 s" in said.err
    assert brightness(load_scenes(out, shapes_of(bundle))) == [30, 70, 30, 70], "8 scenes of each"


def test_the_share_that_was_read_grows_evenly_over_all_recordings(bundle, drives, tmp_path):
    drives |= {"a": list(drive(bundle, 70)), "b": list(drive(bundle, 70))}
    shares, ends = [], []
    found = recorded_scenes(
        bundle, [tmp_path / "a", tmp_path / "b"], tell=lambda _: ends.append(shares[-1]), progress=shares.append
    )
    assert len(list(found)) == 4
    assert shares == sorted(shares)
    assert ends == pytest.approx([0.5, 1.0], abs=0.01)


def test_what_comes_before_a_damage_is_used_and_the_damage_named(bundle, gather):
    def torn():
        yield from drive(bundle, 70)
        raise ConfigurationError("drive is damaged after 99 messages")

    scenes, said = gather(Torn(torn))
    assert brightness(scenes) == [30, 40]
    assert said.endswith("drive is damaged after 99 messages")


def test_a_recording_that_cannot_be_read_is_refused_before_the_others_are_read(bundle, drives, tmp_path, capsys):
    drives["drive"] = Unread()
    words = [str(tmp_path / "typo"), str(tmp_path / "drive"), str(tmp_path / "killed"), "--bundle", str(bundle.path)]
    assert main([*words, "--out", str(tmp_path / "scenes.npz")]) == 1
    said = capsys.readouterr().err
    assert "2 of 3 recordings cannot be opened: " in said
    assert "typo is no recording" in said
    assert "killed is no recording" in said
    assert "leave them out of the command, or repair them" in said
    assert not list(tmp_path.iterdir())


def test_recordings_on_disk_are_read(bundle, tmp_path, capsys):
    pytest.importorskip("rclpy")
    topics = {topic.name: topic for topic in TOPICS}
    for folder, tenths in (("empty", None), ("drive", 70)):
        recorder = MessageRecorder(tmp_path / folder)
        for at, message in enumerate(() if tenths is None else drive(bundle, tenths)):
            name = {EgoState: "ego", Route: "route"}.get(type(message)) or f"camera/{message.camera}"
            recorder.write(topics[name], message, BEGIN_NS + at)
        recorder.close()
    words = [str(tmp_path / "empty"), str(tmp_path / "drive"), "--bundle", str(bundle.path)]
    assert main([*words, "--out", str(tmp_path / "scenes.npz")]) == 0
    said = capsys.readouterr()
    assert "empty: no moment with all cameras, ego state and route: it has no ego state" in said.err
    assert "drive: 2 scenes of 12 moments" in said.err
    assert brightness(load_scenes(tmp_path / "scenes.npz", shapes_of(bundle))) == [30, 40]


def test_without_ros_it_is_said_in_one_line_what_brings_it(bundle, tmp_path):
    program = "import sys; sys.modules['std_msgs.msg'] = None\n"
    program += "from onboard_vla.app.recording.scenes import main; sys.exit(main(sys.argv[1:]))"
    words = [tmp_path / "drive", "--bundle", bundle.path, "--out", tmp_path / "scenes.npz"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.endswith("source ROS 2's setup file, or pip install '.[ros]' in a clone of Onboard VLA\n")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--every", "0"], ["--every", "nan"], ["--count", "0"]])
def test_numbers_that_cannot_be_are_refused(bundle, drives, tmp_path, words):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--bundle", str(bundle.path), "--out", str(tmp_path / "scenes.npz"), *words])


@pytest.mark.parametrize(
    ("tenths", "route", "words"),
    [
        (40, True, "ends less than 5 s, a plan's reach"),
        (80, False, "no route"),
        (10, True, "front: wanted a frame at -1.500 s"),
    ],
)
def test_recordings_without_a_whole_moment_say_what_was_missing(bundle, gather, tenths, route, words):
    with pytest.raises(ConfigurationError, match=words):
        gather(drive(bundle, tenths, route))


def test_a_moment_without_one_camera_is_left_out_and_counted(bundle, gather):
    lost = BEGIN_NS + 20 * STEP_NS
    found, said = gather(
        message
        for message in drive(bundle, 80)
        if not (isinstance(message, CameraFrame) and message.camera == "back" and message.stamp_ns == lost)
    )
    assert brightness(found) == [30]
    assert "4 without back" in said, "as long as the lost picture is in the look-back"


@pytest.mark.parametrize(
    ("missing", "kept"),
    [(range(21, 25), range(15, 71, 5)), (range(21, 26), range(45, 71, 5)), (range(101, 106), range(15, 51, 5))],
    ids=["half a second is none", "behind later moments", "ahead of earlier ones"],
)
def test_moments_around_a_hole_in_the_ego_state_are_left_out_and_counted(bundle, gather, missing, kept):
    lost = {BEGIN_NS + tenths * STEP_NS for tenths in missing}
    found, said = gather(m for m in drive(bundle, 120) if not (isinstance(m, EgoState) and m.stamp_ns in lost))
    assert brightness(found) == [2 * tenths for tenths in kept]
    without = 12 - len(kept)
    assert (f"; {without} with a hole of more than 0.5 s in the ego state" in said) == (without > 0)


def test_scenes_go_on_after_the_clock_was_put_back(bundle, gather):
    found, said = gather([*drive(bundle, 80), *drive(bundle, 80)])
    assert brightness(found) == [30, 40, 50, 60] * 2
    assert "10 before the clock was put back" in said


def test_ego_states_that_come_late_twice_or_without_numbers_are_ignored_and_counted(bundle, gather):
    def disturbed():
        late = None
        for message in drive(bundle, 80):
            if isinstance(message, EgoState) and late is None and message.stamp_ns % (2 * STEP_NS):
                late = message
                continue
            yield message
            if isinstance(message, EgoState) and late is not None:
                yield late
                yield message
                yield replace(message, stamp_ns=message.stamp_ns + 1, heading_rad=float("nan"))
                late = None

    found, said = gather(disturbed())
    expected, _ = gather(drive(bundle, 80))
    assert brightness(found) == brightness(expected)
    for scene, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(scene.expert_tokens, other.expert_tokens)
    assert "80 ego states no newer than the one before ignored" in said
    assert "40 ego states that are not finite ignored" in said


def test_what_a_moment_lacks_is_counted_by_reason(bundle, gather):
    def disturbed():
        yield CameraFrame("trunk", BEGIN_NS, 0, np.zeros((8, 8, 3), np.uint8))
        yield Route("bad", np.zeros((2, 2)), np.full(2, np.inf), ())
        for message in drive(bundle, 80):
            if isinstance(message, EgoState) and message.stamp_ns == BEGIN_NS + 20 * STEP_NS:
                message = replace(message, speed_mps=1e4)
            yield message
        yield CompressedFrame("front", BEGIN_NS + 80 * STEP_NS + 1, 0, "jpeg", np.zeros(9, np.uint8))

    found, said = gather(disturbed())
    assert brightness(found) == [30, 50, 60]
    assert "1 that the prompt has no words for (the first: " in said
    assert "1 routes ignored (the first: polyline: consecutive points coincide)" in said
    assert "1 pictures damaged" in said
    assert "1 pictures foreign" in said


def test_memory_does_not_grow_with_the_recording(bundle, drives, tmp_path):
    """Over ten seconds and over fifty, of pictures that are made when they are read."""

    def peak(tenths):
        drives["drive"] = Endless(bundle, tenths)
        out = tmp_path / "scenes.npz"
        tracemalloc.start()
        assert main([str(tmp_path / "drive"), "--bundle", str(bundle.path), "--out", str(out)]) == 0
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest, out.stat().st_size

    peak(80)  # what is loaded once
    (few, small), (many, large) = peak(100), peak(500)
    assert large - small > 20e6
    assert many - few < 0.05 * (large - small)


class Torn(list):
    """A drive that ends in an error."""

    def __init__(self, make):
        super().__init__()
        self._make = make

    def __iter__(self):
        return self._make()


class Endless:
    """A drive's messages, made anew."""

    def __init__(self, bundle, tenths):
        self._bundle, self._tenths = bundle, tenths

    def __len__(self):
        return 7 * self._tenths

    def __iter__(self):
        yield from drive(self._bundle, self._tenths, brightness=lambda i: i % 7)


class Unread(list):
    """A drive that nobody may read."""

    def __iter__(self):
        raise AssertionError("was read")
