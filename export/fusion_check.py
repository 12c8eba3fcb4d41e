"""Proof that ONNX Runtime computes a quantised graph's linear layers in integers: reads the graph as it runs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx

from onboard_vla.core.errors import BundleError

INTEGER_OPERATORS = ("MatMulIntegerToFloat", "MatMulInteger", "QLinearMatMul", "QGemm")
WEIGHT_SUFFIX = ".weight_int8"
LISTED = 8
"""Layers named in an error message."""


@dataclass(frozen=True)
class FusionReport:
    """`integer`: layers computed in integers; `operators`: how often each operator is in the optimised graph."""

    integer: tuple[str, ...]
    operators: dict[str, int]


def optimised_graph(model: onnx.ModelProto | Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime's CPU provider makes of a model, or of the file of one, on this machine."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3  # errors only: it warns that the saved graph is for this machine
        content = str(model) if isinstance(model, Path) else model.SerializeToString()
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return onnx.load(path, load_external_data=False)


def check_fusion(model: onnx.ModelProto | Path, linears: Iterable[str], where: str) -> FusionReport:
    """Hold the optimised graph of a quantised model against the layers that must be integer.

    Raises:
        BundleError: a layer is not computed in integers, or weights are still dequantised at run time.
    """
    graph = optimised_graph(model).graph
    operators = Counter(node.op_type for node in graph.node)
    integer = {
        name[: -len(WEIGHT_SUFFIX)]
        for node in graph.node
        if node.op_type in INTEGER_OPERATORS
        for name in node.input
        if name.endswith(WEIGHT_SUFFIX)
    }
    expected = set(linears)
    if missing := sorted(expected - integer):
        raise BundleError(
            f"{where}: ONNX Runtime computes {len(missing)} of {len(expected)} INT8 layers in float: "
            f"{', '.join(missing[:LISTED])}"
        )
    if count := operators.get("DequantizeLinear", 0):
        raise BundleError(
            f"{where}: ONNX Runtime keeps {count} DequantizeLinear nodes, so weights are expanded every run"
        )
    return FusionReport(tuple(sorted(integer)), dict(sorted(operators.items())))
