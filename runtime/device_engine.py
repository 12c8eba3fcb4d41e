"""What engines on a GPU have in common: arrays are checked, moved, run on, and fetched.

**No GPU has run this yet**: it is tested over memory and streams that only look like a GPU's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.device_tensors import DeviceMemory, DeviceTensors, Placed, Placement
from onboard_vla.runtime.engine import Arrays, StandingArrays, prepared_for

PAST_MULTIPLE = 64
"""Cache lengths that a graph is run with are multiples of this: few shapes, so that captured graphs are met again."""
MOST_GRAPHS = 64
"""Captured graphs an engine keeps; further shapes are enqueued."""
MOST_MET = 512
"""Shapes and addresses met once that an engine remembers, the newest."""

Key = tuple[Placed, ...]


class DeviceEngine(ABC):
    """One graph on one stream of a GPU. `executions` counts finished runs.

    `types`: element type of every input and output, by name.
    """

    past_multiple = PAST_MULTIPLE

    def __init__(
        self,
        name: str,
        memory: DeviceMemory,
        stream: int,
        inputs: Mapping[str, np.dtype[Any]],
        outputs: Mapping[str, np.dtype[Any]],
    ) -> None:
        self.name, self.executions = name, 0
        self.tensors = DeviceTensors(memory, stream)
        self._inputs, self._outputs = dict(inputs), dict(outputs)
        self._met: dict[Key, None] = {}

    def keep(self, array: NDArray[Any]) -> None:
        """Let an array of the caller live on the device from now on, beginning with zeros."""
        self.tensors.keep(array)

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """See `engine.Engine.run`. Of `StandingArrays` it is worked out once what lies where.

        Raises:
            EngineError: names, types, shapes or memory layout do not fit the graph, or the execution failed.
        """
        placement, prepared = prepared_for(self, inputs, outputs, self._ready)
        if placement.generation != self.tensors.generation:  # what these arrays were prepared for has moved since
            assert isinstance(inputs, StandingArrays)
            inputs.prepared = None
            placement, prepared = prepared_for(self, inputs, outputs, self._ready)
        self.tensors.feed(placement)
        self._execute(prepared)
        self.tensors.fetch(placement)
        self.executions += 1

    def _ready(self, inputs: Arrays, outputs: Arrays) -> tuple[Placement, Any]:
        self._check(inputs, self._inputs, "inputs")
        self._check(outputs, self._outputs, "outputs")
        placement = self.tensors.placement(inputs, outputs)
        return placement, self._prepare(placement)

    @abstractmethod
    def _prepare(self, placement: Placement) -> Any:  # noqa: ANN401  (what the engine makes of it)
        """Work out once what executions on these arrays need."""

    @abstractmethod
    def _execute(self, prepared: Any) -> None:  # noqa: ANN401  (what `_prepare` gave)
        """Put one execution on the stream."""

    def _met_before(self, key: Key) -> bool:
        """Whether these shapes and addresses come again, so that they are worth a graph; they are remembered."""
        if key in self._met:
            return True
        if len(self._met) >= MOST_MET:
            del self._met[next(iter(self._met))]
        self._met[key] = None
        return False

    def _check(self, arrays: Arrays, types: Mapping[str, np.dtype[Any]], what: str) -> None:
        if arrays.keys() != types.keys():
            raise EngineError(f"{self.name}: expected {what} {sorted(types)}, found {sorted(arrays)}")
        for name, array in arrays.items():
            if array.dtype != types[name] or not array.flags.c_contiguous:
                raise EngineError(
                    f"{self.name}: {name} must be contiguous {types[name]}, found {array.dtype} with strides "
                    f"{array.strides}"
                )
