"""One name is one constant; and what ONNX Runtime makes of a large graph is put beside it."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest

from onboard_vla.export.fusion_check import optimised_graph
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.linear_layers import FloatLinears
from onboard_vla.export.weights import Linear


class OneLayer:
    """A layer of ones."""

    def shape(self, _name):
        return 8, 4

    def has_bias(self, _name):
        return False

    def linear(self, _name, _outputs=None):
        return Linear(np.ones((8, 4), np.float32), None)


@pytest.fixture
def graph():
    return GraphWriter("g", FloatLinears(OneLayer()))


@pytest.mark.parametrize(
    "other", [np.array([1, 3], np.float32), np.array([[1, 2]], np.float32), np.array([1, 2], np.float64)]
)
def test_a_name_stands_for_one_constant(graph, other):
    first = np.array([1, 2], np.float32)
    assert graph.constant("table", first) == graph.constant("table", first.copy()) == "table"
    with pytest.raises(ValueError, match="table is another constant than before"):
        graph.constant("table", other)


def test_the_optimised_graph_of_a_file_needs_no_room_elsewhere(graph, tmp_path, monkeypatch):
    y = graph.linear(graph.input("x", (1, "N", 8)), "layer")
    graph.output(y, "y", (1, "N", 4))
    graph.save(tmp_path / "g.onnx")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    assert {node.op_type for node in optimised_graph(tmp_path / "g.onnx").graph.node} == {"MatMul"}
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]
