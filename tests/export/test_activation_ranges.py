"""Ranges kept beside a checkpoint: those of its scenes, and of no other weights."""

from __future__ import annotations

import json
import re
import resource
import shutil

import numpy as np
import pytest

from onboard_vla.app import cli
from onboard_vla.calibration.observe import observe_checkpoint
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import CheckpointError
from onboard_vla.export import source
from onboard_vla.export.activation_ranges import RANGES_FILE, ActivationRanges, fingerprint, save_ranges
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.source import GOLDEN, Source


@pytest.fixture
def copied(reference_checkpoint, tmp_path):
    return shutil.copytree(reference_checkpoint, tmp_path / "checkpoint")


def ignore(_):
    pass


def test_observed_ranges_are_those_of_the_scenes(copied, capsys):
    source = Source.open(copied)
    expected = source.observe(source.scenes(None, GOLDEN)[1], ignore)
    before = sorted(path.name for path in copied.iterdir())
    assert cli.run(["observe", str(copied), "--scenes", str(copied / GOLDEN.file)]) == 0
    said = f"{copied / RANGES_FILE}: {len(expected)} layers on 10 scenes of {GOLDEN.file}"
    assert capsys.readouterr().out.strip() == said
    assert sorted(path.name for path in copied.iterdir()) == before, "nothing else is left"
    found = Source.open(copied).ranges(None, ignore)
    assert (found.scenes, found.scenes_from) == (10, GOLDEN.file)
    assert set(found.largest) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found.largest[name], values)


def test_ranges_of_other_weights_or_prompts_are_refused(copied):
    prompt = (copied / "prompt.json").read_text()
    (copied / "prompt.json").write_text(prompt + " ")
    with pytest.raises(CheckpointError, match=r"have sha256 \w{64}, calibration_ranges\.npz was made for \w{64}: "):
        Source.open(copied).ranges(None, ignore)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_flipped_byte_of_the_weights_is_one_line_with_both_hashes(copied, tmp_path, precision):
    before = fingerprint(copied)
    data = bytearray((copied / "model.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (copied / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="a file is damaged, copy the checkpoint again") as caught:
        export_bundle(copied, tmp_path / "bundle", precision=precision)
    assert before in str(caught.value)
    assert fingerprint(copied) in str(caught.value)
    assert not (tmp_path / "bundle").exists()


def test_a_precision_without_ranges_says_how_to_go_on_without_them(copied, tmp_path):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config, indent=3))  # another fingerprint, the same model
    without = f"; an export in fp32 takes no ranges: where every file is as it should be, put {RANGES_FILE} elsewhere"
    with pytest.raises(CheckpointError, match=re.escape(without)):
        export_bundle(copied, tmp_path / "bundle", precision="fp32")
    with pytest.raises(CheckpointError) as caught:
        export_bundle(copied, tmp_path / "bundle", precision="int8")
    assert "takes no ranges" not in str(caught.value)
    (copied / RANGES_FILE).unlink()
    manifest = load_manifest(export_bundle(copied, tmp_path / "bundle", precision="fp32"))
    assert (manifest.vision_reference, manifest.drift_reference) == (None, None)


def test_damaged_or_unfit_ranges_are_refused(copied):
    source = Source.open(copied)
    good = dict(source.ranges(None, ignore).largest)
    name = "text.layers.1.mlp.down_proj"
    for values, message in [
        (good[name][:-1], name),
        (np.full_like(good[name], np.nan), "not finite"),
        (-good[name], "not finite"),
    ]:
        save_ranges(copied, ActivationRanges({**good, name: values}, 1, "test"))
        with pytest.raises(CheckpointError, match=message):
            source.ranges(None, ignore)
    (copied / RANGES_FILE).write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="cannot be read as activation ranges"):
        source.ranges(None, ignore)


def test_wrong_scenes_are_one_line(copied, tmp_path, capsys):
    assert cli.run(["observe", str(copied), "--scenes", str(tmp_path / "none.npz")]) == 1
    said = capsys.readouterr().err
    assert "none.npz cannot be read as a file of scenes" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("large", [False, True], ids=["as a whole", "layer by layer"])
def test_stages_of_an_observation_are_told(copied, monkeypatch, large):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0 if large else 1 << 28)
    told = []
    observe_checkpoint(
        copied, copied / GOLDEN.file, copied / RANGES_FILE, lambda stage, share: told.append((stage, share))
    )
    shares = {stage: [share for name, share in told if name == stage] for stage, _ in told}
    graphs = ("vision_8x12", "vision_4x4", "language")
    steps = [f"calibrate, {graph}" for graph in graphs] if large else ["calibrate"]
    assert [name for name in shares if name.startswith("calibrate")] == steps
    for stage in steps:
        assert shares[stage] == sorted(shares[stage])
        assert len(shares[stage]) >= 3
        assert shares[stage][-1] == 1


@pytest.mark.parametrize("large", [False, True], ids=["as a whole", "layer by layer"])
def test_an_interrupted_observation_leaves_the_older_ranges(copied, monkeypatch, large):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0 if large else 1 << 28)
    before = {path.name: path.read_bytes() for path in copied.iterdir()}

    def interrupt(stage, share):
        if stage.startswith("calibrate") and share > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observe_checkpoint(copied, copied / GOLDEN.file, copied / RANGES_FILE, interrupt)
    assert {path.name: path.read_bytes() for path in copied.iterdir() if path.is_file()} == before
    assert [path.name for path in copied.iterdir() if path.is_dir()] == [f".{RANGES_FILE}.partial"] * large


@pytest.mark.parametrize("kib", [16, 96], ids=["in the scenes", "in the ranges"])
def test_a_full_disk_is_one_line_and_leaves_the_older_ranges(copied, capsys, kib):
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, limit[1]))
    try:
        status = cli.run(["observe", str(copied), "--scenes", str(copied / GOLDEN.file)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    said = capsys.readouterr().err
    assert status == 1
    assert f"{copied / RANGES_FILE}: the disk is full" in said
    assert said.count("\n") == 1
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
