"""Writes ONNX graphs node by node: opset 21, elementary operators only, constants by value or in a file beside them.

Every value gets a stable, readable name, so the same weights give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from onboard_vla.export.external_data import Constants, Shapes
from onboard_vla.export.linear_layers import LinearWriter

OPSET = 21
"""Oldest operator set that has all that the graphs need, for TensorRT 10.x and ONNX Runtime alike."""
IR_VERSION = 10
"""The ONNX file format that came with opset 21."""
PRODUCER = "onboard-vla"

Array = NDArray[np.generic]
Extent = int | str | None


class GraphWriter:
    """Collects nodes and constants of one graph. Methods take and return value names."""

    def __init__(self, name: str, linears: LinearWriter, external: Constants | None = None) -> None:
        """`external`: where the weights of linear layers go; into the graph itself without it."""
        self._name, self._linears, self._external = name, linears, external
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._used: dict[str, int] = {}
        self._halves: dict[str, str] = {}
        self._uses: dict[str, int] = {}
        self._domains: set[str] = set()

    def input(
        self, name: str, shape: Sequence[Extent], kind: int = TensorProto.FLOAT, default: Array | None = None
    ) -> str:
        """Declare an input; string extents are dynamic, and None is dynamic without a name.

        `default`: what it is where nobody gives it.
        """
        if default is not None:
            self.constant(name, default)
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, value: str, name: str, shape: Sequence[Extent], kind: int = TensorProto.FLOAT) -> None:
        """Declare that `value` leaves the graph as `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, name: str, array: Array) -> str:
        """Store an array.

        Raises:
            ValueError: the same name came with another array before.
        """
        tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
        if self._constants.setdefault(name, tensor) != tensor:
            raise ValueError(f"{name} is another constant than before")
        return name

    def weights(self, shapes: Shapes, make: Callable[[], Mapping[str, Array]]) -> None:
        """Store the arrays of a linear layer under their names; `make` computes them, if that is still to be done."""
        if self._external is None:
            for name, array in make().items():
                self.constant(name, array)
        else:
            self._constants |= self._external.tensors(shapes, make)

    def shape(self, *extents: int) -> str:
        """A constant int64 vector, shared between its users."""
        return self.constant("shape/" + "_".join(map(str, extents)), np.array(extents, np.int64))

    def scalar(self, value: float) -> str:
        """A constant float32 scalar, shared between its users."""
        return self.constant(f"scalar/{value!r}", np.array(value, np.float32))

    def node(
        self,
        kind: str,
        *inputs: str,
        at: str,
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,  # noqa: ANN401  (attribute types are the operator's)
    ) -> str:
        """Append a node and return its (first) output; further outputs end in /1, /2, ... `domain`: not ONNX's own."""
        name = self._unique(f"{at}/{kind}")
        names = [name, *(f"{name}/{i}" for i in range(1, outputs))]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=name, domain=domain, **attributes))
        if domain:
            self._domains.add(domain)
        return name

    def linear(self, x: str, name: str) -> str:
        """X @ weight (+ bias) of the linear layer `name`, in that layer's precision."""
        return self._linears.write(self, x, name)

    @property
    def attention_type(self) -> np.dtype[np.floating[Any]]:
        """In which attention is multiplied: that of the linear layers' floats."""
        return np.dtype(np.float16 if self._linears.half else np.float32)

    def half(self, x: str) -> str:
        """X in half precision, where this graph's matrix products are in it; else X itself."""
        if not self._linears.half:
            return x
        if x not in self._halves:
            self._halves[x] = self.node("Cast", x, at=f"{x}/half", to=TensorProto.FLOAT16)
        return self._halves[x]

    def full(self, x: str) -> str:
        """X back in float32, in which everything but matrix products is computed."""
        return self.node("Cast", x, at=f"{x}/full", to=TensorProto.FLOAT) if self._linears.half else x

    def earlier_uses(self, value: str) -> int:
        """How often this was asked before for the same value: 0, 1, 2, ..."""
        count = self._uses.get(value, 0)
        self._uses[value] = count + 1
        return count

    def rms_norm(self, x: str, gain: Array, epsilon: float, at: str) -> str:
        """X / sqrt(mean(x^2) + epsilon) * gain over the last axis, in the shape that runtimes fuse."""
        square = self.node("Pow", x, self.scalar(2.0), at=at)
        mean = self.node("ReduceMean", square, self.shape(-1), at=at, keepdims=1)
        root = self.node("Sqrt", self.node("Add", mean, self.scalar(epsilon), at=at), at=at)
        return self.node("Mul", self.node("Div", x, root, at=at), self.constant(f"{at}.weight", gain), at=at)

    def rotate(self, x: str, cos: str, signed_sin: str, half: int, at: str) -> str:
        """Rotary embedding of the last axis: x * cos + swap_halves(x) * signed_sin (first half of sin negated)."""
        first = self.node("Split", x, self.shape(half, half), at=at, outputs=2, axis=-1)
        swapped = self.node("Concat", f"{first}/1", first, at=at, axis=-1)
        return self.node("Add", self.node("Mul", x, cos, at=at), self.node("Mul", swapped, signed_sin, at=at), at=at)

    def gated_mlp(self, x: str, at: str) -> str:
        """down_proj(silu(gate_proj(x)) * up_proj(x))."""
        gate = self.linear(x, f"{at}.gate_proj")
        active = self.node("Mul", gate, self.node("Sigmoid", gate, at=at), at=at)
        return self.linear(self.node("Mul", active, self.linear(x, f"{at}.up_proj"), at=at), f"{at}.down_proj")

    def model(self) -> onnx.ModelProto:
        """The finished model, checked and with inferred shapes verified."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=list(self._constants.values())
        )
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(name, 1) for name in sorted(self._domains))]
        model = helper.make_model(graph, opset_imports=opsets, producer_name=PRODUCER)
        model.ir_version = IR_VERSION
        if self._external is None:
            onnx.checker.check_model(model)
        return model

    def save(self, path: Path) -> None:
        """Write the finished model to a file; with external data, into the folder of that."""
        save_model(self.model(), path)

    def _unique(self, name: str) -> str:
        count = self._used.get(name, 0)
        self._used[name] = count + 1
        return name if count == 0 else f"{name}_{count}"


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model to a file; the same model gives the same bytes. One with external data is checked there."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        onnx.checker.check_model(str(path))
