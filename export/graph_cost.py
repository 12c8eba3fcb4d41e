"""What one run of a graph costs at least: bytes that must move, and operations, counted from the graph itself.

Bytes are the compulsory ones: every constant and every input read once, every output written once, nothing between the
nodes, as on a machine that keeps all activations close. Operations are those of matrix products, two per multiplication
and addition; what else a graph computes is counted in elements. Nothing is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from onboard_vla.core.errors import BundleError
from onboard_vla.export.four_bits import OPERATOR as FOUR_BITS

PRODUCT = "MatMul"
UNCOUNTED = frozenset({"Attention", "Conv", "ConvInteger", "Einsum", "Gemm", "MatMulInteger", "QLinearMatMul"})
"""Products that no graph of ours has: refused, so that none is overlooked."""
MOVES = frozenset(
    {"Cast", "Concat", "DequantizeLinear", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
"""Nodes that only move values, or restore constants."""
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
LARGE = 4096
"""Constants with more elements are left out of shape inference; shapes and slices are far smaller."""


@dataclass(frozen=True)
class Cost:
    """Of one run. How many bytes a float value has is the device's business: `bytes` takes it."""

    int8_operations: int
    float_operations: int
    elements: int
    float_values: int
    other_bytes: int

    def bytes(self, per_float: int) -> int:
        """Bytes moved if each float value has `per_float` of them."""
        return self.float_values * per_float + self.other_bytes

    @property
    def operations(self) -> int:
        """All operations of matrix products."""
        return self.int8_operations + self.float_operations

    def times(self, runs: int) -> Cost:
        """Of several runs."""
        return Cost(*(runs * value for value in self._values()))

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self._values(), other._values(), strict=True)))

    def _values(self) -> tuple[int, ...]:
        return (self.int8_operations, self.float_operations, self.elements, self.float_values, self.other_bytes)


NOTHING = Cost(0, 0, 0, 0, 0)


