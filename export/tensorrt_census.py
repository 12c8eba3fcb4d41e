"""In which types a compiled TensorRT-RTX plan multiplies, read from the text of its graph.

A plan cannot be opened without a GPU, but it carries its graph as plain text: each `fully_connected={...}` names its
input tensors and the ONNX layers that it came from, each tensor its type. That text is no documented interface: seen
with TensorRT-RTX 1.7. So a census that finds nothing, or a layer it cannot tell, is an error and no result. It says
which types the compiler asks for; which kernel the GPU then takes is decided on the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onboard_vla.core.errors import EngineError

MULTIPLICATION = re.compile(
    rb'fully_connected=\{ name="[^"]*" output=\{[^}]*\} input=\{(?P<inputs>[^}]*)\}.*? layers="(?P<layers>[^"]*)"'
)
TENSOR = re.compile(rb'name="(?P<name>[^"]+)"(?: [a-z_0-9]+=(?:\{[^}]*\}|[^ {}]+))*? type=(?P<type>[a-z0-9]+) \}')
LAYER = re.compile(rb"\[ONNX Layer: (?P<name>[^\]]+)/MatMul(?:_\d+)?\]")
OPERANDS = 2
LISTED = 8


Types = tuple[str, str]


@dataclass(frozen=True)
class Census:
    """`operands[layer]`: types of both operands of a linear layer, one pair for each time it stands in the plan.

    A plan holds a program for every optimisation profile, so a layer stands in it several times.
    """

    operands: Mapping[str, tuple[Types, ...]]

    def layers(self, kind: str) -> frozenset[str]:
        """Layers both of whose operands are of a type ("int8", "half") wherever they stand."""
        return frozenset(name for name, pairs in self.operands.items() if set(pairs) == {(kind, kind)})


def census(plan: bytes, linears: Iterable[str]) -> Census:
    """Operand types of each linear layer in a plan.

    Names of tensors are used again by later programs; what counts is the definition before the use.

    Raises:
        EngineError: the plan's text cannot be read as expected, or says nothing about a layer.
    """
    wanted = frozenset(linears)
    definitions = [(match.start(), match) for match in TENSOR.finditer(plan)]
    uses = [(match.start(), match) for match in MULTIPLICATION.finditer(plan)]
    if not uses:
        raise EngineError("the compiled plan names no matrix multiplication: this compiler's plans cannot be read")
    types: dict[bytes, str] = {}
    operands: dict[str, tuple[Types, ...]] = {}
    for _, match in sorted([*definitions, *uses], key=lambda event: event[0]):
        if match.re is TENSOR:
            types[match["name"]] = match["type"].decode()
            continue
        left, right = re.findall(rb'"([^"]+)"', match["inputs"])[:OPERANDS]
        for layer in LAYER.finditer(match["layers"]):
            name = layer["name"].decode()
            if name in wanted and left in types and right in types:
                operands[name] = (*operands.get(name, ()), (types[left], types[right]))
    if unknown := sorted(wanted - operands.keys()):
        raise EngineError(
            f"the compiled plan does not tell how {len(unknown)} of {len(wanted)} layers are computed: "
            f"{', '.join(unknown[:LISTED])}"
        )
    return Census(operands)
