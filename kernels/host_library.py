"""The host build of the kernels: the same block programs as on a GPU, run as loops on the CPU."""

from __future__ import annotations

import ctypes
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.kernels.layouts import ABI_VERSION, KERNELS, LAYOUTS, Arguments, DistanceArguments, PatchArguments

LIBRARY = "libonboard_vla_kernels.so"
CPU_INFORMATION = Path("/proc/cpuinfo")
X86_64_V3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
"""What the x86-64 psABI's level v3 adds to v2, in the kernel's words (LZCNT is `abm` there)."""


class HostLibrary:
    """A loaded host library.

    Raises:
        EnvironmentLacksError: it cannot be loaded, or was built from other sources than these Python files.
    """

    name = "host library"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise EnvironmentLacksError(f"host kernels: {path} cannot be loaded ({error}); install again") from error
        self._check("ABI version", self._library.ovk_version(), ABI_VERSION)
        for index, layout in enumerate(LAYOUTS):
            self._check(f"size of {layout.__name__}", self._library.ovk_size_of(index), ctypes.sizeof(layout))

    def run(self, kernel: str, arguments: Arguments, blocks: int, *, first: int = 0, reverse: bool = False) -> None:
        """Run blocks `first` to `blocks` of a kernel; the interpreter lock is free meanwhile.

        `reverse`: blocks and threads in reverse order, which must not change a bit.
        """
        if not isinstance(arguments, KERNELS[kernel]):
            raise TypeError(f"{kernel} takes {KERNELS[kernel].__name__}, found {type(arguments).__name__}")
        getattr(self._library, f"ovk_{kernel}")(ctypes.byref(arguments), first, blocks, int(reverse))

    def keep(self, array: NDArray[Any]) -> None:
        """Nothing to do: the array lies where the kernels read."""

    def patches_by_rows(self, arguments: PatchArguments, begin: int, end: int) -> None:
        """Kernel 0 for jobs `begin` to `end`, arranged for speed; to the bit what `run("patches", ...)` writes."""
        self._library.ovk_patches_by_rows(ctypes.byref(arguments), begin, end)

    def distances(self, arguments: DistanceArguments) -> None:
        """Mean embeddings and their distances; see `distances.py`."""
        self._library.ovk_distances(ctypes.byref(arguments))

    def _check(self, what: str, found: int, expected: int) -> None:
        if found != expected:
            raise EnvironmentLacksError(
                f"host kernels: {what} of {self.path} is {found}, expected {expected}: built from other sources, "
                "install again"
            )


@lru_cache(maxsize=1)
def host_library() -> HostLibrary | None:
    """The library that this installation built; None where it had no compiler or this processor is older than it."""
    path = built_file(LIBRARY)
    return None if path is None or lacking(CPU_INFORMATION) else HostLibrary(path)


def lacking(cpu_information: Path, machine: str = platform.machine()) -> tuple[str, ...]:
    """Instructions that the library is built with and that this processor lacks; calling them would end the process."""
    if machine != "x86_64" or not cpu_information.exists():
        return ()
    has = next((line.split() for line in cpu_information.read_text().splitlines() if line.startswith("flags")), [])
    return tuple(name for name in X86_64_V3 if name not in has)


def built_file(name: str) -> Path | None:
    """A file that this installation's build made; an editable installation keeps them apart from the sources."""
    import onboard_vla.kernels as package

    return next((path for path in (Path(folder) / "_bin" / name for folder in package.__path__) if path.exists()), None)
