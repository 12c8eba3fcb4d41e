"""INT8: weights, scales, smoothing, and proof that ONNX Runtime computes in integers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.errors import BundleError
from onboard_vla.export import linear_layers
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.fusion_check import check_fusion
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears, QuantisedLinears, quantise_weight
from onboard_vla.export.observation import PREFIX, ObservedLinears
from onboard_vla.export.quantisation import ByLayer
from onboard_vla.export.smoothing import smooth
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import vision_grid
from onboard_vla.export.weights import CheckpointWeights, language_linears, vision_linears

GRIDS = ((4, 4), (8, 12))


@pytest.fixture
def checkpoint(numpy_checkpoint):
    return Checkpoint(numpy_checkpoint.save())


def run(model, feed):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))


def language_feed(text, seed=0, tokens=17):
    rng = np.random.default_rng(seed)
    angle = np.arange(tokens, dtype=np.float32)[:, None] * np.linspace(0.1, 1, text.head_dim, dtype=np.float32)
    feed = {"embeds": rng.standard_normal((tokens, text.hidden_size)).astype(np.float32), "cos": np.cos(angle)}
    feed |= {"sin": np.sin(angle), "bias": np.triu(np.full((tokens, tokens), -3e4, np.float32), 1)}
    feed["rows"] = np.arange(tokens)
    for i in range(text.layers):
        feed |= {f"past_{k}_{i}": np.zeros((0, text.kv_heads, text.head_dim), np.float32) for k in ("key", "value")}
    return feed


def observed(model, weights, feeds):
    largest = {}
    for graph, feed in feeds(ObservedLinears(weights)):
        for name, found in run(graph, feed).items():
            if name.startswith(PREFIX):
                layer = name[len(PREFIX) :]
                largest[layer] = np.maximum(found, largest.get(layer, 0))
    return largest


def language_feeds(model, weights):
    return lambda linears: [(language_graph(model.text, weights, linears), language_feed(model.text))]


def cosine(a, b):
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_weight_quantisation_errs_by_at_most_half_a_step(seed, scale):
    weight = (np.random.default_rng(seed).standard_normal((7, 5)) * scale).astype(np.float32)
    weight[:, 2] = 0
    quantised = quantise_weight(weight)
    assert np.abs(quantised.values.astype(int)).max() <= 127
    error = np.abs(quantised.values * quantised.scales - weight)
    assert (error <= quantised.scales * 0.5001).all()
    assert not quantised.values[:, 2].any()


@pytest.mark.parametrize("part", ["vision", "language"])
def test_every_layer_runs_in_integers_and_no_weight_is_expanded(checkpoint, part):
    model, weights = checkpoint.model, CheckpointWeights(checkpoint)
    names = list(vision_linears(model.vision.depth) if part == "vision" else language_linears(model.text.layers))
    linears = QuantisedLinears(weights, dict.fromkeys(names, 4.0))
    if part == "vision":
        graphs = [vision_graph(model, vision_grid(*grid, model.vision), weights, linears) for grid in GRIDS]
    else:
        graphs = [language_graph(model.text, weights, linears)]
    for graph in graphs:
        report = check_fusion(graph, names, part)
        assert set(report.integer) == set(names)
        assert "DequantizeLinear" not in report.operators


def test_fusion_check_catches_layers_that_share_one_quantiser(checkpoint, monkeypatch):
    monkeypatch.setattr(linear_layers, "SCALE_NUDGE", 0.0)
    weights, names = CheckpointWeights(checkpoint), list(language_linears(checkpoint.model.text.layers))
    graph = language_graph(checkpoint.model.text, weights, QuantisedLinears(weights, dict.fromkeys(names, 4.0)))
    with pytest.raises(BundleError, match=r"INT8 layers in float: .*gate_proj"):
        check_fusion(graph, names, "language.onnx")


def test_fallback_layers_stay_float_and_the_rest_integer(checkpoint):
    weights, names = CheckpointWeights(checkpoint), list(language_linears(checkpoint.model.text.layers))
    fallbacks = frozenset(name for name in names if "down_proj" in name)
    kept = ByLayer(QuantisedLinears(weights, dict.fromkeys(names, 4.0)), (fallbacks, FloatLinears(weights)))
    report = check_fusion(language_graph(checkpoint.model.text, weights, kept), set(names) - fallbacks, "language")
    assert set(report.integer) == set(names) - fallbacks


def test_layers_with_one_input_get_distinct_upward_scales_that_half_precision_tells_apart(checkpoint):
    weights = CheckpointWeights(checkpoint)
    names = list(language_linears(checkpoint.model.text.layers))
    graph = language_graph(checkpoint.model.text, weights, QuantisedLinears(weights, dict.fromkeys(names, 4.0)))
    constants = {c.name: np.frombuffer(c.raw_data, np.float32) for c in graph.graph.initializer if "scale" in c.name}
    shared = [constants[f"text.layers.0.self_attn.{p}_proj.input_scale"][0] for p in "qkv"]
    assert len({np.float16(value) for value in shared}) == 3
    assert min(shared) >= np.float32(4.0 / 127)
    assert max(shared) <= 4.0 / 127 * 1.005


def test_observation_reports_the_largest_input_of_each_channel(checkpoint):
    model, weights = checkpoint.model, CheckpointWeights(checkpoint)
    largest = observed(model, weights, language_feeds(model, weights))
    assert set(largest) == set(language_linears(model.text.layers))
    feed = language_feed(model.text)
    x = feed["embeds"]
    normed = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6) * weights.vector("text.layers.0.input_layernorm")
    np.testing.assert_allclose(largest["text.layers.0.self_attn.q_proj"], np.abs(normed).max(0), rtol=1e-5)


def test_smoothing_changes_no_output_and_predicts_its_own_ranges(checkpoint):
    model, base = checkpoint.model, CheckpointWeights(checkpoint)
    patches = np.random.default_rng(2).standard_normal((2, 96, 1176)).astype(np.float32)
    grid = vision_grid(8, 12, model.vision)

    def feeds(weights):
        return lambda linears: [
            (language_graph(model.text, weights, linears), language_feed(model.text)),
            (vision_graph(model, grid, weights, linears), {"patches": patches}),
        ]

    largest = observed(model, base, feeds(base))
    smoothed, ranges = smooth(model, base, largest)
    for (before, feed), (after, _) in zip(
        feeds(base)(FloatLinears(base)), feeds(smoothed)(FloatLinears(smoothed)), strict=True
    ):
        name = "logits" if "embeds" in feed else "embeddings"
        np.testing.assert_allclose(run(after, feed)[name], run(before, feed)[name], atol=2e-5)
    again = observed(model, smoothed, feeds(smoothed))
    assert set(ranges) == set(again)
    for name, values in again.items():
        assert ranges[name] == pytest.approx(values.max(), rel=1e-3), name


def test_smoothing_rescues_outliers_that_plain_int8_loses(checkpoint, outlier_weights):
    model = checkpoint.model
    weights = outlier_weights(CheckpointWeights(checkpoint), model)
    feed = language_feed(model.text)
    largest = observed(model, weights, language_feeds(model, weights))
    exact = run(language_graph(model.text, weights, FloatLinears(weights)), feed)["logits"]
    plain = QuantisedLinears(weights, {name: float(values.max()) for name, values in largest.items()})
    smoothed, ranges = smooth(model, weights, largest)
    found = run(language_graph(model.text, weights, plain), feed)["logits"]
    rescued = run(language_graph(model.text, smoothed, QuantisedLinears(smoothed, ranges)), feed)["logits"]
    assert cosine(rescued, exact) > 0.998
    assert 1 - cosine(rescued, exact) < (1 - cosine(found, exact)) / 3


def test_same_weights_give_the_same_bytes(checkpoint):
    weights = CheckpointWeights(checkpoint)
    first, second = (language_graph(checkpoint.model.text, weights, FloatLinears(weights)) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def test_graphs_use_only_elementary_operators_of_opset_21(checkpoint):
    weights = CheckpointWeights(checkpoint)
    graphs = [language_graph(checkpoint.model.text, weights, FloatLinears(weights))]
    grid = vision_grid(8, 12, checkpoint.model.vision)
    graphs.append(vision_graph(checkpoint.model, grid, weights, FloatLinears(weights)))
    for graph in graphs:
        assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 21)]
        kinds = Counter(node.op_type for node in graph.graph.node)
        assert not {"Attention", "RMSNormalization", "RotaryEmbedding", "TensorScatter", "If", "Loop"} & set(kinds)
