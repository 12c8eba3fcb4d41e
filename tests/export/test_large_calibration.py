"""Calibration layer by layer: how far it is, whatever the scenes know, and the room that it asks for beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.export import large_calibration
from onboard_vla.export.large_calibration import observe_in_pieces, piece_weights, require_room
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.staging import NoRoomError


@pytest.fixture(scope="module")
def opened(reference_checkpoint):
    return Source.open(reference_checkpoint)


@pytest.fixture(scope="module")
def scene(opened):
    return opened.scenes(None, GOLDEN)[1][0]


@pytest.mark.parametrize("tokens", [None, np.zeros(10, np.int64)], ids=["model's", "driver's"])
def test_the_share_grows_to_one_once_whoever_answers(opened, scene, tmp_path, tokens):
    scenes, told = [replace(scene, expert_tokens=tokens)], {}
    observe_in_pieces(
        opened, scenes, tmp_path / "begun", opened.checkpoint.embedding, lambda graph: told.setdefault(graph, []).append
    )
    for graph in ("vision_8x12.onnx", "language.onnx"):
        assert told[graph] == sorted(told[graph]), graph
        assert told[graph][-1] == pytest.approx(1), graph


def test_room_is_asked_for_the_layer_that_runs_as_for_the_scenes(opened, scene, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 5 * max(piece_weights(opened))})
    monkeypatch.setattr(large_calibration.shutil, "disk_usage", lambda _: usage)
    assert sum(piece_weights(opened)) == sum(opened.weight_counts().values())
    require_room(opened, [], tmp_path / "begun")
    with pytest.raises(NoRoomError, match="calibration on 1 scenes puts about"):
        require_room(opened, [scene], tmp_path / "begun")
    usage.free -= 1
    with pytest.raises(NoRoomError):
        require_room(opened, [], tmp_path / "begun")
