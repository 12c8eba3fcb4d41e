"""Scenes out of a recording are what the planner would have been shown, with what was then driven."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT
from onboard_vla.app.recording import scenes as recorded
from onboard_vla.app.recording.scenes import main, recorded_scenes
from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.road import TURN_LEFT, Route, RouteCommand
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.verification import shapes_of
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


def drive(bundle, tenths, route=True):
    """Messages of a straight drive at 10 Hz; a picture every half second, as bright as its number and camera."""
    end = RouteCommand(TURN_FROM_M, 1e6, TURN_LEFT)
    line = np.array([[0.0, -2.0], [1000.0, -2.0]])
    if route:
        yield Route("r", line, np.full(2, np.inf), (end,))
    for i in range(tenths + 1):
        yield ego_at(i)
        if i % 5 == 0:
            for number, camera in enumerate(bundle.cameras):
                picture = np.full((240, 320, 3), 10 * (i // 5) + number, np.uint8)
                yield CameraFrame(camera, BEGIN_NS + i * STEP_NS, i, picture)


@pytest.fixture
def recording(monkeypatch):
    """A recording of the messages that a test puts in."""
    messages = []
    reader = SimpleNamespace(messages=lambda kinds: [SimpleNamespace(message=m) for m in messages], close=lambda: None)
    monkeypatch.setattr(recorded, "MessageReader", lambda path: reader)
    return messages


def test_pictures_prompt_and_motion_are_those_of_the_moment(bundle, recording, tmp_path):
    recording.extend(drive(bundle, 80))
    scenes = recorded_scenes(bundle, tmp_path / "drive")
    assert len(scenes) == 4, "from 1.5 s, when the look-back is full, to 3 s, after which 5 s are driven"
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


def test_the_command_writes_a_file_that_the_bundle_takes(bundle, recording, tmp_path, capsys):
    recording.extend(drive(bundle, 80))
    out = tmp_path / "out" / "scenes.npz"
    words = [str(tmp_path / "drive"), "--bundle", str(bundle.path), "--out", str(out), "--every", "1.0"]
    assert main(words) == 0
    assert "2 scenes of 1 recordings" in capsys.readouterr().out
    loaded = load_scenes(out, shapes_of(bundle))
    assert [scene.images["front"][-1, 0, 0, 0] for scene in loaded] == [30, 50]
    assert all(scene.expert_tokens is not None for scene in loaded)


@pytest.mark.parametrize(
    ("tenths", "route", "words"),
    [
        (40, True, "ends less than 5 s, a plan's reach"),
        (80, False, "no route"),
        (10, True, "front: wanted a frame at -1.500 s"),
    ],
)
def test_a_recording_without_a_whole_moment_says_what_was_missing(bundle, recording, tmp_path, tenths, route, words):
    recording.extend(drive(bundle, tenths, route))
    with pytest.raises(ConfigurationError, match=words):
        recorded_scenes(bundle, tmp_path / "drive")


def test_a_moment_without_one_camera_is_left_out(bundle, recording, tmp_path):
    lost = BEGIN_NS + 20 * STEP_NS
    recording.extend(
        message
        for message in drive(bundle, 80)
        if not (isinstance(message, CameraFrame) and message.camera == "back" and message.stamp_ns == lost)
    )
    found = recorded_scenes(bundle, tmp_path / "drive")
    assert [scene.images["front"][-1, 0, 0, 0] for scene in found] == [30]
