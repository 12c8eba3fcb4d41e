"""What quantising costs layer by layer, measured as a large model is calibrated, and which layers stay more exact."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import BundleError, CheckpointError
from onboard_vla.export import bundle_writer, large_calibration, source, step_errors
from onboard_vla.export.activation_ranges import ActivationRanges, load_ranges, save_ranges
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.large_calibration import observe_in_pieces
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.step_errors import LARGEST_ERROR, beyond

PATCHES, HEAD, DOWN = "visual.patch_embed", "head", "text.layers.0.mlp.down_proj"
SCENES = 2


def ignore(_):
    pass


@pytest.fixture(scope="module")
def opened(reference_checkpoint):
    return Source.open(reference_checkpoint)


@pytest.fixture(scope="module")
def scenes(opened):
    return opened.scenes(None, GOLDEN)[1]


@pytest.fixture(scope="module")
def observe(opened, scenes, tmp_path_factory):
    def observed(precision, count=SCENES):
        table, scratch = opened.checkpoint.embedding, tmp_path_factory.mktemp("scratch")
        return observe_in_pieces(opened, scenes[:count], scratch, table, lambda _: ignore, precision)

    return observed


@pytest.fixture(scope="module")
def int8(observe):
    return observe("int8")


def test_a_layers_error_is_that_of_its_product_by_hand(opened, scenes, int8, reference_checkpoint, tmp_path):
    """patch_embed: nothing is smoothed there, and its inputs are the pictures."""
    weight = opened.weights.linear(PATCHES).weight.astype(np.float64)
    runner = opened.runner(export_bundle(reference_checkpoint, tmp_path / "fp32", precision="fp32"))
    cameras = opened.sizes.cameras
    pictures = [runner.patches(scene.images[camera.role]) for scene in scenes[:SCENES] for camera in cameras]
    input_scale = max(np.abs(picture).max() for picture in pictures) / 127
    weight_scales = np.abs(weight).max(axis=0) / 127
    by_graph = {}
    for camera, picture in zip([*cameras] * SCENES, pictures, strict=True):
        x = picture.astype(np.float64)
        exact = x @ weight
        found = (np.rint(x / input_scale) * input_scale) @ (np.rint(weight / weight_scales) * weight_scales)
        shares = np.linalg.norm(found - exact, axis=-1) / np.linalg.norm(exact, axis=-1)
        by_graph.setdefault(camera.vision_graph, []).append(shares.mean())
    expected = max(np.mean(shares) for shares in by_graph.values())
    # The scale known by then is that of the pictures so far.
    assert int8[1][PATCHES] == pytest.approx(expected, rel=0.05)


def test_every_layer_and_every_step_is_measured(opened, int8):
    layers = frozenset().union(*opened.layers().values())
    model = opened.model
    steps = {f"visual.blocks.{i}" for i in range(model.vision.depth)} | {"visual.merger"}
    steps |= {f"text.layers.{i}" for i in range(model.text.layers)}
    assert int8[1].keys() == layers | steps
    assert all(0.001 < value < LARGEST_ERROR for value in int8[1].values())


def test_what_hurts_a_layer_itself_is_what_hurts_plans(int8_bundle, int8):
    """Against each layer's measured effect on plans, which a large model is too slow for; 0.66 over ten scenes."""
    rows = load_manifest(int8_bundle).calibration["sensitivity"]
    errors, shifts = [int8[1][row["layer"]] for row in rows], [row["motion_shift_mean_m"] for row in rows]
    ranks = [np.argsort(np.argsort(values)) for values in (errors, shifts)]
    assert np.corrcoef(*ranks)[0, 1] > 0.5


def test_four_bits_cost_the_language_model_more_than_eight(observe, int8):
    four = observe("w4a16", 1)[1]
    assert four[DOWN] > 1.3 * int8[1][DOWN]
    assert four[HEAD] == pytest.approx(int8[1][HEAD], rel=0.2), "the head is in INT8 in both"


def test_layers_beyond_the_bound_are_chosen_the_worst_first_up_to_a_share_of_the_weights():
    weights = dict.fromkeys("abcdefghij", 10)
    errors = {"a": LARGEST_ERROR * 1.01, "b": LARGEST_ERROR * 3, "c": LARGEST_ERROR, "step": 1.0}
    assert beyond(ActivationRanges({}, 1, "", errors), weights) == ["b", "a"]
    assert beyond(ActivationRanges({}, 1, "", dict.fromkeys(weights, 1.0)), weights) == ["a", "b"], "a quarter at most"
    assert beyond(ActivationRanges({}, 1, "", errors), weights, frozenset("b")) == ["a"]
    assert beyond(ActivationRanges({}, 1, "", errors), weights, frozenset("de")) == [], "what is kept counts"


