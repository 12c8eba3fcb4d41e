"""The ONNX Runtime engine writes into the caller's memory, counts runs, and refuses what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.engine import OnnxEngine, StandingArrays

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


def test_standing_arrays_are_bound_once_and_later_runs_see_their_new_content(engine, monkeypatch):
    bindings, make = [], engine._session.io_binding
    monkeypatch.setattr(engine._session, "io_binding", lambda: bindings.append(1) or make())
    past, new, out = floats(1), floats(2), floats(3)
    inputs, outputs = StandingArrays({"past": past, "new": new}), StandingArrays({"y": out})
    for value in (1.0, 2.0, 3.0):
        past[:], new[:] = value, -value
        engine.run(inputs, outputs)
        assert out[:, 0].tolist() == [value, -value, -value]
    assert (len(bindings), engine.executions) == (1, 3)


def test_standing_arrays_that_write_elsewhere_or_run_on_another_engine_are_bound_anew(engine):
    from onnx import TensorProto, helper

    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 2))

    graph = helper.make_graph(
        [helper.make_node("Add", ["past", "new"], ["y"])], "g", [value("past"), value("new")], [value("y")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    other = OnnxEngine(model.SerializeToString())
    inputs = StandingArrays({"past": floats(1, 1.0), "new": floats(1, 2.0)})
    long, longer, summed = floats(2), floats(2), floats(1)
    first, second, third = (StandingArrays({"y": out}) for out in (long, longer, summed))
    engine.run(inputs, first)
    engine.run(inputs, second)
    other.run(inputs, third)
    assert (long[:, 0].tolist(), longer[:, 0].tolist(), summed[:, 0].tolist()) == ([1, 2], [1, 2], [3])


def test_standing_arrays_that_do_not_fit_are_an_error_every_time(engine):
    inputs, outputs = StandingArrays({"past": floats(1), "new": floats(1)}), StandingArrays({"y": floats(3)})
    for _ in range(2):
        with pytest.raises(EngineError, match="execution failed"):
            engine.run(inputs, outputs)


def test_what_onnxruntime_raises_of_arrays_that_it_cannot_bind_is_an_engines_error(engine, monkeypatch):
    class Unbindable:
        def bind_input(self, *_):
            raise RuntimeError("no such memory")

    class Session:
        io_binding = Unbindable

        def run_with_iobinding(self, _):
            pytest.fail("nothing was bound")

    monkeypatch.setattr(engine, "_session", Session())
    with pytest.raises(EngineError, match="execution failed: no such memory"):
        engine.run({"past": floats(1), "new": floats(1)}, {"y": floats(2)})
    assert engine.executions == 0