class CountedGraph:
    """A graph whose runs are counted at given sizes; holds no weights."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        """`model`: its large constants are emptied here. `name`: for messages."""
        self._model, self._name = model, name
        for tensor in model.graph.initializer:
            if math.prod(tensor.dims) > LARGE:
                for field in ("raw_data", "float_data", "int32_data", "int64_data"):
                    tensor.ClearField(field)
                tensor.data_location = TensorProto.EXTERNAL

    @classmethod
    def load(cls, path: Path) -> CountedGraph:
        """Read a graph's file without its external data.

        Raises:
            BundleError: the file is no ONNX graph.
        """
        try:
            return cls(onnx.load(str(path), load_external_data=False), path.name)
        except Exception as error:  # protobuf's exceptions share no base class that onnx names
            raise BundleError(f"{path}: expected an ONNX graph, found {type(error).__name__}: {error}") from error

    def cost(self, extents: Mapping[str, int], part: Callable[[str], bool] = lambda _: True) -> Cost:
        """Of one run.

        Args:
            extents: the size of every dimension that the graph leaves open, by name.
            part: by a node's name, whether it counts; bytes are then those that enter and leave this part.

        Raises:
            BundleError: a dimension is not given, or a shape or an operator is not known.
        """
        model = self._fixed(extents)
        try:
            inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except shape_inference.InferenceError as error:
            raise BundleError(f"{self._name}: shapes cannot be inferred: {error}") from error
        return _Counter(self._model.graph, inferred.graph, self._name).count(part)

    def _fixed(self, extents: Mapping[str, int]) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for value in (*model.graph.input, *model.graph.output):
            for axis in value.type.tensor_type.shape.dim:
                if axis.HasField("dim_value"):
                    continue
                if axis.dim_param not in extents:
                    raise BundleError(
                        f"{self._name}: {value.name} has an open dimension {axis.dim_param!r}, known: {sorted(extents)}"
                    )
                axis.dim_value = extents[axis.dim_param]
        given, makers = {value.name for value in model.graph.input}, {}
        for default in [tensor for tensor in model.graph.initializer if tensor.name in given]:
            model.graph.initializer.remove(default)
        for node in model.graph.node:
            makers.update(dict.fromkeys(node.output, node))
            if node.op_type == FOUR_BITS:
                _as_plain_product(model.graph, node)
            elif node.op_type == "Split" and (maker := makers.get(node.input[1])) is not None:
                _with_lengths(model.graph, node, [makers[value].input[0] for value in maker.input])
        return model


def _with_lengths(graph: onnx.GraphProto, node: onnx.NodeProto, lists: Sequence[str]) -> None:
    """Split by numbers, which shape inference follows, in place of the lengths of these inputs."""
    lengths = {value.name: value.type.tensor_type.shape.dim[0].dim_value for value in graph.input}
    values = np.array([lengths[name] for name in lists], np.int64)
    graph.initializer.append(numpy_helper.from_array(values, f"{node.name}/lengths"))
    node.input[1] = f"{node.name}/lengths"


def _as_plain_product(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """In place of an operator that shape inference does not know, one with the same shapes."""
    weight = TensorProto(name=f"{node.name}/shape", dims=_sizes(node), data_type=TensorProto.FLOAT)
    weight.data_location = TensorProto.EXTERNAL
    graph.initializer.append(weight)
    node.op_type, node.domain = PRODUCT, ""
    node.input[1:] = [weight.name]
    node.ClearField("attribute")


def _sizes(node: onnx.NodeProto) -> tuple[int, int]:
    """Inputs and outputs of a layer whose weights are packed."""
    found = {attribute.name: attribute.i for attribute in node.attribute}
    return found["K"], found["N"]


class _Counter:
    def __init__(self, graph: onnx.GraphProto, inferred: onnx.GraphProto, name: str) -> None:
        """`inferred`: where the shapes are; of the nodes, only their outputs are the same."""
        self._name, self._nodes = name, graph.node
        self._outputs = {value.name for value in graph.output}
        self._users: dict[str, set[str]] = {}
        for node in graph.node:
            for value in node.input:
                self._users.setdefault(value, set()).add(node.name)
        self._makers = {value: node for node in graph.node for value in node.output}
        self._types: dict[str, tuple[int, tuple[int, ...]]] = {
            tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer
        }
        for info in (*inferred.input, *inferred.value_info, *inferred.output):
            kind = info.type.tensor_type
            if all(axis.HasField("dim_value") for axis in kind.shape.dim):
                self._types[info.name] = kind.elem_type, tuple(axis.dim_value for axis in kind.shape.dim)

        self._needed = self._behind([name for name in self._outputs if self._elements(name)])

    def _behind(self, values: Sequence[str]) -> frozenset[str]:
        """Nodes that these values come from; what serves empty outputs alone costs nothing."""
        needed: set[str] = set()
        waiting = list(values)
        while waiting:
            maker = self._makers.get(waiting.pop())
            if maker is not None and maker.name not in needed:
                needed.add(maker.name)
                waiting += maker.input
        return frozenset(needed)

    def count(self, part: Callable[[str], bool]) -> Cost:
        nodes = [node for node in self._nodes if node.name in self._needed and part(node.name)]
        int8 = floats = elements = 0
        for node in nodes:
            if node.op_type in UNCOUNTED:
                raise BundleError(f"{self._name}: node {node.name} is a {node.op_type}, whose operations are not known")
            if node.op_type == FOUR_BITS:
                floats += 2 * self._elements(node.output[0]) * _sizes(node)[0]
            elif node.op_type == PRODUCT:
                operations = 2 * self._elements(node.output[0]) * self._shape(node.input[0])[-1]
                if all(self._is_restored(value) for value in node.input):
                    int8 += operations
                else:
                    floats += operations
            elif node.op_type not in MOVES:
                elements += sum(self._elements(value) for value in node.output)
        values = other = 0
        for value in self._crossing(nodes):
            kind, size = self._types[value][0], self._elements(value)
            if kind in FLOATS:
                values += size
            else:
                other += size * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
        return Cost(int8, floats, elements, values, other)

    def _crossing(self, nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
        """Values that enter or leave these nodes, each once."""
        names = {node.name for node in nodes}
        made = {value for node in nodes for value in node.output}
        yield from {value for node in nodes for value in node.input if value} - made
        for value in made:
            if value in self._outputs or self._users.get(value, set()) - names:
                yield value

    def _is_restored(self, value: str) -> bool:
        maker = self._makers.get(value)
        return maker is not None and maker.op_type == "DequantizeLinear"

    def _shape(self, value: str) -> tuple[int, ...]:
        if value not in self._types:
            raise BundleError(f"{self._name}: the shape of {value} does not follow from the inputs' shapes")
        return self._types[value][1]

    def _elements(self, value: str) -> int:
        return math.prod(self._shape(value))
