"""References of nominal drives: into the core where they are about the model, refused or left out otherwise."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import computed_numbers, load_manifest
from onboard_vla.core.errors import ArgumentError, CheckpointError
from onboard_vla.export.activation_ranges import fingerprint
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.quantisation import Scaling
from onboard_vla.export.references import DRIFT_FILE, VISION_FILE, take_references
from onboard_vla.export.source import GOLDEN


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


def taken(bundle):
    manifest = load_manifest(bundle)
    return manifest.vision_reference, manifest.drift_reference


@pytest.fixture
def one_scene(reference_checkpoint, tmp_path):
    with np.load(reference_checkpoint / GOLDEN.file) as archive:
        np.savez(tmp_path / "one.npz", **{name: archive[name][:1] for name in archive.files})
    return tmp_path / "one.npz"


@pytest.mark.parametrize("form", [{"scaling": Scaling(0.8, 0.9)}, {"calibration_scenes": True}, {"ranges": True}])
def test_a_bundle_of_other_scales_or_ranges_takes_none_that_was_measured_with_the_checkpoints_own(
    reference_checkpoint, int8_bundle, one_scene, tmp_path, capsys, form
):
    assert taken(int8_bundle) == (VISION_FILE, DRIFT_FILE)
    asked = {name: one_scene if value is True else value for name, value in form.items()}
    given = {"fallbacks": (), "golden_scenes": one_scene, **asked}
    assert taken(export_bundle(reference_checkpoint, tmp_path / "b", **given)) == (None, None)
    assert not (tmp_path / "b" / VISION_FILE).exists()
    for bundle, says in ((int8_bundle, f"{VISION_FILE}, {DRIFT_FILE}"), (tmp_path / "b", "none of these numbers")):
        assert cli.run(["inspect", str(bundle)]) == 0
        assert f"statistics of nominal drives {says}" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_what_was_driven_with_a_bundles_own_scales_is_taken_by_it_alone(checkpoint, out, int8_bundle):
    manifest = load_manifest(int8_bundle)
    chosen = {**manifest.calibration, "chosen": {"smooth_strength": 0.8}}
    numbers = computed_numbers(dataclasses.replace(manifest, calibration=chosen))
    assert (computed_numbers(manifest), numbers) == ("int8", "int8 smooth_strength=0.8")
    note = {"fingerprint": fingerprint(checkpoint), "precision": numbers}
    (checkpoint / DRIFT_FILE).write_text(json.dumps(note))
    assert take_references(checkpoint, out, numbers) == (None, DRIFT_FILE)
    assert take_references(checkpoint, out, "int8") == (VISION_FILE, None)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"ranges": True, "calibration_scenes": True}, "expected one of the two"),
        ({"ranges": True, "precision": "fp16"}, "an export in fp16 has none"),
    ],
)
def test_ranges_that_nothing_would_read_are_refused_before_any_work(
    reference_checkpoint, one_scene, tmp_path, form, words
):
    given = {name: one_scene if value is True else value for name, value in form.items()}
    with pytest.raises(ArgumentError, match=words):
        export_bundle(reference_checkpoint, tmp_path / "b", **given)
    assert list(tmp_path.iterdir()) == [one_scene]
