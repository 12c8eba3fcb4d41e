"""LoRA adapters that were not merged, folded into the weights on reading: W + (alpha / r) B A.

Hu et al. 2021, *LoRA: Low-Rank Adaptation of Large Language Models*, section 4.1; names as peft saves them:

    {layer}.base_layer.weight            (outputs, inputs)    W
    {layer}.lora_A.{adapter}.weight      (r, inputs)          A
    {layer}.lora_B.{adapter}.weight      (outputs, r)         B

alpha is not among the tensors; r is the height of A.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.tensor_store import Floats, StoredTensor, TensorStore, listed

BASE, HALF = ".base_layer.", re.compile(r"(?P<layer>.+)\.lora_(?P<half>[AB])\.(?P<adapter>[^.]+)\.weight")


@dataclass(frozen=True)
class _Adapter:
    down: str
    up: str
    scale: float


class MergedLora:
    """A store without adapters: those of another one are added to the weights that they belong to."""

    def __init__(self, base: TensorStore, alpha: float) -> None:
        """Pair every adapter with its layer.

        Raises:
            CheckpointError: half an adapter, one without a layer, sizes that do not fit, or several adapters.
        """
        self._base, self.alpha = base, alpha
        halves = {key: match for key in base.tensors if (match := HALF.fullmatch(key))}
        names = sorted({match["adapter"] for match in halves.values()})
        if len(names) > 1:
            raise CheckpointError(
                f"the checkpoint holds several LoRA adapters, {listed(names)}: merge or drop all but one"
            )
        self._sources = {key.replace(BASE, "."): key for key in base.tensors if key not in halves}
        self._adapters = {
            f"{layer}.weight": self._adapter(layer, names[0], alpha)
            for layer in sorted({match["layer"] for match in halves.values()})
        }
        self.tensors: dict[str, StoredTensor] = {name: base.tensors[key] for name, key in self._sources.items()}

    def read(self, name: str, rows: slice | None = None) -> Floats:
        """A tensor, or some rows of it, as float32, adapters added in float32."""
        value = self._base.read(self._sources[name], rows)
        adapter = self._adapters.get(name)
        if adapter is None:
            return value
        return value + adapter.scale * (self._base.read(adapter.up, rows) @ self._base.read(adapter.down))

    def _adapter(self, layer: str, name: str, alpha: float) -> _Adapter:
        tensors, weight = self._base.tensors, f"{layer}.weight"
        down, up = (f"{layer}.lora_{half}.{name}.weight" for half in "AB")
        if missing := [key for key in (down, up) if key not in tensors]:
            raise CheckpointError(f"half a LoRA adapter: {missing[0]} is missing")
        if weight not in self._sources:
            raise CheckpointError(f"the LoRA adapter of {layer} has no weight to be added to")
        (rank, inputs), (outputs, same) = tensors[down].shape, tensors[up].shape
        shape = tensors[self._sources[weight]].shape
        if (outputs, inputs) != shape or rank != same:
            raise CheckpointError(
                f"the LoRA adapter of {layer} is {(outputs, same)} times {(rank, inputs)}, its weight {shape}"
            )
        return _Adapter(down, up, alpha / rank)


def has_adapters(store: TensorStore) -> bool:
    """Whether a store holds LoRA adapters, or layers that are wrapped for them."""
    return any(HALF.fullmatch(key) or BASE in key for key in store.tensors)


def merged(store: TensorStore, alpha: float | None, stored: list[float], where: str) -> TensorStore:
    """The store with adapters folded in; the store itself where it has none.

    Args:
        store: tensors by name.
        alpha: LoRA's alpha if the caller knows it.
        stored: what the checkpoint's own hyperparameters say.
        where: the file, for messages.

    Raises:
        CheckpointError: there are adapters and alpha is unknown or contradicts itself.
    """
    if not has_adapters(store):
        return store
    known = sorted({*stored, *(() if alpha is None else (alpha,))})
    if len(known) != 1:
        found = "nothing says its alpha" if not known else f"its alpha is said to be {' and '.join(map(str, known))}"
        raise CheckpointError(
            f"{where} holds LoRA adapters that are not merged and {found}: give the one that it was trained with "
            "(--lora-alpha), or merge the adapters first"
        )
    return MergedLora(store, known[0])
