"""References of nominal drives: into the core where they are about the model, refused or left out otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.activation_ranges import fingerprint
from onboard_vla.export.references import DRIFT_FILE, VISION_FILE, take_references


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    note = {"fingerprint": fingerprint(folder), "precision": "int8"}
    np.savez(folder / VISION_FILE, **{name: np.array(value) for name, value in note.items()})
    (folder / DRIFT_FILE).write_text(json.dumps(note))
    return folder


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_both_are_copied_as_they_are(checkpoint, out):
    assert take_references(checkpoint, out, "int8") == (VISION_FILE, DRIFT_FILE)
    for name in (VISION_FILE, DRIFT_FILE):
        assert (out / name).read_bytes() == (checkpoint / name).read_bytes()


def test_another_precision_takes_neither(checkpoint, out):
    assert take_references(checkpoint, out, "fp32") == (None, None)
    assert list(out.iterdir()) == []


def test_a_checkpoint_without_them_has_none(checkpoint, out):
    (checkpoint / VISION_FILE).unlink()
    assert take_references(checkpoint, out, "int8") == (None, DRIFT_FILE)


@pytest.mark.parametrize("name", [VISION_FILE, DRIFT_FILE])
def test_those_of_other_weights_are_refused(checkpoint, out, name):
    (checkpoint / "config.json").write_text('{"other": 1}')
    other = DRIFT_FILE if name == VISION_FILE else VISION_FILE
    (checkpoint / other).unlink()
    with pytest.raises(CheckpointError, match=f"{name} was made for a checkpoint of sha256.*drive and calibrate again"):
        take_references(checkpoint, out, "int8")


@pytest.mark.parametrize("name", [VISION_FILE, DRIFT_FILE])
def test_damaged_ones_are_refused(checkpoint, out, name):
    (checkpoint / name).write_bytes(b"{")
    with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
        take_references(checkpoint, out, "int8")
