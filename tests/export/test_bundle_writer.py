"""Bundles: complete, hashed, reproducible, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import SCHEMA_FILE, load_manifest, verify_files
from onboard_vla.core.errors import BundleError, CheckpointError
from onboard_vla.export import bundle_writer
from onboard_vla.export.assets import read_assets
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.golden import load_golden
from onboard_vla.export.manifest_schema import manifest_schema, validate
from onboard_vla.export.parity_limits import require_parity
from onboard_vla.export.scenes import load_scenes, random_scenes
from onboard_vla.export.staging import Staging
from onboard_vla.export.verification import verify_bundle
from onboard_vla.runtime.bundle import Bundle

LONG_SCENES = 3
LARGEST_INT8_SHARE = 0.27
"""Of the float32 graphs' bytes: a quarter, and room for scales, float32 tables and the graphs' text."""


@pytest.fixture
def copied(reference_checkpoint, tmp_path):
    """A checkpoint folder that a test may damage."""
    return shutil.copytree(reference_checkpoint, tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def assets(reference_checkpoint):
    return read_assets(reference_checkpoint, Checkpoint(reference_checkpoint).model)


def save_scenes(path, scenes, **changes):
    longest = max(len(scene.prompt_ids) for scene in scenes) + 2
    ids = np.full((len(scenes), longest), -1, np.int64)
    for row, scene in zip(ids, scenes, strict=True):
        row[: len(scene.prompt_ids)] = scene.prompt_ids
    arrays = {f"images_{role}": np.stack([scene.images[role] for scene in scenes]) for role in scenes[0].images}
    arrays |= {"prompt_ids": ids, "action_tokens": np.arange(10 * len(scenes), dtype=np.int64).reshape(-1, 10)}
    arrays = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    np.savez_compressed(path, **arrays)
    return path


def test_bundle_is_verified_and_opened_by_the_runtime(bundle):
    manifest = load_manifest(bundle)
    verify_files(bundle, manifest)
    opened = Bundle.open(bundle)
    assert opened.precision == manifest.precision["language"]
    assert opened.core_hash == manifest.core_hash
    assert [camera.role for camera in manifest.cameras] == list(opened.template.cameras)


def test_bundle_agrees_with_its_float32_references(bundle):
    manifest, figures = load_manifest(bundle), verify_bundle(bundle)
    assert figures.scenes == len(manifest.golden)
    assert figures.steps == figures.scenes * manifest.actions.per_answer
    for name, value in figures.as_table().items():
        assert value == pytest.approx(manifest.parity[name], rel=1e-6, abs=1e-6), name
    require_parity(figures, "this bundle")
    if manifest.precision["language"] == "fp32":
        assert figures.cosine_min > 1 - 1e-6
        assert figures.token_agreement == figures.fork_agreement == 1
        assert figures.ade_max_m == figures.preference_loss_max == figures.fork_loss_max == 0


def test_int8_graphs_are_a_quarter_of_the_float32_graphs(int8_bundle, fp32_bundle):
    parity = load_manifest(int8_bundle).parity
    assert 0.25 < parity["graph_bytes"] / parity["fp32_graph_bytes"] <= LARGEST_INT8_SHARE
    sizes = [sum(file.stat().st_size for file in bundle.glob("*.onnx")) for bundle in (int8_bundle, fp32_bundle)]
    assert sizes == [parity["graph_bytes"], parity["fp32_graph_bytes"]]


def test_int8_graphs_hold_little_beside_weights_and_their_scales(int8_bundle):
    """What a layer's arithmetic does not need is stored once or left out: zero points, both halves of the rotation."""
    for file in int8_bundle.glob("*.onnx"):
        sizes = {c.name: len(c.raw_data) for c in onnx.load(file).graph.initializer}
        assert not [name for name in sizes if name.endswith("weight_zero_point")]
        layers = sum(size for name, size in sizes.items() if name.endswith((".weight_int8", ".weight_scale", ".bias")))
        assert layers > 0.97 * sum(sizes.values()), file.name


def test_int8_bundle_stores_no_float_weight_matrix(int8_bundle):
    for file in int8_bundle.glob("*.onnx"):
        large = [c.name for c in onnx.load(file).graph.initializer if c.data_type == 1 and len(c.dims) == 2]
        assert large == []


def test_calibration_provenance_is_stored(int8_bundle):
    calibration = load_manifest(int8_bundle).calibration
    assert calibration["scenes"] >= 100
    assert calibration["scenes_from"] == "calibration_scenes.npz"


def test_same_checkpoint_gives_the_same_core_hash(reference_checkpoint, int8_bundle, tmp_path):
    again = export_bundle(reference_checkpoint, tmp_path / "again")
    assert load_manifest(again).core_hash == load_manifest(int8_bundle).core_hash


