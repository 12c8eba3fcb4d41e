"""The TensorRT engine gives the CPU engine's plans, over a stand-in that has the published members alone."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.runtime import tensorrt_module
from onboard_vla.runtime.tensorrt_engine import TensorRtEngine

from .fake_gpu import FakeGpu
from .fake_tensorrt import VERSIONS, Module

onnx = pytest.importorskip("onnx")


def graph() -> bytes:
    """new = 2 * fresh; sum = total of past and fresh along the first axis, plus bias."""
    from onnx import TensorProto, helper, numpy_helper

    def value(name, *extents):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, extents)

    nodes = [
        helper.make_node("Mul", ["fresh", "two"], ["new"]),
        helper.make_node("Concat", ["past", "fresh"], ["all"], axis=0),
        helper.make_node("ReduceSum", ["all", "axis"], ["total"], keepdims=1),
        helper.make_node("Add", ["total", "bias"], ["sum"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(2, np.float32), "two"),
        numpy_helper.from_array(np.array([0]), "axis"),
    ]
    inputs = [value("past", "P", 64), value("fresh", "S", 64), value("bias", 1, 64)]
    outputs = [value("new", "S", 64), value("sum", 1, 64)]
    made = helper.make_graph(nodes, "g", inputs, outputs, initializer=constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model.SerializeToString()


def plan(trt, tmp_path, *ranges) -> bytes:
    """`ranges`: per profile least and most of (past, fresh)."""
    (tmp_path / "g.onnx").write_bytes(graph())
    logger, _ = tensorrt_module.new_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert trt.OnnxParser(network, logger).parse_from_file(str(tmp_path / "g.onnx"))
    config = builder.create_builder_config()
    for least, most in ranges:
        profile = builder.create_optimization_profile()
        for name, a, c in zip(("past", "fresh"), least, most, strict=True):
            profile.set_shape(name, (a, 64), (c, 64), (c, 64))
        profile.set_shape("bias", (1, 64), (1, 64), (1, 64))
        config.add_optimization_profile(profile)
    return bytes(builder.build_serialized_network(network, config))


@pytest.fixture(params=VERSIONS)
def trt(request):
    return Module(request.param, FakeGpu())


@pytest.fixture
def gpu(trt) -> FakeGpu:
    return trt.Builder._gpu


@pytest.fixture
def engine(trt, gpu, tmp_path):
    return TensorRtEngine(trt, "g", plan(trt, tmp_path, ((0, 1), (256, 64)), ((0, 1), (256, 2))), gpu)


def floats(rows, value=1.0):
    return np.full((rows, 64), value, np.float32)


def step(engine, past, fresh, bias=0.0):
    new, total = floats(len(fresh), np.nan), floats(1, np.nan)
    engine.run({"past": past, "fresh": fresh, "bias": floats(1, bias)}, {"new": new, "sum": total})
    return new, total


def test_results_are_the_graphs_and_runs_are_counted(engine):
    for rows, bias in ((1, 0.5), (2, 0.0), (1, 7.0), (64, 1.0)):
        new, total = step(engine, floats(128, 3.0), floats(rows, 2.0), bias)
        assert (new == 4).all()
        assert (total == 128 * 3 + rows * 2 + bias).all()
    assert engine.executions == 4


def test_an_empty_past_is_fine(engine):
    assert (step(engine, floats(0), floats(3))[1] == 3).all()


def test_an_array_that_lives_on_the_device_is_read_and_written_there(engine, gpu):
    store = floats(256, 9.0)
    engine.keep(store)
    for length in (0, 2, 4):
        engine.run(
            {"past": store[:64], "fresh": floats(2, 1.0), "bias": floats(1, 0.0)},
            {"new": store[length : length + 2], "sum": (total := floats(1))},
        )
        assert (total == 2 * length + 2).all(), "the slots begin as zeros and hold what earlier runs wrote"
    assert (store == 9).all(), "the caller's own memory is not touched"
    assert gpu.calls.count("to_device") == 3 * 2, "nothing of the store is copied in: fresh and bias alone"
    engine.keep(store)
    assert (step(engine, store[:64], floats(1, 0.0))[1] == 0).all()


def test_the_third_run_of_a_shape_is_a_captured_graph_and_gives_the_same(engine, gpu):
    totals = [step(engine, floats(64, float(i)), floats(1, 0.0))[1][0, 0] for i in range(5)]
    assert totals == [64 * i for i in range(5)]
    assert (gpu.calls.count("begin_capture"), gpu.calls.count("launch_graph")) == (1, 3)
    step(engine, floats(128), floats(1))
    assert (step(engine, floats(64, 2.0), floats(1, 0.0))[1] == 128).all(), "other shapes between replays do no harm"


def test_memory_is_allocated_before_the_first_run_and_never_after(engine, gpu):
    before = gpu.calls.count("allocate")
    for rows in (1, 64, 2, 2, 2):
        step(engine, floats(256), floats(rows))
    assert gpu.calls.count("allocate") == before


def test_where_nothing_captures_everything_is_enqueued(trt, gpu, tmp_path):
    gpu.captures = False
    engine = TensorRtEngine(trt, "g", plan(trt, tmp_path, ((0, 1), (256, 64))), gpu)
    assert [step(engine, floats(64, float(i)), floats(1, 0.0))[1][0, 0] for i in range(4)] == [0, 64, 128, 192]
    assert not engine.graphs
    assert engine.not_captured == "this GPU captures nothing"
    assert gpu.calls.count("begin_capture") == gpu.calls.count("launch_graph") == 0


def test_a_capture_that_breaks_leaves_the_stream_usable(engine, gpu, monkeypatch):
    def refuse(_):
        gpu.capturing.clear()
        raise EngineError("operation not permitted when stream is capturing")

    monkeypatch.setattr(gpu, "end_capture", refuse)
    assert [step(engine, floats(64, float(i)), floats(1, 0.0))[1][0, 0] for i in range(4)] == [0, 64, 128, 192]
    assert "not permitted" in engine.not_captured


def test_the_narrowest_profile_that_fits_is_taken(engine, monkeypatch):
    taken = []
    for index, context in enumerate(engine._general):
        original = context.execute_async_v3
        object.__setattr__(
            context, "execute_async_v3", lambda stream, i=index, call=original: taken.append(i) or call(stream)
        )
    step(engine, floats(64), floats(2))
    step(engine, floats(64), floats(3))
    assert taken == [1, 0]


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"past": floats(1), "fresh": floats(1)}, {}, "expected inputs"),
        ({"past": floats(300), "fresh": floats(1), "bias": floats(1)}, None, "no optimisation profile admits"),
        ({"past": floats(2)[::2], "fresh": floats(1), "bias": floats(1)}, None, None),
        ({"past": floats(4)[::2], "fresh": floats(1), "bias": floats(1)}, None, "past must be contiguous float32"),
        ({"past": floats(1), "fresh": floats(1).astype(np.float16), "bias": floats(1)}, None, "fresh must be contig"),
        ({"past": floats(1), "fresh": floats(1), "bias": floats(1)}, {"new": floats(2), "sum": floats(1)}, "room is"),
        ({"past": floats(1), "fresh": floats(1), "bias": floats(1)}, {"new": floats(1)}, "expected outputs"),
    ],
)
def test_what_does_not_fit_is_an_error_and_no_execution(engine, inputs, outputs, message):
    outputs = {"new": floats(1), "sum": floats(1)} if outputs is None else outputs
    if message is None:
        engine.run(inputs, outputs)
        return
    with pytest.raises(EngineError, match=message):
        engine.run(inputs, outputs)
    assert engine.executions == 0


def test_another_versions_plan_is_refused_in_one_line(trt, gpu, tmp_path):
    content = plan(trt, tmp_path, ((0, 1), (8, 8)))
    other = Module(next(v for v in VERSIONS if v != trt.__version__), gpu)
    with pytest.raises(
        EngineError, match=r"g: TensorRT \S+ does not open this engine: the engine was built by another"
    ):
        TensorRtEngine(other, "g", content, gpu)


def test_the_stand_in_has_no_member_that_the_published_bindings_lack():
    old, new = (Module(version, FakeGpu()) for version in VERSIONS)
    with pytest.raises(AttributeError, match=r"10\.3\.0: IBuilderConfig has no build_route"):
        _ = old.IBuilderConfig().build_route
    with pytest.raises(AttributeError, match="has no int8_calibrator"):
        new.IBuilderConfig().int8_calibrator = None
    with pytest.raises(AttributeError, match="IInt8Calibrator"):
        _ = new.IInt8Calibrator
    assert not hasattr(new.BuilderFlag, "FP16")
    assert hasattr(old.BuilderFlag, "FP16")


def test_a_missing_or_old_tensorrt_is_one_clear_line(monkeypatch):
    with monkeypatch.context() as context:
        context.setitem(__import__("sys").modules, "tensorrt", None)
        with pytest.raises(EnvironmentLacksError, match="TensorRT does not load"):
            tensorrt_module.import_tensorrt()
    old = type("Old", (), {"__version__": "8.6.1"})
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", old)
    with pytest.raises(EnvironmentLacksError, match=r"TensorRT 8\.6\.1 is too old: expected 10\.3"):
        tensorrt_module.import_tensorrt()
