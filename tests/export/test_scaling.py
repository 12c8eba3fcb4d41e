"""INT8's scales as an integrator chooses them, and ranges that lie elsewhere than beside the weights."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import ArgumentError
from onboard_vla.export.assemble import assemble
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.quantisation import Scaling
from onboard_vla.export.smoothing import smooth
from onboard_vla.export.source import GOLDEN, Source


def test_a_bundle_says_how_its_scales_were_chosen(reference_checkpoint, int8_bundle, tmp_path):
    chosen = export_bundle(reference_checkpoint, tmp_path / "b", fallbacks=("head",), scaling=Scaling(0.8, 0.9))
    found, published = (load_manifest(bundle).calibration for bundle in (chosen, int8_bundle))
    assert (found["smooth_strength"], found["range_share"]) == (0.8, 0.9)
    assert (published["smooth_strength"], published.get("range_share")) == (0.5, None)


def test_int8_spans_a_share_of_what_smoothing_leaves(reference_checkpoint):
    source = Source.open(reference_checkpoint)
    largest = source.own_ranges().largest
    _, spans = Scaling(0.8, 0.9).smoothed(source.model, source.weights, largest)
    _, whole = smooth(source.model, source.weights, largest, 0.8)
    assert spans == {name: pytest.approx(0.9 * value) for name, value in whole.items()}


@pytest.mark.parametrize(
    ("scaling", "precision", "words"),
    [
        (Scaling(strength=1.5), "int8", "smoothing exponent 1.5: expected 0 to 1"),
        (Scaling(strength=float("nan")), "int8", "smoothing exponent nan"),
        (Scaling(share=0.0), "int8", "range share 0: expected more than 0"),
        (Scaling(share=1.1), "w4a16", "range share 1.1"),
        (Scaling(strength=0.8), "fp16", "an export in fp16 has no scales"),
    ],
)
def test_scales_that_cannot_be_are_refused_before_any_work(reference_checkpoint, tmp_path, scaling, precision, words):
    with pytest.raises(ArgumentError, match=words):
        export_bundle(reference_checkpoint, tmp_path / "b", precision=precision, scaling=scaling)
    assert list(tmp_path.iterdir()) == []


def test_the_command_hands_both_on(reference_checkpoint, tmp_path, capsys):
    words = ["export", str(reference_checkpoint), "--out", str(tmp_path / "b")]
    assert cli.run([*words, "--smooth-strength", "2"]) == 64
    assert "smoothing exponent 2" in capsys.readouterr().err
    assert cli.run([*words, "--range-share", "3"]) == 64
    assert "range share 3" in capsys.readouterr().err


def test_ranges_that_were_written_elsewhere_are_taken_from_there(reference_checkpoint, tmp_path, capsys):
    before = sorted(path.name for path in reference_checkpoint.iterdir())
    with np.load(reference_checkpoint / GOLDEN.file) as archive:
        np.savez(tmp_path / "one.npz", **{key: archive[key][:1] for key in archive.files})
    ranges, links = tmp_path / "ranges.npz", tmp_path / "links"
    words = ["observe", str(reference_checkpoint), "--scenes", str(tmp_path / "one.npz"), "--out", str(ranges)]
    assert cli.run(words) == 0
    assert f"{ranges}: 53 layers on 1 scenes" in capsys.readouterr().out
    assert sorted(path.name for path in reference_checkpoint.iterdir()) == before
    links.mkdir()
    found = Source.open(assemble(links, reference_checkpoint, ranges=ranges)).own_ranges()
    assert (found.scenes, found.scenes_from) == (1, "one.npz")
    missing = ["export", str(reference_checkpoint), "--out", str(tmp_path / "b"), "--ranges", str(tmp_path / "no.npz")]
    assert cli.run(missing) == 1
    assert f"{tmp_path / 'no.npz'} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["ranges", "prompt", "cameras", "codebook"])
def test_a_folder_where_a_file_is_expected_is_named(reference_checkpoint, tmp_path, capsys, option):
    (tmp_path / "folder").mkdir()
    words = ["export", reference_checkpoint, "--out", tmp_path / "b", f"--{option}", tmp_path / "folder"]
    assert cli.run([str(word) for word in words]) == 1
    assert f"{tmp_path / 'folder'} is a folder: expected the name of a file" in capsys.readouterr().err
    words[-2:] = ["--model", reference_checkpoint / "config.json"]
    assert cli.run([str(word) for word in words]) == 1
    assert "config.json is a file: expected the folder of the base model" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_calibration_scenes_of_an_export_without_ranges_are_refused(reference_checkpoint, tmp_path, precision):
    scenes = reference_checkpoint / GOLDEN.file
    with pytest.raises(ArgumentError, match=f"are INT8's: an export in {precision} has none"):
        export_bundle(reference_checkpoint, tmp_path / "b", precision=precision, calibration_scenes=scenes)
