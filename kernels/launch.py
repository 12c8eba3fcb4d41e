"""Launches on a GPU: what a back end must offer, the fat binary to load, and kernels bound to their arguments.

Two back ends: pycuda (the vehicle's, extra `cuda`) and the driver's C interface by ctypes (needs the driver only). Both
use the device's primary context, which TensorRT uses too, and streams of their own whose handles are integers: the
handle given to `execute_async_v3` is the one given to `launch`. Every address in a kernel's arguments is the device's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.kernels.forms import fat_binary
from onboard_vla.kernels.layouts import BLOCK_THREADS, KERNELS, Arguments

Function = Any
"""A kernel's handle, of the back end's own type."""
TEGRA = frozenset({(5, 3), (6, 2), (7, 2), (8, 7), (10, 1), (11, 0)})
"""Compute capabilities of Jetson and DRIVE."""


class Device(Protocol):
    """One GPU. Calls come from one thread; all but `to_host` return before the GPU is done."""

    name: str
    capability: tuple[int, int]
    driver_cuda: tuple[int, int]

    def load(self, image: bytes) -> dict[str, Function]:
        """The kernels of a fat binary by name; it stays loaded until `close`."""
        ...

    def new_stream(self) -> int:
        """Handle of a stream that is not the default one."""
        ...

    def allocate(self, size: int) -> int:
        """Address of `size` bytes."""
        ...

    def free(self, address: int) -> None:
        """Give memory back."""
        ...

    def to_device(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Copy a contiguous array; it must stay unchanged until the stream has come to this."""
        ...

    def to_host(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Copy into a contiguous array, after all that the stream has before; waits."""
        ...

    def launch(self, function: Function, blocks: int, threads: int, arguments: bytes, stream: int) -> None:
        """Put a launch on a stream; `arguments`: the struct as the kernel takes it, by value."""
        ...

    def synchronise(self, stream: int) -> None:
        """Wait for a stream.

        Raises:
            EngineError: something on it failed.
        """
        ...

    def close(self) -> None:
        """Release module, streams and context; memory first."""
        ...


@dataclass(frozen=True)
class FatBinary:
    """GPU code and, from the manifest beside it, what it was built with and for."""

    path: Path
    cuda: tuple[int, int]
    architectures: tuple[tuple[int, int], ...]

    @classmethod
    def installed(cls) -> FatBinary:
        """The one that this installation built.

        Raises:
            EnvironmentLacksError: there was no nvcc.
        """
        path = fat_binary()
        if path is None:
            raise EnvironmentLacksError(
                "GPU kernels: this installation has none; put nvcc on PATH and install this package again"
            )
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> FatBinary:
        """A fat binary and its manifest.

        Raises:
            EnvironmentLacksError: there is no manifest, or it lacks a field.
        """
        manifest = path.with_suffix(".json")
        try:
            found = json.loads(manifest.read_text())
            architectures = tuple(_version(text) for text in found["architectures"])
            return cls(path, _version(found["cuda"]), architectures)
        except (OSError, ValueError, KeyError) as error:
            raise EnvironmentLacksError(f"GPU kernels: {manifest}: {error!r}; install again") from error

    def check(self, device: Device) -> None:
        """Refuse a device that would have to compile the code itself: that takes seconds, at a time nobody chose.

        Machine code runs on its own major compute capability from its minor on, to and from Tegra on its own alone, and
        on drivers of its CUDA major (CUDA C++ Programming Guide, "Binary Compatibility"; CUDA Compatibility, "Minor
        Version Compatibility").

        Raises:
            EnvironmentLacksError: no machine code fits the device and its driver.
        """
        major, minor = device.capability
        if not any(_runs(built, device.capability) for built in self.architectures):
            built = ", ".join(f"sm_{a}{b}" for a, b in self.architectures)
            raise EnvironmentLacksError(
                f"GPU kernels: {self.path} has code for {built}, {device.name} is sm_{major}{minor}"
            )
        if device.driver_cuda[0] < self.cuda[0]:
            driver, built = (".".join(map(str, version)) for version in (device.driver_cuda, self.cuda))
            raise EnvironmentLacksError(
                f"GPU kernels: built with CUDA {built}, the driver of {device.name} knows CUDA {driver}; "
                "install again with the driver's nvcc first on PATH"
            )


class GpuKernels:
    """The kernels loaded on a device.

    Raises:
        EnvironmentLacksError: the fat binary does not fit the device.
    """

    def __init__(self, device: Device, binary: FatBinary) -> None:
        binary.check(device)
        self.device = device
        self._functions = device.load(binary.path.read_bytes())

    def prepare(self, kernel: str, arguments: Arguments, blocks: int) -> KernelLaunch:
        """Bind a kernel to arguments that hold device addresses; the addresses may not change until it has run."""
        if not isinstance(arguments, KERNELS[kernel]):
            raise TypeError(f"{kernel} takes {KERNELS[kernel].__name__}, found {type(arguments).__name__}")
        return KernelLaunch(self.device, self._functions[kernel], blocks, BLOCK_THREADS[kernel], bytes(arguments))


@dataclass(frozen=True)
class KernelLaunch:
    """A kernel bound to its arguments: launching allocates nothing and waits for nothing, so a graph can capture it."""

    device: Device
    function: Function
    blocks: int
    threads: int
    arguments: bytes

    def launch(self, stream: int) -> None:
        """Put it on a stream."""
        self.device.launch(self.function, self.blocks, self.threads, self.arguments, stream)


def _runs(built: tuple[int, int], device: tuple[int, int]) -> bool:
    """Whether machine code for one compute capability runs on another."""
    newer = built[0] == device[0] and built[1] < device[1]
    return built == device or (newer and not TEGRA & {built, device})


def _version(text: str) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    return int(major), int(minor)
