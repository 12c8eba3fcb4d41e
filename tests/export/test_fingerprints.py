"""A killed export is gone on with by the same recipe alone: whatever shapes the bundle is part of it."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.export import bundle_writer, fingerprints, source
from onboard_vla.export.activation_ranges import RANGES_FILE, fingerprint, load_ranges, save_ranges
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.fingerprints import file_hash, recipe, weights_fingerprint
from onboard_vla.export.source import CALIBRATION, Source

OPTIONS = {"precision": "int8", "fallbacks": None, "limits": {}, "unjudged": []}
FILES = (
    "model.safetensors",
    "model-00001-of-00002.safetensors",
    "model.safetensors.index.json",
    "AutoVLA.ckpt",
    "lora.json",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "prompt.json",
    "cameras.json",
    "codebook.npz",
    RANGES_FILE,
    CALIBRATION.file,
    "golden_scenes.npz",
    "vision_reference.npz",
    "drift_reference.json",
)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "checkpoint"
    made.mkdir()
    for name in FILES:
        (made / name).write_text('{"alpha": 8}')
    return made


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "scenes.npz"
    path.write_text("scenes")
    return {"golden": path, "calibration": None}


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_an_export_reads_is_part_of_the_recipe(folder, given, name):
    before = recipe(folder, given, OPTIONS)
    assert recipe(folder, given, OPTIONS) == before
    (folder / name).write_text('{"alpha": 9}')
    changed = recipe(folder, given, OPTIONS)
    assert changed != before
    (folder / name).unlink()
    assert recipe(folder, given, OPTIONS) not in (before, changed)


def test_what_else_lies_in_the_folder_is_not(folder, given):
    before = recipe(folder, given, OPTIONS)
    (folder / "optimizer.pt").write_text("momenta")
    (folder / "notes.md").write_text("notes")
    assert recipe(folder, given, OPTIONS) == before


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "w4a16"},
        {"fallbacks": ["head"]},
        {"limits": {"ade_mean_m": 0.05}},
        {"unjudged": ["no golden scenes"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_is_part_of_the_recipe(folder, given, change):
    assert recipe(folder, given, OPTIONS | change) != recipe(folder, given, OPTIONS)


def test_given_scenes_are_part_of_the_recipe_by_use_and_content(folder, given):
    before = recipe(folder, given, OPTIONS)
    assert recipe(folder, {"golden": None, "calibration": given["golden"]}, OPTIONS) != before
    given["golden"].write_text("others")
    assert recipe(folder, given, OPTIONS) != before


@pytest.mark.parametrize(("name", "value"), [("FORMAT_VERSION", 99), ("tools_hash", lambda: "other sources")])
def test_format_and_sources_are_part_of_the_recipe(folder, given, monkeypatch, name, value):
    before = recipe(folder, given, OPTIONS)
    monkeypatch.setattr(fingerprints, name, value)
    assert recipe(folder, given, OPTIONS) != before


def test_the_weights_fingerprint_knows_contents_and_alpha_and_no_names(folder):
    before = weights_fingerprint(folder, 8.0)
    (folder / "AutoVLA.ckpt").rename(folder / "epoch=3.ckpt")
    (folder / "lora.json").write_text('{"alpha": 8}')
    (folder / "prompt.json").write_text("another prompt")
    assert weights_fingerprint(folder, 8) == before
    scaled, whole = weights_fingerprint(folder, 16.0), weights_fingerprint(folder, None)
    (folder / "epoch=3.ckpt").write_text("other weights")
    assert len({before, scaled, whole, weights_fingerprint(folder, 8.0)}) == 4


@pytest.mark.parametrize("name", ["lora.json", "preprocessor_config.json"])
def test_ranges_are_of_one_alpha_and_of_one_pixel_statistics(folder, name):
    before = fingerprint(folder)
    (folder / name).write_text('{"alpha": 16}')
    assert fingerprint(folder) != before


def test_a_file_of_the_same_size_that_changed_is_hashed_again(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before = file_hash(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert file_hash(path) != before


@pytest.mark.parametrize("change", ["ranges", "limits"])
def test_a_killed_export_begins_anew_after_a_change(reference_checkpoint, tmp_path, monkeypatch, change):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    checkpoint, out = shutil.copytree(reference_checkpoint, tmp_path / "checkpoint"), tmp_path / "bundle"

    def interrupt(stage, share):
        if stage == "quantised graphs" and share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(checkpoint, out, fallbacks=("head",), progress=interrupt)
    limits = {}
    if change == "ranges":
        opened = Source.open(checkpoint)
        ranges = load_ranges(checkpoint, {name: len(values) for name, values in opened.own_ranges().largest.items()})
        wider = {name: values * np.float32(1.25) for name, values in ranges.largest.items()}
        save_ranges(checkpoint, type(ranges)(wider, ranges.scenes, "wider"))
    else:
        limits = {"ade_p95_m": 0.7}
    export_bundle(checkpoint, out, fallbacks=("head",), limits=limits)
    fresh = export_bundle(checkpoint, tmp_path / "fresh", fallbacks=("head",), limits=limits)
    assert load_manifest(out).core_hash == load_manifest(fresh).core_hash
    assert not (tmp_path / ".bundle.partial").exists()


class Asked(Exception):  # noqa: N818
    """Carries what an export would resume by."""


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "w4a16"},
        {"fallbacks": ("text.layers.1.mlp.down_proj",)},
        {"keep_float": ("text.layers.3",)},
        {"limits": {"fork_changes": 0.005}},
        {"golden_scenes": "golden_scenes.npz"},
        {"calibration_scenes": "golden_scenes.npz"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_export_resumes_by_all_that_it_was_asked_for(reference_checkpoint, tmp_path, monkeypatch, change):
    def caught(folder, given, options):
        raise Asked(recipe(folder, given, options))

    def resumed_by(**options):
        with pytest.raises(Asked) as found:
            export_bundle(reference_checkpoint, tmp_path / "b", **{"fallbacks": ("head",), **options})
        return str(found.value)

    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    monkeypatch.setattr(bundle_writer, "recipe", caught)
    files = {name: reference_checkpoint / value for name, value in change.items() if name.endswith("_scenes")}
    assert resumed_by() == resumed_by()
    assert resumed_by(**(change | files)) != resumed_by()
