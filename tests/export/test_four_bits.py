"""W4A16: the packed form is ONNX Runtime's, the layers run from it, and a bundle in it is the model."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import BundleError
from onboard_vla.export import source
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.four_bits import BLOCK, FourBitLinears, pack_blocks
from onboard_vla.export.fusion_check import check_fusion
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears
from onboard_vla.export.parity_limits import misses
from onboard_vla.export.verification import verify_bundle
from onboard_vla.export.weights import CheckpointWeights, Linear, language_linears


class OneLayer:
    """Weights of a single layer."""

    def __init__(self, weight, bias):
        self.layer = Linear(weight, bias)

    def linear(self, name, outputs=None):
        piece = outputs or slice(None)
        bias = self.layer.bias
        return Linear(self.layer.weight[:, piece], None if bias is None else bias[piece])

    def shape(self, name):
        return self.layer.weight.shape

    def has_bias(self, name):
        return self.layer.bias is not None


def restored(weight):
    """The weight (inputs, outputs) that the packed form stands for."""
    packed, scales = pack_blocks(weight)
    values = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*scales.shape, BLOCK).astype(np.float32)
    return ((values - 8) * scales[..., None]).reshape(weight.shape[1], -1)[:, : weight.shape[0]].T


@given(st.integers(0, 2**32 - 1), st.sampled_from([(32, 5), (64, 16), (100, 7), (5, 3)]), st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_the_packed_form_is_the_one_of_onnx_runtimes_own_quantiser(seed, shape, scale):
    from onnxruntime.capi._pybind_state import quantize_matmul_4bits

    weight = (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)
    packed, scales = pack_blocks(weight)
    expected, factors = np.zeros_like(packed), np.zeros_like(scales)
    middle = np.zeros((shape[1] * ((scales.shape[1] + 1) // 2),), np.uint8)
    quantize_matmul_4bits(expected, weight, factors.reshape(-1), middle, BLOCK, shape[1], shape[0], True)
    np.testing.assert_allclose(scales, factors, rtol=1e-6)
    values, wanted = (
        np.stack([p & 15, p >> 4], axis=-1).reshape(shape[1], -1)[:, : shape[0]].astype(int) for p in (packed, expected)
    )
    assert np.abs(values - wanted).max() <= 1
    assert (values != wanted).mean() < 0.02, "but for ties that round one way or the other"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_weights_err_by_at_most_a_step_and_the_largest_of_a_block_is_exact(seed):
    weight = np.random.default_rng(seed).standard_normal((70, 4)).astype(np.float32)
    weight[:BLOCK, 1] = 0
    found = restored(weight)
    for start in range(0, 70, BLOCK):
        block, mine = weight[start : start + BLOCK], found[start : start + BLOCK]
        peak = np.abs(block).max(axis=0)
        assert (np.abs(mine - block) <= peak / 8 * 1.0001).all()
        at = np.abs(block).argmax(axis=0)
        np.testing.assert_allclose(mine[at, range(4)], block[at, range(4)], rtol=1e-6)


@pytest.mark.parametrize("biased", [True, False])
def test_a_layer_computes_with_the_restored_weight(biased):
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((100, 24)).astype(np.float32)
    bias = rng.standard_normal(24).astype(np.float32) if biased else None
    graph = GraphWriter("one", FourBitLinears(OneLayer(weight, bias)))
    graph.output(graph.linear(graph.input("x", (1, "rows", 100)), "layer"), "y", (1, "rows", 24))
    session = ort.InferenceSession(graph.model().SerializeToString(), providers=["CPUExecutionProvider"])
    for rows in (1, 2, 9):
        x = rng.standard_normal((1, rows, 100)).astype(np.float32)
        expected = x @ restored(weight) + (0 if bias is None else bias)
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=1e-4)


def test_the_check_sees_a_layer_that_is_not_in_four_bits(numpy_checkpoint):
    checkpoint = Checkpoint(numpy_checkpoint.save())
    weights, names = CheckpointWeights(checkpoint), list(language_linears(checkpoint.model.text.layers))
    packed = language_graph(checkpoint.model.text, weights, FourBitLinears(weights))
    assert set(check_fusion(packed, (), "language", names).four_bits) == set(names)
    plain = language_graph(checkpoint.model.text, weights, FloatLinears(weights))
    with pytest.raises(BundleError, match=r"does not compute head, .* from weights in four bits"):
        check_fusion(plain, (), "language", names)


@pytest.fixture(scope="module")
def w4a16_bundle(reference_checkpoint, tmp_path_factory):
    return export_bundle(reference_checkpoint, tmp_path_factory.mktemp("w4a16") / "bundle", precision="w4a16")


def test_a_bundle_in_four_bits_is_smaller_than_int8_and_within_all_limits(w4a16_bundle, int8_bundle):
    manifest, int8 = load_manifest(w4a16_bundle), load_manifest(int8_bundle)
    assert manifest.precision == int8.precision | {"language": "w4a16"}
    assert manifest.files["language.onnx"].bytes < 0.85 * int8.files["language.onnx"].bytes
    assert manifest.files["vision_8x12.onnx"].bytes == int8.files["vision_8x12.onnx"].bytes
    calibration = manifest.calibration
    assert calibration["four_bit_layers"] + len(calibration["moved_to_int8"]) == 4 * 7
    forms = {row["layer"]: row["runs_in"] for row in calibration["sensitivity"]}
    assert forms["head"] == forms["visual.patch_embed"] == "int8"
    assert {name for name, form in forms.items() if form == "w4a16"} == {
        name for name in forms if name.startswith("text.") and name not in calibration["moved_to_int8"]
    }
    assert manifest.vision_reference is None, "nobody drove in this precision"
    figures = verify_bundle(w4a16_bundle)
    assert misses(figures) == []
    assert figures.cosine_mean < 0.9999, "and it is not float32"


def test_layer_by_layer_gives_the_figures_of_the_whole(reference_checkpoint, tmp_path, monkeypatch):
    whole = load_manifest(export_bundle(reference_checkpoint, tmp_path / "w", precision="w4a16", fallbacks=("head",)))
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    large = load_manifest(export_bundle(reference_checkpoint, tmp_path / "l", precision="w4a16", fallbacks=("head",)))
    assert large.calibration["four_bit_layers"] == whole.calibration["four_bit_layers"] == 4 * 7
    assert large.precision == whole.precision
    for figure in ("motion_shift_mean_m", "cosine_mean", "token_agreement"):
        assert large.parity[figure] == pytest.approx(whole.parity[figure], rel=0.02, abs=2e-3), figure
