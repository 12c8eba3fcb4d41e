"""Weights that are handed to a graph make the same layer, and what is read of a file is what it holds."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto

from onboard_vla.export import weights as weights_module
from onboard_vla.export.fed_linears import FedLinears
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.graph_session import GraphSession, OpenedForRuns
from onboard_vla.export.safetensors_store import as_float32
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.weights import Linear


class TwoLayers:
    """y = (x W1 + b) W2, of one shape."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.layers = {
            "a": Linear(rng.standard_normal((64, 64), np.float32), rng.standard_normal(64, np.float32)),
            "b": Linear(rng.standard_normal((64, 64), np.float32), None),
        }

    def linear(self, name, outputs=None):
        layer, outputs = self.layers[name], outputs or slice(None)
        return Linear(layer.weight[:, outputs], None if layer.bias is None else layer.bias[outputs])

    def shape(self, name):
        return self.layers[name].weight.shape

    def has_bias(self, name):
        return self.layers[name].bias is not None


def test_fed_layers_compute_what_layers_compute(tmp_path, monkeypatch):
    monkeypatch.setattr(weights_module, "PART_ELEMENTS", 64 * 10)  # the last part of a layer is a smaller one
    two = TwoLayers()
    fed = FedLinears(two)
    graph = GraphWriter("g", fed)
    y = graph.linear(graph.linear(graph.input("x", (1, None, 64)), "a"), "b")
    graph.output(y, "y", (1, None, 64))
    graph.save(tmp_path / "g.onnx")
    session = GraphSession(tmp_path / "g.onnx", 2)
    x = np.random.default_rng(1).standard_normal((1, 7, 64), np.float32)
    rooms = []
    for turn in range(2):
        arrays = fed.feed([name for name in session.inputs if name != "x"])
        assert arrays.keys() == {"a.weight", "a.bias", "b.weight"}
        rooms.append([arrays["a.weight"], arrays["b.weight"]])
        expected = (x @ two.layers["a"].weight + two.layers["a"].bias) @ two.layers["b"].weight
        np.testing.assert_allclose(session.run({"x": x, **arrays})["y"], expected, rtol=1e-4, atol=1e-4, err_msg=turn)
    assert all(again is first for first, again in zip(*rooms, strict=True)), "the memory of a layer is used again"
    assert rooms[0][0] is not rooms[0][1]


@pytest.mark.parametrize("shape", [(3, 5), (4,), ()])
def test_bfloat16_is_read_bit_for_bit(shape):
    bits = np.random.default_rng(0).integers(0, 1 << 16, shape, np.uint16)
    stored = np.asarray(bits).view(ml_dtypes.bfloat16)
    found = as_float32(stored)
    assert found.shape == shape
    np.testing.assert_array_equal(found.view(np.uint32) >> 16, bits)
    np.testing.assert_array_equal(found, stored.astype(np.float32))


def test_one_pass_over_the_prompt_says_what_two_say(reference_checkpoint, int8_bundle):
    source = Source.open(reference_checkpoint)
    runner, scene = source.runner(int8_bundle), source.scenes(None, GOLDEN)[1][0]
    own = runner.greedy(scene)
    for parts_at in (0, 4, 9, 10):  # where the answer that is followed leaves the model's own
        along = own.tokens.copy()
        along[parts_at:] = (along[parts_at:] + 1) % source.sizes.actions.count
        forced, free = runner.in_few_passes(scene, along.tolist())
        ways = runner.each_way(scene, along.tolist())
        expected, stepped = runner.teacher_forced(scene, along.tolist()), runner.stepwise(scene, along.tolist())
        np.testing.assert_array_equal(free.tokens, own.tokens)
        for found, known in ((forced, expected), (free, own), *zip(ways, (expected, stepped, own), strict=True)):
            np.testing.assert_allclose(found.actions, known.actions, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(found.fork, known.fork, rtol=1e-4, atol=1e-4)
            np.testing.assert_array_equal(found.tokens, known.tokens)


def test_a_graph_that_is_opened_for_its_runs_gives_the_same(int8_bundle):
    path = int8_bundle / "vision_8x12.onnx"
    patches = np.random.default_rng(0).standard_normal((2, 96, 1176)).astype(np.float32)
    feed, found = {"patches": patches}, []
    OpenedForRuns(path).run_each([feed], lambda _, outputs: found.append(outputs["embeddings"]))
    np.testing.assert_array_equal(found[0], GraphSession(path).run(feed)["embeddings"])
    np.testing.assert_array_equal(found[0], OpenedForRuns(path).run(feed)["embeddings"])


def test_a_lack_of_memory_within_onnx_runtime_is_one_of_pythons():
    graph = GraphWriter("g", FedLinears(TwoLayers()))
    shape = graph.input("shape", (1,), TensorProto.INT64)
    graph.output(graph.node("ConstantOfShape", shape, at="zeros"), "y", (None,))
    session = GraphSession(graph.model().SerializeToString())
    assert session.run({"shape": np.array([3])})["y"].shape == (3,)
    with pytest.raises(MemoryError, match=r"ONNX Runtime: .*Failed to allocate memory"):
        session.run({"shape": np.array([1 << 59])})
