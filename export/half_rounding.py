"""Lets ONNX Runtime's CPU provider round where a graph says half precision.

That provider has no half-precision products: it casts operands to float32 and back, and then drops the casts that meet,
so that nothing is rounded and nothing overflows. A reshape that changes nothing, between such casts, keeps them apart.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's option for where the weights of a model without a file lie."""


def rounding_model(path: Path) -> bytes | None:
    """The model in a file, half-precision values rounded; None if it has none. External weights stay outside."""
    model = onnx.load(path, load_external_data=False)
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    if not any(_to(node) == TensorProto.FLOAT16 for node in casts):
        return None
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "Cast":
            nodes.append(node)
        elif _to(node) == TensorProto.FLOAT16:
            # x -> Cast -> reshape -> half
            kept = node.output[0]
            node.output[0] = f"{kept}/cast"
            nodes += [node, *_barrier(f"{kept}/cast", kept)]
        else:
            # half product -> reshape -> Cast -> x
            kept = node.input[0]
            node.input[0] = f"{node.output[0]}/rounded"
            nodes += [*_barrier(kept, node.input[0]), node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    content: bytes = model.SerializeToString()
    return content


def _to(node: onnx.NodeProto) -> int:
    return int(next(attribute.i for attribute in node.attribute if attribute.name == "to"))


def _barrier(source: str, target: str) -> list[onnx.NodeProto]:
    """A value's own shape is asked for at run time, so no optimiser knows that nothing changes."""
    shape = f"{target}/shape"
    return [
        helper.make_node("Shape", [source], [shape], name=shape),
        helper.make_node("Reshape", [source, shape], [target], name=f"{target}/reshape"),
    ]
