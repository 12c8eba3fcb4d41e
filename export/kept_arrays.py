"""Tables of arrays that are not all in memory: made when they are asked for, or kept on disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[Any]
SUFFIX = ".npy"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No room on the disk, in the user's share of it, or in what a file may grow to."""


class OnDemand(Mapping[str, Array]):
    """Arrays that are made each time they are asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> Array:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class Unkept(dict[str, Array]):
    """Takes arrays in and keeps none, for whom the rest of a file is enough."""

    def __setitem__(self, name: str, array: Array) -> None:
        """Let it go."""


class OnDisk(MutableMapping[str, Array]):
    """Arrays in files of a folder, one each; a kill leaves each of them as it was or as it was to be.

    Read and written, not mapped: mapped pages count as resident memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, name: str) -> Array:
        try:
            array: Array = np.load(self._folder / f"{name}{SUFFIX}", allow_pickle=False)
        except FileNotFoundError:
            raise KeyError(name) from None
        return array

    def __setitem__(self, name: str, array: Array) -> None:
        part = self._folder / f"{name}.part"
        with part.open("wb") as file:
            # Not np.save: from a full disk it raises an error without a number.
            content = np.asarray(array, order="C")
            npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(content))
            file.write(content.data)
        os.replace(part, self._folder / f"{name}{SUFFIX}")

    def __delitem__(self, name: str) -> None:
        try:
            (self._folder / f"{name}{SUFFIX}").unlink()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}")))

    def __len__(self) -> int:
        return sum(1 for _ in self)
