"""Proof that ONNX Runtime computes a quantised graph's linear layers as written: reads the graph as it runs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx

from onboard_vla.core.errors import BundleError
from onboard_vla.export.four_bits import OPERATOR
from onboard_vla.export.four_bits import WEIGHT_SUFFIX as FOUR_BIT_SUFFIX

INTEGER_OPERATORS = ("MatMulIntegerToFloat", "MatMulInteger", "QLinearMatMul", "QGemm")
WEIGHT_SUFFIX = ".weight_int8"
LISTED = 8
"""Layers named in an error message."""


@dataclass(frozen=True)
class FusionReport:
    """`integer`: layers computed in integers; `four_bits`: from weights in four bits.

    `operators`: how often each operator is in the optimised graph.
    """

    integer: tuple[str, ...]
    four_bits: tuple[str, ...]
    operators: dict[str, int]


def optimised_graph(model: onnx.ModelProto | Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime's CPU provider makes of a model, or of the file of one, on this machine."""
    import onnxruntime

    # Beside a large one: /tmp may lie in memory.
    with tempfile.TemporaryDirectory(dir=model.parent if isinstance(model, Path) else None) as folder:
        path = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3  # errors only: it warns that the saved graph is for this machine
        content = str(model) if isinstance(model, Path) else model.SerializeToString()
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return onnx.load(path, load_external_data=False)


def check_fusion(
    model: onnx.ModelProto | Path, linears: Iterable[str], where: str, four_bits: Iterable[str] = ()
) -> FusionReport:
    """Hold the optimised graph of a quantised model against the layers that must be integer, or in four bits.

    Raises:
        BundleError: a layer is not computed as it must, or weights are still dequantised at run time.
    """
    graph = optimised_graph(model).graph
    operators = Counter(node.op_type for node in graph.node)
    integer = _layers(graph, INTEGER_OPERATORS, WEIGHT_SUFFIX)
    packed = _layers(graph, (OPERATOR,), FOUR_BIT_SUFFIX)
    if missing := sorted(set(four_bits) - packed):
        raise BundleError(
            f"{where}: ONNX Runtime does not compute {', '.join(missing[:LISTED])} from weights in four bits"
        )
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
    return FusionReport(tuple(sorted(integer)), tuple(sorted(packed)), dict(sorted(operators.items())))


def _layers(graph: onnx.GraphProto, operators: Iterable[str], suffix: str) -> set[str]:
    """Layers whose weight, named with `suffix`, goes into one of `operators`."""
    found = (name for node in graph.node if node.op_type in operators for name in node.input)
    return {name.removesuffix(suffix) for name in found if name.endswith(suffix)}
