"""A graph's inputs and outputs on a GPU: fixed places, and arrays of the caller that live there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.engine import Arrays

ALIGNMENT = 256
"""Bytes that every tensor's place is a multiple of, as allocations of CUDA are."""


class DeviceMemory(Protocol):
    """What tensors need of a GPU; `kernels.launch_driver.DriverDevice` has it. All but `to_host` only enqueue."""

    def allocate(self, size: int) -> int:
        """Address of `size` bytes."""

    def free(self, address: int) -> None:
        """Give memory back."""

    def to_device(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Copy a contiguous array, which must stay unchanged until the stream has come to this."""

    def to_host(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Copy into a contiguous array, after all that the stream has before; waits."""

    def zero(self, address: int, size: int, stream: int) -> None:
        """Fill with zero bytes."""

    def copy_rows(
        self, to: int, to_pitch: int, source: int, source_pitch: int, width: int, rows: int, stream: int
    ) -> None:
        """Copy `rows` pieces of `width` bytes; the pitches are the distances between their beginnings."""

    def synchronise(self, stream: int) -> None:
        """Wait for a stream."""


@dataclass(frozen=True)
class Placed:
    """A tensor as a graph is given it: what shape, and where on the device."""

    name: str
    shape: tuple[int, ...]
    address: int


@dataclass(frozen=True, eq=False)
class Placement:
    """The arrays of one execution: where a graph is given them, and what is copied before and after.

    `to_device`: address there, array here. `rows`: copies on the device, as `DeviceMemory.copy_rows` takes them.
    `to_host`: array here, address there. `generation`: while it is `DeviceTensors.generation`, all this holds.
    """

    inputs: tuple[Placed, ...]
    outputs: tuple[Placed, ...]
    to_device: tuple[tuple[int, NDArray[Any]], ...]
    rows: tuple[tuple[int, int, int, int, int, int], ...]
    to_host: tuple[tuple[NDArray[Any], int], ...]
    generation: int

    @property
    def key(self) -> tuple[Placed, ...]:
        """Shapes and addresses: what a captured graph belongs to."""
        return (*self.inputs, *self.outputs)


class DeviceTensors:
    """Puts arrays where a graph reads and writes them.

    Arrays that were `keep`-ed live on the device: views of them are bound where they lie, and their memory here is
    neither read nor written any more. All others are copied. Results are written to places of their own first, so that
    equal shapes mean equal addresses, which a captured graph needs.
    """

    def __init__(self, memory: DeviceMemory, stream: int) -> None:
        self._memory, self.stream = memory, stream
        self._kept: list[tuple[int, int, int]] = []  # begin and end here, address there
        self._arenas: dict[str, tuple[int, int]] = {}  # address and size
        self.generation = 0
        """Counts up whenever something may lie elsewhere than before."""

    def keep(self, array: NDArray[Any]) -> None:
        """Let an array live on the device, beginning with zeros; again: zero it."""
        if not array.flags.c_contiguous:
            raise EngineError(f"an array of strides {array.strides} cannot live on the device: it is not contiguous")
        begin = array.ctypes.data
        there = self._there(array)
        if there is None:
            there = self._memory.allocate(array.nbytes)
            self._kept.append((begin, begin + array.nbytes, there))
            self.generation += 1
        self._memory.zero(there, array.nbytes, self.stream)
        self._memory.synchronise(self.stream)

    def reserve(self, arena: str, size: int) -> None:
        """Have at least `size` bytes for "inputs" or "outputs", so that no later run has to allocate."""
        address, there = self._arenas.get(arena, (0, 0))
        if size <= there:
            return
        if address:
            self._memory.synchronise(self.stream)
            self._memory.free(address)
            self._arenas.pop(arena)
        self._arenas[arena] = self._memory.allocate(size), size
        self.generation += 1

    def placement(self, inputs: Arrays, outputs: Arrays) -> Placement:
        """Where a graph reads and writes these arrays."""
        moving = {name: array for name, array in inputs.items() if self._there(array) is None}
        places, results = self._lay_out("inputs", moving), self._lay_out("outputs", outputs)
        moves, to_host = list[tuple[int, int, int]](), list[tuple[NDArray[Any], int]]()
        for name, array in outputs.items():
            there = self._there(array)
            if there is None:
                to_host.append((array, results[name]))
            elif array.nbytes:
                moves.append((there, results[name], array.nbytes))
        return Placement(
            inputs=tuple(
                Placed(name, array.shape, places.get(name) or self._there(array) or 0) for name, array in inputs.items()
            ),
            outputs=tuple(Placed(name, array.shape, results[name]) for name, array in outputs.items()),
            to_device=tuple((places[name], array) for name, array in moving.items() if array.nbytes),
            rows=tuple(joined(moves)),
            to_host=tuple((array, address) for array, address in to_host if array.nbytes),
            generation=self.generation,
        )

    def feed(self, placement: Placement) -> None:
        """Copy to the device what does not live there."""
        for address, array in placement.to_device:
            self._memory.to_device(address, array, self.stream)

    def fetch(self, placement: Placement) -> None:
        """Copy results to where the caller wants them, and wait."""
        for to, to_pitch, source, source_pitch, width, rows in placement.rows:
            self._memory.copy_rows(to, to_pitch, source, source_pitch, width, rows, self.stream)
        for array, address in placement.to_host:
            self._memory.to_host(array, address, self.stream)
        self._memory.synchronise(self.stream)

    def close(self) -> None:
        """Give the memory back."""
        for address in [*(there for _, _, there in self._kept), *(address for address, _ in self._arenas.values())]:
            self._memory.free(address)
        self._kept.clear()
        self._arenas.clear()

    def _there(self, array: NDArray[Any]) -> int | None:
        """Where an array lies on the device, None if it does not live there."""
        at = array.ctypes.data
        for begin, end, there in self._kept:
            if begin <= at and at + array.nbytes <= end and at < end:
                return there + at - begin
        return None

    def _lay_out(self, arena: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
        """Addresses one after the other; equal shapes in equal order give equal addresses."""
        offsets, total = {}, 0
        for name, array in arrays.items():
            offsets[name] = total
            total += rounded(array.nbytes)
        self.reserve(arena, max(total, ALIGNMENT))
        base = self._arenas[arena][0]
        return {name: base + offset for name, offset in offsets.items()}


def rounded(size: int) -> int:
    """Bytes that a tensor's place takes; never none, so that no two tensors share one."""
    return max(1, -(-size // ALIGNMENT)) * ALIGNMENT


def joined(moves: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int, int, int]]:
    """Copies (to, from, size) as `copy_rows` takes them: runs of equal size and distance become one.

    The keys and values of all layers lie at equal distances, so that a pass's copies become a single one.
    """
    runs: list[list[int]] = []
    for to, source, size in moves:
        if runs:
            first_to, to_pitch, first_source, source_pitch, width, rows = runs[-1]
            steps = to - first_to, source - first_source
            if rows == 1 and size == width and min(steps) >= width:
                runs[-1] = [first_to, steps[0], first_source, steps[1], width, 2]
                continue
            if rows > 1 and size == width and steps == (rows * to_pitch, rows * source_pitch):
                runs[-1][5] += 1
                continue
        runs.append([to, size, source, size, size, 1])
    return [
        (to, to_pitch, source, source_pitch, width, rows) for to, to_pitch, source, source_pitch, width, rows in runs
    ]
