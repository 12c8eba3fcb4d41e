"""The ONNX Runtime engine writes into the caller's memory, counts runs, and refuses what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.engine import OnnxEngine

onnx = pytest.importorskip("onnx")


@pytest.fixture
def engine():
    """y = concatenation of `past` (P, 2) and `new` (S, 2) along the first axis."""
    from onnx import TensorProto, helper

    def value(name, extent):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (extent, 2))

    node = helper.make_node("Concat", ["past", "new"], ["y"], axis=0)
    graph = helper.make_graph([node], "g", [value("past", "P"), value("new", "S")], [value("y", "T")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return OnnxEngine(model.SerializeToString())


def floats(rows, value=0.0):
    return np.full((rows, 2), value, np.float32)


def test_results_land_in_the_callers_array_and_runs_are_counted(engine):
    store = floats(10)
    engine.run({"past": floats(3, 1.0), "new": floats(2, 2.0)}, {"y": store[4:9]})
    np.testing.assert_array_equal(store[:, 0], [0, 0, 0, 0, 1, 1, 1, 2, 2, 0])
    assert engine.executions == 1


def test_an_empty_past_is_fine(engine):
    out = floats(2)
    engine.run({"past": floats(8)[:0], "new": floats(2, 5.0)}, {"y": out})
    assert (out == 5).all()


def test_later_runs_see_later_arrays(engine):
    outs = [floats(1), floats(3)]
    for out in outs:
        engine.run({"past": floats(0), "new": floats(len(out), len(out))}, {"y": out})
    assert [out[0, 0] for out in outs] == [1, 3]


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"past": floats(1)}, {"y": floats(1)}, "expected inputs"),
        ({"past": floats(1), "new": floats(1), "more": floats(1)}, {"y": floats(2)}, "expected inputs"),
        ({"past": floats(1), "new": floats(1)}, {"z": floats(2)}, "outputs"),
        ({"past": floats(1), "new": floats(4)[::2]}, {"y": floats(3)}, "new must be contiguous"),
        ({"past": floats(1), "new": floats(1).astype(np.float64)}, {"y": floats(2)}, "float64"),
        ({"past": floats(1), "new": floats(1)}, {"y": floats(3)}, "execution failed"),
        ({"past": floats(1), "new": np.zeros((1, 3), np.float32)}, {"y": floats(2)}, "execution failed"),
    ],
)
def test_what_does_not_fit_is_an_error_and_no_execution(engine, inputs, outputs, message):
    with pytest.raises(EngineError, match=message):
        engine.run(inputs, outputs)
    assert engine.executions == 0


def test_an_engine_works_again_after_an_error(engine):
    with pytest.raises(EngineError):
        engine.run({"past": floats(1), "new": floats(1)}, {"y": floats(3)})
    engine.run({"past": floats(1), "new": floats(1)}, {"y": floats(2)})
    assert engine.executions == 1


@pytest.mark.parametrize("graph", [b"", b"not a graph"])
def test_bytes_that_are_no_graph_are_one_clear_error(graph):
    with pytest.raises(EngineError, match="graph"):
        OnnxEngine(graph)
