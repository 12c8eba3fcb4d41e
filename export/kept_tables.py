"""Tables of arrays on disk, one file each, and work that goes on with what a killed attempt left of them."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Table = Mapping[str, NDArray[Any]]
Made = TypeVar("Made")
SUFFIX = ".npz"
TORN = (KeyError, ValueError, EOFError, zipfile.BadZipFile)
"""What reading raises where a power cut took files away, or what was in them."""


class KeptTables:
    """Tables by name in files of a folder; a kill leaves each of them whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Table | None:
        """The table; None if there is none."""
        path = self._folder / f"{name}{SUFFIX}"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}

    def __setitem__(self, name: str, table: Table) -> None:
        content = io.BytesIO()
        np.savez(content, **table)  # type: ignore[arg-type]
        part = self._folder / f"{name}.part"
        with part.open("wb") as file:  # not np.savez itself: from a full disk it raises an error without a number
            file.write(content.getbuffer())
        os.replace(part, self._folder / f"{name}{SUFFIX}")


def gone_on_with(folder: Path, work: Callable[[], Made], save: Callable[[Made], object] = lambda _: None) -> Made:
    """What `work` makes, which goes on with what it left in `folder` before; anew, where that is torn.

    The folder is removed in the end, when `save` has what was made, and left by whatever ends the work before.
    """
    begun = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        made = work()
    except TORN:
        if not begun:
            raise
        shutil.rmtree(folder)
        folder.mkdir()
        made = work()
    save(made)
    shutil.rmtree(folder)
    return made


def bytes_in(folder: Path) -> int:
    """Bytes that the files below a folder take on the disk; 0 if there is no such folder."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