def test_one_flipped_byte_is_one_line_with_file_and_both_hashes(int8_bundle, tmp_path):
    bundle = shutil.copytree(int8_bundle, tmp_path / "bundle")
    data = bytearray((bundle / "language.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "language.onnx").write_bytes(data)
    with pytest.raises(BundleError) as caught:
        verify_bundle(bundle)
    message = str(caught.value)
    assert "language.onnx" in message
    assert load_manifest(bundle).files["language.onnx"].sha256 in message
    assert "\n" not in message


def test_missing_tensor_leaves_nothing_behind(copied, tmp_path):
    with safe_open(copied / "model.safetensors", framework="np") as handle:
        tensors = {key: handle.get_tensor(key) for key in list(handle.keys())}
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, copied / "model.safetensors")
    before = set(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"lacks 1 of \d+ tensors: model\.layers\.2\.mlp\.up_proj\.weight"):
        export_bundle(copied, tmp_path / "bundle")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["prompt.json", "cameras.json", "tokenizer.json", "codebook.npz", "config.json"])
def test_missing_asset_is_named(copied, tmp_path, name):
    (copied / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        export_bundle(copied, tmp_path / "bundle")


def test_cameras_that_the_prompt_does_not_show_are_refused(copied, tmp_path):
    cameras = json.loads((copied / "cameras.json").read_text())
    cameras["cameras"][0]["camera"] = "roof"
    (copied / "cameras.json").write_text(json.dumps(cameras))
    with pytest.raises(CheckpointError, match=r"cameras\.json lists \['roof'"):
        export_bundle(copied, tmp_path / "bundle")


def test_camera_size_that_does_not_divide_into_blocks_is_refused(copied, tmp_path):
    cameras = json.loads((copied / "cameras.json").read_text())
    cameras["cameras"][1]["width"] = 70
    (copied / "cameras.json").write_text(json.dumps(cameras))
    with pytest.raises(CheckpointError, match=r"cameras\[1\]: 70x\d+ is no multiple of 28 pixels"):
        export_bundle(copied, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"width": 1920}, "source: height must be a positive integer, found None"),
        ({"width": 1920, "height": -1}, "source: height must be a positive integer, found -1"),
        ([1920, 1280], "source must be a table"),
    ],
)
def test_a_camera_whose_whole_pictures_have_no_size_is_refused(copied, tmp_path, source, says):
    cameras = json.loads((copied / "cameras.json").read_text())
    cameras["cameras"][1]["source"] = source
    (copied / "cameras.json").write_text(json.dumps(cameras))
    with pytest.raises(CheckpointError, match=rf"cameras\[1\].*{says}"):
        export_bundle(copied, tmp_path / "bundle")


def test_failure_in_the_middle_leaves_no_folder(reference_checkpoint, tmp_path, monkeypatch):
    def broken(*_):
        raise BundleError("stopped")

    monkeypatch.setattr(bundle_writer, "save_golden", broken)
    with pytest.raises(BundleError, match="stopped"):
        export_bundle(reference_checkpoint, tmp_path / "bundle", precision="fp32")
    assert not list(tmp_path.iterdir())


def test_older_bundle_is_replaced_and_other_folders_are_refused(reference_checkpoint, tmp_path, fp32_bundle):
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    (out / "old.onnx").write_bytes(b"old")
    export_bundle(reference_checkpoint, out, precision="fp32")
    assert load_manifest(out).core_hash == load_manifest(fp32_bundle).core_hash
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_bytes(b"")
    with pytest.raises(BundleError, match="exists and is no bundle"):
        export_bundle(reference_checkpoint, other)
    assert (other / "cat.jpg").exists()


