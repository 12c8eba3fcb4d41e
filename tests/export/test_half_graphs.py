"""Half precision: products in it, everything else in float32; what it rounds and overflows shows in the figures."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import CheckpointError
from onboard_vla.export import source
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.graph import GraphWriter, save_model
from onboard_vla.export.graph_session import GraphSession
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import (
    FloatLinears,
    HalfLinears,
    QuantisedLinears,
    as_half,
    half_scale,
    quantise_weight,
)
from onboard_vla.export.quantisation import float_linears
from onboard_vla.export.tensorrt_check import check_bundle
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import vision_grid
from onboard_vla.export.weights import CheckpointWeights, Linear, language_linears, vision_linears

from .test_quantised_graphs import language_feed

SENSITIVE = "text.layers.0.mlp.down_proj"
"""Of the reference checkpoint: what measured sensitivity keeps in float32."""
PRODUCTS = ("MatMul",)
WIDE = {"Pow", "Sqrt", "Div", "ReduceMean", "Sigmoid", "Erf"}
"""Where large activations would overflow."""


def types(model):
    """Element type of every value of a model."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.input, *inferred.output)}
    return found | {tensor.name: tensor.data_type for tensor in inferred.initializer}


@pytest.fixture
def checkpoint(numpy_checkpoint):
    return Checkpoint(numpy_checkpoint.save())


def graphs(checkpoint, linears):
    """Language graph and vision graphs with and without padded windows."""
    weights = CheckpointWeights(checkpoint)
    yield language_graph(checkpoint.model.text, weights, linears)
    for grid in ((4, 4), (8, 12)):
        grid = vision_grid(*grid, checkpoint.model.vision)
        yield vision_graph(checkpoint.model, grid, weights, linears)


@pytest.mark.parametrize("int8", [False, True])
def test_products_are_in_half_precision_and_nothing_else_is(checkpoint, int8):
    weights = CheckpointWeights(checkpoint)
    names = [*language_linears(checkpoint.model.text.layers), *vision_linears(checkpoint.model.vision.depth)]
    ranges = dict.fromkeys(names, 4.0)
    linears = QuantisedLinears(weights, ranges, half=True) if int8 else HalfLinears(weights)
    for model in graphs(checkpoint, linears):
        known = types(model)
        for node in model.graph.node:
            kinds = {known[name] for name in (*node.input, *node.output)}
            if node.op_type in PRODUCTS:
                assert kinds == {TensorProto.FLOAT16}, node.name
            elif node.op_type in WIDE:
                assert TensorProto.FLOAT16 not in kinds, node.name
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.elem_type != TensorProto.FLOAT16, "what goes in and out is float32"


def test_a_layer_kept_in_float32_has_no_half_operand(checkpoint):
    weights, layer = CheckpointWeights(checkpoint), "text.layers.1.mlp.up_proj"
    model = language_graph(checkpoint.model.text, weights, float_linears(weights, "fp16", frozenset({layer})))
    known = types(model)
    (product,) = [node for node in model.graph.node if f"{layer}.weight" in node.input]
    assert {known[name] for name in (*product.input, *product.output)} == {TensorProto.FLOAT}


def test_half_precision_is_near_float32_and_really_rounds(checkpoint, tmp_path):
    weights, text = CheckpointWeights(checkpoint), checkpoint.model.text
    save_model(language_graph(text, weights, FloatLinears(weights)), tmp_path / "float.onnx")
    save_model(language_graph(text, weights, HalfLinears(weights)), tmp_path / "half.onnx")
    feed = language_feed(text)
    exact, half = (GraphSession(tmp_path / name).run(feed)["logits"] for name in ("float.onnx", "half.onnx"))
    difference = np.abs(exact - half).max() / np.abs(exact).max()
    assert 1e-4 < difference < 1e-2


class OneLayer:
    """A weight of ones, 8 to 4."""

    def shape(self, name):
        return 8, 4

    def has_bias(self, name):
        return False

    def linear(self, name, outputs=None):
        return Linear(np.ones((8, 4), np.float32), None)


def test_a_product_that_half_precision_cannot_hold_shows(tmp_path):
    graph = GraphWriter("g", HalfLinears(OneLayer()))
    y = graph.linear(graph.input("x", (1, "N", 8)), "layer")
    graph.output(y, "y", (1, "N", 4))
    graph.save(tmp_path / "g.onnx")
    session = GraphSession(tmp_path / "g.onnx")
    assert (session.run({"x": np.full((1, 1, 8), 8000, np.float32)})["y"] == 64000).all()
    assert np.isinf(session.run({"x": np.full((1, 1, 8), 9000, np.float32)})["y"]).all()


def test_a_weight_that_half_precision_cannot_hold_is_refused():
    assert as_half(np.array([65504, -65504], np.float32), "layer").tolist() == [65504, -65504]
    with pytest.raises(
        CheckpointError,
        match=r"layer: a weight of 6\.6e\+04 does not fit half precision \(65504\): .*--keep-float layer",
    ):
        as_half(np.array([66000], np.float32), "layer")


@given(st.floats(2.0**-30, 60000, width=32))
def test_scales_in_half_precision_clip_nothing(scale):
    (found,) = half_scale(np.array([scale], np.float32)).astype(np.float64)
    assert scale <= found <= max(scale * (1 + 2.0**-10), 2.0**-24 + scale)


@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 1e3))
def test_weights_are_quantised_by_the_scale_that_is_written(seed, size):
    weight = (np.random.default_rng(seed).standard_normal((7, 5)) * size).astype(np.float32)
    found = quantise_weight(weight, half=True)
    assert (found.scales == found.scales.astype(np.float16)).all()
    assert (np.abs(found.values * found.scales - weight) <= found.scales * 0.5001).all()


def test_an_export_in_half_precision_keeps_the_plans(reference_checkpoint, tmp_path):
    manifest = load_manifest(export_bundle(reference_checkpoint, tmp_path / "bundle", precision="fp16"))
    parity = manifest.parity
    assert manifest.precision["language"] == "fp16"
    assert parity["graph_bytes"] < 0.52 * parity["fp32_graph_bytes"]
    assert 1e-4 < parity["logit_difference_max"] < 0.05, "rounded, and not by much"
    assert parity["ade_mean_m"] < 0.01


def test_layer_by_layer_gives_the_same_half_precision_model(reference_checkpoint, tmp_path, monkeypatch):
    whole = load_manifest(export_bundle(reference_checkpoint, tmp_path / "whole", precision="fp16")).parity
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    parity = load_manifest(export_bundle(reference_checkpoint, tmp_path / "large", precision="fp16")).parity
    assert parity["logit_difference_max"] == pytest.approx(whole["logit_difference_max"], rel=0.5)
    assert parity["graph_bytes"] == pytest.approx(whole["graph_bytes"], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "kind"), [("fp16", "half"), ("int8-fp16", "int8")])
def test_the_real_compiler_multiplies_in_the_graphs_types(reference_checkpoint, tmp_path, precision, kind):
    pytest.importorskip("tensorrt_rtx")
    kept = (SENSITIVE,) if precision == "int8-fp16" else ()
    bundle = export_bundle(reference_checkpoint, tmp_path / "bundle", precision=precision, fallbacks=kept)
    for graph in check_bundle(bundle):
        assert (graph.kind, graph.found) == (kind, graph.expected), graph.graph
        assert graph.expected > 0
