"""Costs counted from graphs, held against formulas written down by hand."""

import dataclasses

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import ActionTokens, ModelDimensions, TextDimensions, VisionDimensions
from onboard_vla.core.errors import BundleError
from onboard_vla.export.graph_cost import CountedGraph
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears, HalfLinears, QuantisedLinears
from onboard_vla.export.product_graph import product_graph
from onboard_vla.export.weightless import NoWeights, _Nowhere, language_of, vision_of
from onboard_vla.export.weights import ACTION_HEAD, Linear, PaddedHead, WithActionHead, language_linears

D, LAYERS, HEADS, KV, HEAD, INNER, WORDS = 48, 3, 4, 2, 12, 80, 100
TEXT = TextDimensions(D, LAYERS, HEADS, KV, HEAD, INNER, WORDS, 1e6, (2, 2, 2), 1e-6)
VISION = VisionDimensions(
    32, 4, 2, 40, 3, 14, 2, 2, 112, (3,), "pil_bicubic", 2.0, 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
)
MODEL = ModelDimensions("qwen2_5_vl", TEXT, VISION)
PADDED = 128
"""Columns of the head: 100 words, up to a multiple of 64."""


def extents(new, past, rows):
    return {"new_tokens": new, "past_tokens": past, "total_tokens": new + past, "wanted_rows": rows}


def language_operations(new, past, rows):
    """Linear layers and attention; the last layer's queries, MLP and the head of wanted rows alone."""
    linear = attention = 0
    for layer in range(LAYERS):
        wanted = rows if layer == LAYERS - 1 else new
        linear += 2 * new * D * 2 * KV * HEAD
        linear += 2 * wanted * (2 * D * HEADS * HEAD + 3 * D * INNER)
        attention += 2 * 2 * wanted * HEADS * HEAD * (new + past)
    return linear + 2 * rows * D * PADDED, attention


@pytest.mark.parametrize(("new", "past", "rows"), [(1, 20, 1), (17, 0, 2), (9, 5, 9)])
def test_language_operations_are_those_of_the_formula(new, past, rows):
    linear, attention = language_operations(new, past, rows)

    floats = language_of(MODEL, "fp32").cost(extents(new, past, rows))
    int8 = language_of(MODEL, "int8").cost(extents(new, past, rows))

    assert (floats.int8_operations, floats.float_operations) == (0, linear + attention)
    assert (int8.int8_operations, int8.float_operations) == (linear, attention)


def test_a_decode_step_moves_every_weight_and_the_cache_once():
    past = 20
    weights = LAYERS * (2 * D * HEADS * HEAD + 2 * D * KV * HEAD + 3 * D * INNER) + D * PADDED
    outputs = LAYERS * (HEADS * HEAD + 2 * KV * HEAD + D + 2 * INNER + D) + PADDED
    biases = LAYERS * (HEADS * HEAD + 2 * KV * HEAD)
    gains = (2 * LAYERS + 1) * D
    cache = 2 * LAYERS * KV * HEAD
    activations = D + 2 * HEAD + past + 1 + cache * (past + 1) + WORDS
    counted = language_of(MODEL, "fp32").cost(extents(1, past, 1))
    smaller = language_of(MODEL, "int8").cost(extents(1, past, 1))

    rest = counted.float_values - weights - biases - gains - activations
    assert 0 <= rest < 30, "scalars and the rotary signs"
    assert counted.bytes(4) - counted.other_bytes == 4 * counted.float_values
    # INT8: a byte a weight, its scale per output, the input's scale, one zero point.
    assert smaller.other_bytes - counted.other_bytes == weights + 1
    assert smaller.float_values - counted.float_values == outputs - weights + 7 * LAYERS + 1