@pytest.fixture
def calibrated(reference_checkpoint, tmp_path, monkeypatch):
    """Taken for larger than memory, with scenes to be calibrated on and none to be judged by."""
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    folder = tmp_path / "checkpoint"
    shutil.copytree(reference_checkpoint, folder)
    for name in ("calibration_ranges.npz", "golden_scenes.npz", "vision_reference.npz", "drift_reference.json"):
        (folder / name).unlink()
    with np.load(reference_checkpoint / "golden_scenes.npz") as archive:
        np.savez(folder / "calibration_scenes.npz", **{name: archive[name][:SCENES] for name in archive.files})
    return folder


def test_a_large_bundle_has_the_table_and_keeps_what_is_beyond_the_bound(calibrated, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(step_errors, "LARGEST_ERROR", 0.03)
    monkeypatch.setenv("COLUMNS", "140")
    out = tmp_path / "bundle"
    assert cli.run(["export", str(calibrated), "--out", str(out), "--keep-float", "visual.merger", "--unjudged"]) == 0
    calibration = load_manifest(out).calibration
    rows, merger = calibration["sensitivity"], {"visual.merger.mlp.0", "visual.merger.mlp.2"}
    errors = [row["output_error"] for row in rows]
    assert errors == sorted(errors, reverse=True)
    above = {row["layer"] for row in rows if row["output_error"] > 0.03}
    assert above
    assert set(calibration["fallbacks"]) == above | merger == {r["layer"] for r in rows if r["runs_in"] == "fp32"}
    assert calibration["integer_layers"] == sum(
        len(names - above - merger) for names in Source.open(calibrated).layers().values()
    )
    assert calibration["steps"][0]["output_error"] >= calibration["steps"][-1]["output_error"] > 0
    capsys.readouterr()
    assert cli.run(["inspect", str(out), "--layers"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {row['layer']} " in shown for row in rows)
    assert f"{errors[0]:.2%}" in shown


def test_ranges_beside_a_checkpoint_bring_the_errors_along(calibrated, opened, int8, tmp_path, monkeypatch):
    inputs = {name: len(values) for name, values in int8[0].items()}
    save_ranges(calibrated, ActivationRanges(int8[0], SCENES, "test", {**int8[1], DOWN: 0.5}))
    assert load_ranges(calibrated, inputs).errors[DOWN] == 0.5
    assert load_manifest(export_bundle(calibrated, tmp_path / "int8", unjudged=True)).calibration["fallbacks"] == [DOWN]
    four_bits = export_bundle(calibrated, tmp_path / "w4", precision="w4a16", unjudged=True)
    assert "sensitivity" not in load_manifest(four_bits).calibration, "these are INT8's"
    save_ranges(calibrated, ActivationRanges(int8[0], SCENES, "test", {DOWN: float("nan")}))
    with pytest.raises(CheckpointError, match=f"the error of {DOWN} is nan"):
        export_bundle(calibrated, tmp_path / "int8", unjudged=True)


def test_a_disk_without_room_for_the_scenes_is_refused_before_work(observe, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(large_calibration.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BundleError, match=r"0\.0 GiB free, calibration on 2 scenes puts about 0\.0 GiB there"):
        observe("int8")


@pytest.mark.parametrize("precision", ["w4a16", "fp16"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_layer_to_be_kept_is_in_float32_whatever_the_precision(
    reference_checkpoint, calibrated, tmp_path, monkeypatch, precision, size
):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0 if size == "large" else 1 << 40)
    monkeypatch.setattr(bundle_writer, "require_parity", lambda *_: None)  # nothing was chosen by measure
    checkpoint = calibrated if size == "large" else reference_checkpoint
    kept = {"fallbacks": (), "keep_float": (DOWN, HEAD)}
    manifest = load_manifest(
        export_bundle(checkpoint, tmp_path / "b", precision=precision, unjudged=size == "large", **kept)
    )
    assert manifest.calibration["fallbacks"] == [HEAD, DOWN]
    assert manifest.precision["head"] == "fp32"
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "b" / "language.onnx").graph.initializer}
    assert kinds[f"{DOWN}.weight"] == kinds[f"{HEAD}.weight"] == onnx.TensorProto.FLOAT


@pytest.mark.parametrize("part", ["vision", "language"])
def test_a_part_that_is_kept_whole_is_said_to_be_in_float32(reference_checkpoint, tmp_path, capsys, part):
    kept = {"vision": "visual", "language": "text"}[part]
    manifest = load_manifest(export_bundle(reference_checkpoint, tmp_path / "b", fallbacks=(), keep_float=(kept,)))
    others = {name: "int8" for name in ("vision", "language", "head") if name != part}
    assert {name: manifest.precision[name] for name in (part, *others)} == {part: "fp32", **others}
    assert cli.run(["inspect", str(tmp_path / "b")]) == 0
    assert "everything" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep-float", "text.layers.99"], "text.layers.99 is no linear layer"),
        (["--keep-float", HEAD, "--precision", "fp32"], "every layer of an export in fp32"),
    ],
)
def test_what_cannot_be_kept_is_one_line(reference_checkpoint, tmp_path, capsys, options, words):
    assert cli.run(["export", str(reference_checkpoint), "--out", str(tmp_path / "b"), *options]) == 64
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