def test_older_bundle_survives_when_the_new_one_cannot_be_moved_into_place(tmp_path, monkeypatch):
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    rename = os.rename

    def refuse_new(source, target):
        if Path(source).name == "bundle" and Path(source) != out:
            raise OSError("no space")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_new)
    monkeypatch.setattr("onboard_vla.export.staging.load_manifest", lambda _: None)
    with pytest.raises(OSError, match="no space"), Staging(out) as staging:
        staging.commit()
    assert (out / "manifest.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("int8_bundle")
def test_progress_goes_through_the_stages_in_order(int8_progress):
    stages = list(dict.fromkeys(stage for stage, _ in int8_progress))
    assert stages == [
        "read checkpoint",
        "fp32 graphs",
        "float32 references",
        "calibrate",
        "measure sensitivity",
        "quantised graphs",
        "check integer arithmetic",
        "embeddings",
        "verify",
        "hash",
        "sync to disk",
    ]
    assert all(0 <= share <= 1 for _, share in int8_progress)
    assert int8_progress[-1] == ("sync to disk", 1.0)


def test_given_scenes_are_kept_and_fallback_layers_recorded(reference_checkpoint, tmp_path, assets):
    scenes = random_scenes(assets, LONG_SCENES, np.random.default_rng(7))
    file = save_scenes(tmp_path / "scenes.npz", scenes)
    layer = "text.layers.0.mlp.down_proj"
    out = tmp_path / "bundle"
    bundle = export_bundle(reference_checkpoint, out, golden_scenes=file, calibration_scenes=file, fallbacks=[layer])
    manifest = load_manifest(bundle)
    assert manifest.calibration["scenes_from"] == "scenes.npz"
    assert manifest.parity["scenes_from"] == "scenes.npz, which it was calibrated on: take others"
    assert manifest.calibration["fallbacks"] == [layer]
    assert len(manifest.golden) == manifest.calibration["scenes"] == LONG_SCENES
    golden = load_golden(bundle / manifest.golden[1])
    np.testing.assert_array_equal(golden.scene.prompt_ids, scenes[1].prompt_ids)
    np.testing.assert_array_equal(golden.scene.images["back"], scenes[1].images["back"])
    np.testing.assert_array_equal(golden.scene.expert_tokens, np.arange(10, 20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images_back": None}, "images_back must be uint8"),
        ({"images_back": np.zeros((2, 4, 14, 14, 3), np.uint8)}, "images_back must be uint8"),
        ({"action_tokens": np.full((2, 10), 2048)}, "action_tokens must be codebook indices 0 to 2047"),
        ({"action_tokens": np.zeros((2, 9), np.int64)}, "action_tokens must be int64"),
        ({"prompt_ids": np.full((2, 30), 11)}, "prompt 0 has 0 visual tokens"),
        ({"prompt_ids": None}, "expected prompt_ids"),
        ({"prompt_ids": np.zeros((2, 30))}, "prompt_ids must be int64 of shape (2, 30), found"),
        ({"prompt_ids": np.zeros((2, 30), np.int32)}, "prompt_ids must be int64 of shape (2, 30), found"),
    ],
)
def test_scenes_that_do_not_fit_are_refused(tmp_path, assets, changes, message):
    file = save_scenes(tmp_path / "scenes.npz", random_scenes(assets, 2, np.random.default_rng(0)), **changes)
    with pytest.raises(CheckpointError) as caught:
        load_scenes(file, assets)
    assert message in str(caught.value)


def first_ids(ids, at, value):
    """The prompts with another id in the second one."""
    changed = ids.copy()
    changed[1, at] = value
    return changed


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (3, 10_000_000, "prompt 1, position 3: found id 10000000, expected 0 to "),
        (3, -7, "prompt 1, position 3: found id -7, expected 0 to "),
        (3, -1, "prompt 1, position 3: found id -1, expected 0 to "),
        (3, 11, "prompt 1, position 3: found id 11, the prompt template has "),
    ],
)
def test_prompts_that_the_template_did_not_write_are_refused_by_every_reader(
    reference_checkpoint, fp32_bundle, tmp_path, assets, at, value, message, capsys
):
    own = reference_checkpoint / "golden_scenes.npz"
    with np.load(own) as archive:
        arrays = {name: archive[name][:2] for name in archive.files}
    assert arrays["prompt_ids"][1, at] != value
    file = tmp_path / "scenes.npz"
    np.savez(file, **arrays | {"prompt_ids": first_ids(arrays["prompt_ids"], at, value)})
    with pytest.raises(CheckpointError) as caught:
        load_scenes(file, assets)
    assert str(caught.value).startswith(f"{file}: {message}")
    for words in (
        ["verify", fp32_bundle, "--reference", fp32_bundle, "--scenes", file],
        ["export", reference_checkpoint, "--out", tmp_path / "b", "--golden-scenes", file],
        ["export", reference_checkpoint, "--out", tmp_path / "b", "--calibration-scenes", file],
        ["observe", reference_checkpoint, "--scenes", file, "--out", tmp_path / "ranges.npz"],
    ):
        assert cli.run([str(word) for word in words]) == 1
        assert " ".join(message.split()[:4]) in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == [file]


def test_unknown_precision_and_unknown_fallback_are_refused(reference_checkpoint, tmp_path):
    with pytest.raises(BundleError, match="precision 'int4'"):
        export_bundle(reference_checkpoint, tmp_path / "bundle", precision="int4")
    with pytest.raises(BundleError, match="unknown layers: nothing"):
        export_bundle(reference_checkpoint, tmp_path / "bundle", fallbacks=["nothing"])


def test_schema_file_says_what_the_dataclasses_say():
    assert json.loads(SCHEMA_FILE.read_text()) == manifest_schema(), "regenerate it from manifest_schema()"
    jsonschema.Draft202012Validator.check_schema(manifest_schema())


def test_manifest_fits_the_schema_and_a_wrong_field_does_not(int8_bundle):
    content = json.loads((int8_bundle / "manifest.json").read_text())
    validate(content)
    content["actions"]["count"] = "2048"
    with pytest.raises(BundleError, match=r"manifest\.actions\.count"):
        validate(content)