def test_weights_of_four_bits_are_half_a_byte_and_computed_in_float():
    """32 weights share a scale; inputs are padded to whole blocks. The head is INT8."""
    wide, blocks = HEADS * HEAD, lambda inputs: -(-inputs // 32)
    packed = blocks(D) * (wide + 2 * KV * HEAD + 2 * INNER) + blocks(wide) * D + blocks(INNER) * D
    linear, attention = language_operations(6, 4, 2)
    head = 2 * 2 * D * PADDED

    small = language_of(MODEL, "w4a16").cost(extents(6, 4, 2))
    floats = language_of(MODEL, "fp32").cost(extents(6, 4, 2))

    assert (small.int8_operations, small.float_operations) == (head, linear - head + attention)
    assert small.other_bytes - floats.other_bytes == 16 * LAYERS * packed + D * PADDED + 1


@pytest.mark.parametrize("int8", [False, True])
def test_graphs_in_half_precision_have_the_same_products_and_values(int8):
    """Their casts cost no operations; how many bytes a float has is the device's business."""
    weights = PaddedHead(NoWeights(MODEL))
    ranges = dict.fromkeys(language_linears(LAYERS), 1.0)
    linears = QuantisedLinears(weights, ranges, half=True) if int8 else HalfLinears(weights)
    half = CountedGraph(language_graph(TEXT, weights, linears, external=_Nowhere()), "half").cost(extents(6, 4, 2))
    full = language_of(MODEL, "int8" if int8 else "fp32").cost(extents(6, 4, 2))

    assert (half.int8_operations, half.float_operations) == (full.int8_operations, full.float_operations)
    assert half.float_values == pytest.approx(full.float_values, abs=30)


def test_vision_operations_are_those_of_the_formula():
    grid_h, grid_w, items = 8, 16, 3
    patches, wide = grid_h * grid_w, VISION.hidden_size
    window = (112 // 14) ** 2
    linear = 2 * items * patches * 1176 * wide
    linear += 2 * items * patches * VISION.depth * (4 * wide * wide + 3 * wide * VISION.intermediate_size)
    linear += 2 * items * (patches // 4) * (16 * wide * wide + 4 * wide * D)
    attention = 2 * 2 * items * patches * wide * (window * (VISION.depth - 1) + patches)

    cost = vision_of(MODEL, grid_h, grid_w, "int8").cost({"items": items})

    assert (cost.int8_operations, cost.float_operations) == (linear, attention)


def test_the_head_is_a_part_of_the_step():
    graph = language_of(MODEL, "fp32")
    head = graph.cost(extents(1, 20, 1), lambda name: name.startswith("head"))

    assert head.float_operations == 2 * D * PADDED
    assert head.float_values == D + D * PADDED + WORDS


def test_a_weightless_graph_costs_what_the_written_one_does(trained_graphs):
    written, model, int8 = trained_graphs
    counted = CountedGraph(written, "written").cost(extents(5, 7, 2))

    assert language_of(model, "int8" if int8 else "fp32").cost(extents(5, 7, 2)) == counted


@pytest.fixture(params=[False, True])
def trained_graphs(request):
    """A language graph written with weights in it, its dimensions and precision."""

    class Random(NoWeights):
        def linear(self, name, outputs=None):
            inputs, count = self.shape(name)
            rows = outputs or slice(0, count)
            bias = np.zeros(rows.stop - rows.start, np.float32) if self.has_bias(name) else None
            return Linear(np.ones((inputs, rows.stop - rows.start), np.float32), bias)

    weights = PaddedHead(Random(MODEL))
    ranges = dict.fromkeys(language_linears(LAYERS), 1.0)
    linears = QuantisedLinears(weights, ranges) if request.param else FloatLinears(weights)
    return language_graph(TEXT, weights, linears), MODEL, request.param


@pytest.mark.parametrize("int8", [False, True])
def test_a_head_costs_nothing_in_a_pass_without_rows_for_it(int8):
    actions = 7
    weights = WithActionHead(PaddedHead(NoWeights(MODEL)), ActionTokens(3, actions, 10, 0.5, ""))
    ranges = dict.fromkeys((*language_linears(LAYERS), ACTION_HEAD), 1.0)
    linears = QuantisedLinears(weights, ranges) if int8 else FloatLinears(weights)
    graph = CountedGraph(language_graph(TEXT, weights, linears, external=_Nowhere(), action_head=True), "two heads")
    plain = language_of(MODEL, "int8" if int8 else "fp32")

    def of(counted, full, few):
        return counted.cost({**extents(6, 4, full), "wanted_action_rows": few})

    without, unused = of(plain, 2, 0), of(graph, 2, 0)
    assert (unused.int8_operations, unused.float_operations) == (without.int8_operations, without.float_operations)
    assert unused.float_values == without.float_values
    assert abs(unused.other_bytes - without.other_bytes) < 100, "no weights"
    alone = of(graph, 0, 2)
    assert without.operations - alone.operations == 2 * 2 * D * (PADDED - actions)


def test_an_open_dimension_is_refused_by_name():
    with pytest.raises(BundleError, match="past_tokens"):
        language_of(MODEL, "fp32").cost({"new_tokens": 1, "total_tokens": 2, "wanted_rows": 1})


def test_an_operator_whose_operations_are_not_known_is_refused():
    model = product_graph(2, 4, 8, int8=False)
    next(node for node in model.graph.node if node.op_type == "MatMul").op_type = "Einsum"

    with pytest.raises(BundleError, match="Einsum"):
        CountedGraph(model, "product").cost({})


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "language.onnx").write_bytes(b"no graph at all")

    with pytest.raises(BundleError, match=r"language\.onnx"):
        CountedGraph.load(tmp_path / "language.onnx")


def test_more_layers_cost_more_in_proportion():
    twice = dataclasses.replace(TEXT, layers=2 * LAYERS)
    once, double = (
        language_of(dataclasses.replace(MODEL, text=text), "int8").cost(extents(4, 4, 4)) for text in (TEXT, twice)
    )

    head = 2 * 4 * D * PADDED
    assert double.int8_operations - head == 2 * (once.int8_operations - head)
