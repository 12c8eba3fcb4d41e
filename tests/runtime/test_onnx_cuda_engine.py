"""ONNX Runtime on a GPU: never silently the processor; key-value memory stays on the device; runs are captured."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.runtime import device_engine
from onboard_vla.runtime.engine import StandingArrays
from onboard_vla.runtime.onnx_cuda_engine import OnnxCudaEngine

from .fake_gpu import FakeGpu
from .fake_onnxruntime import CPU, CUDA, Module
from .test_tensorrt_engine import floats, graph, step


@pytest.fixture
def gpu():
    return FakeGpu()


@pytest.fixture
def installed(gpu, monkeypatch):
    def install(**how):
        module = Module(gpu, **how)
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        return module

    return install


def test_results_are_the_graphs_and_runs_are_counted(installed, gpu):
    installed()
    engine = OnnxCudaEngine(graph(), gpu)
    for rows, past in ((1, 3), (2, 0), (5, 64)):
        new, total = step(engine, floats(past, 3.0), floats(rows, 2.0), 0.5)
        assert (new == 4).all()
        assert (total == past * 3 + rows * 2 + 0.5).all()
    assert engine.executions == 3


def test_an_array_that_lives_on_the_device_is_read_and_written_there(installed, gpu):
    installed()
    engine, store = OnnxCudaEngine(graph(), gpu), floats(128, 9.0)
    engine.keep(store)
    for length in (0, 2, 4):
        engine.run(
            {"past": store[:64], "fresh": floats(2, 1.0), "bias": floats(1, 0.0)},
            {"new": store[length : length + 2], "sum": (total := floats(1))},
        )
        assert (total == 2 * length + 2).all()
    assert (store == 9).all()


def standing(past, fresh, bias):
    new, total = floats(len(fresh)), floats(1)
    return StandingArrays({"past": past, "fresh": fresh, "bias": bias}), StandingArrays({"new": new, "sum": total})


def test_standing_arrays_are_bound_once_and_seen_with_their_new_content(installed, gpu, monkeypatch):
    installed()
    engine, bound = OnnxCudaEngine(graph(), gpu), []
    make = engine._session.io_binding
    monkeypatch.setattr(engine._session, "io_binding", lambda: bound.append(1) or make())
    inputs, outputs = standing(floats(3, 1.0), floats(2), floats(1, 0.0))
    for value in (1.0, 2.0, 3.0, 4.0):
        inputs["fresh"][:] = value
        engine.run(inputs, outputs)
        assert (outputs["sum"] == 3 + 2 * value).all()
    assert len(bound) == 1


def test_standing_arrays_are_placed_anew_when_memory_has_moved(installed, gpu):
    installed()
    engine = OnnxCudaEngine(graph(), gpu)
    inputs, outputs = standing(floats(3, 1.0), floats(2, 2.0), floats(1, 0.0))
    for _ in range(3):
        engine.run(inputs, outputs)
    step(engine, floats(500), floats(300), 0.5)
    outputs["sum"][:] = 0.0
    engine.run(inputs, outputs)
    assert (outputs["sum"] == 7).all()

    engine.keep(inputs["past"])  # from now on it lives on the device, beginning with zeros
    engine.run(inputs, outputs)
    assert (outputs["sum"] == 4).all()


def test_shapes_met_again_are_captured_under_a_number_of_their_own(installed, gpu):
    module = installed()
    engine = OnnxCudaEngine(graph(), gpu)
    for rows in (2, 1, 1, 1, 2, 1):
        step(engine, floats(64), floats(rows))
    assert module.graph_ids == ["-1", "-1", "1", "1", "2", "1"]
    step(engine, floats(128), floats(9))
    step(engine, floats(64), floats(1))
    assert module.graph_ids[-2:] == ["-1", "-1"], "memory that moved makes another graph of the same shapes"


def test_of_shapes_that_never_come_again_the_newest_alone_are_remembered(installed, gpu, monkeypatch):
    monkeypatch.setattr(device_engine, "MOST_MET", 3)
    module = installed()
    engine = OnnxCudaEngine(graph(), gpu)
    for rows in (9, 1, 2, 3, 4, 3, 1):
        step(engine, floats(64), floats(rows))
    assert module.graph_ids == ["-1"] * 5 + ["1", "-1"], "one row was met before four others"
    assert len(engine._met) == 3


def test_a_graph_that_cannot_be_captured_runs_without(installed, gpu):
    module = installed(capturable=False)
    engine = OnnxCudaEngine(graph(), gpu)
    assert (step(engine, floats(2), floats(1), 0.0)[1] == 3).all()
    assert not engine.graphs
    assert "cannot use the graph capture" in engine.not_captured
    assert [settings["enable_cuda_graph"] for settings in module.settings] == ["0"]


def test_a_capture_that_fails_while_running_costs_the_graphs_and_no_result(installed, gpu):
    module = installed(captures=False)
    engine, store = OnnxCudaEngine(graph(), gpu), floats(64)
    engine.keep(store)
    inputs, outputs = standing(store, floats(2, 2.0), floats(1, 0.0))
    for _ in range(4):
        outputs["sum"][:] = 0.0
        engine.run(inputs, outputs)
        assert (outputs["sum"] == 4).all()
    assert (engine.graphs, engine.executions) == (False, 4)
    assert engine.not_captured == "operation not permitted when stream is capturing"
    assert [settings["enable_cuda_graph"] for settings in module.settings] == ["1", "0"]
    assert module.graph_ids == ["-1", "1"], "what came after was not to be captured"
    assert (step(engine, floats(3, 3.0), floats(1, 2.0), 0.5)[1] == 11.5).all()


def test_an_onnxruntime_without_the_provider_is_refused(installed, gpu):
    installed(available=[CPU])
    with pytest.raises(EnvironmentLacksError, match=f"has the providers {CPU} and not {CUDA}: remove onnxruntime, pip"):
        OnnxCudaEngine(graph(), gpu)


@pytest.mark.parametrize(("version", "old"), [("1.26.9", True), ("1.27.0", False), ("1.31.1", False), ("2.0.0", False)])
def test_an_onnxruntime_without_kernels_of_our_opset_is_refused(installed, gpu, version, old):
    installed(version=version)
    if not old:
        assert OnnxCudaEngine(graph(), gpu).graphs
        return
    with pytest.raises(EnvironmentLacksError, match=r"1.26.9 has no CUDA kernels for graphs of opset 21: pip install"):
        OnnxCudaEngine(graph(), gpu)


def test_this_very_machine_is_refused_rather_than_run_on_the_processor(gpu):
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("a GPU's ONNX Runtime")
    with pytest.raises(EnvironmentLacksError, match="set the engine to cpu"):
        OnnxCudaEngine(graph(), gpu)


def test_a_session_that_quietly_took_the_processor_is_refused(installed, gpu):
    installed(given=[CPU])
    with pytest.raises(EnvironmentLacksError, match=f"asked for {CUDA}, ONNX Runtime took {CPU}"):
        OnnxCudaEngine(graph(), gpu)


def test_bytes_that_are_no_graph_are_one_clear_error(installed, gpu):
    installed()
    with pytest.raises(EngineError, match="cannot load the graph on the GPU"):
        OnnxCudaEngine(b"no graph", gpu)


def test_what_does_not_fit_is_an_error_and_no_execution(installed, gpu):
    installed()
    engine = OnnxCudaEngine(graph(), gpu)
    with pytest.raises(EngineError, match="execution failed"):
        engine.run({"past": floats(1), "fresh": floats(1), "bias": floats(1)}, {"new": floats(2), "sum": floats(1)})
    with pytest.raises(EngineError, match="float16"):
        step(engine, floats(1).astype(np.float16), floats(1))
    assert engine.executions == 0
