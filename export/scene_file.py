"""Writes files of scenes (see `scenes`) of any length: scenes lie on disk until the file is written, not in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.aside import made_aside, put
from onboard_vla.export.kept_arrays import OnDisk
from onboard_vla.export.scenes import IMAGES, PADDING, Scene

IDS, TOKENS = "prompt_ids", "action_tokens"
SUFFIX = ".npz"


def save_scenes(
    path: Path,
    scenes: Iterable[Scene],
    most: int | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> int:
    """Write a file of scenes, whole or not at all; expert tokens only if all of them have some.

    Args:
        path: the file, `.npz`; made aside on the same disk, which needs room for all scenes, or twice `most`.
        scenes: taken one after the other; none is kept in memory.
        most: keep at most so many of them, evenly chosen: some neighbours are up to twice as far apart as others.
        progress: takes the finished share of writing the file, after all scenes were taken.

    Returns:
        How many scenes are in the file.

    Raises:
        CheckpointError: the name is another than `.npz`, there are no scenes, or they differ in their cameras.
        EnvironmentLacksError: the file cannot be written, or the disk is full.
    """
    require_npz(path)
    with made_aside(path) as folder:
        gathered = _Gathered(OnDisk(folder / "scenes"), most)
        for scene in scenes:
            gathered.add(scene)
        chosen = gathered.chosen()
        if not chosen:
            raise CheckpointError(f"{path}: there is no scene to write")
        gathered.write(folder / "file", chosen, progress)
        put(folder / "file", path)
    return len(chosen)


def require_npz(path: Path) -> None:
    """Refuse names that numpy would not read as an archive of arrays.

    Raises:
        CheckpointError: the name does not end in `.npz`.
    """
    if path.suffix != SUFFIX:
        raise CheckpointError(
            f"{path}: expected a file of scenes to be called {path.with_suffix(SUFFIX).name}, by its format"
        )


class _Gathered:
    """Scenes on disk. With `most`, every `stride`-th of them, so many that there are fewer than twice `most`."""

    def __init__(self, kept: OnDisk, most: int | None) -> None:
        self._kept, self._most = kept, most
        self._taken, self._stride = 0, 1
        self._places: list[int] = []
        self._shapes: dict[str, tuple[int, ...]] = {}

    def add(self, scene: Scene) -> None:
        """Take the next scene."""
        place, self._taken = self._taken, self._taken + 1
        if place % self._stride:
            return
        shapes = {f"{IMAGES}{role}": images.shape for role, images in scene.images.items()}
        if shapes != (self._shapes or shapes):
            raise CheckpointError(f"scene {place} has pictures {shapes}, those before it have {self._shapes}")
        self._shapes = shapes
        for role, images in scene.images.items():
            self._kept[f"{IMAGES}{role}-{place}"] = images
        self._kept[f"{IDS}-{place}"] = scene.prompt_ids.astype(np.int64)
        if scene.expert_tokens is not None:
            self._kept[f"{TOKENS}-{place}"] = scene.expert_tokens.astype(np.int64)
        self._places.append(place)
        if self._most is not None and len(self._places) == 2 * self._most:
            self._thin()

    def chosen(self) -> list[int]:
        """The scenes that are to be written, all or `most`, by their places."""
        places, most = self._places, self._most
        if most is None or len(places) <= most:
            return places
        return [places[index] for index in np.linspace(0, len(places) - 1, most).round().astype(int)]

    def write(self, path: Path, chosen: list[int], progress: Callable[[float], None]) -> None:
        """Write the arrays of some scenes as numpy's archive, each removed from where it lay."""
        told = all(f"{TOKENS}-{place}" in self._kept for place in chosen)
        names = [*self._shapes, IDS, *([TOKENS] if told else [])]
        longest = max(len(self._kept[f"{IDS}-{place}"]) for place in chosen)
        with zipfile.ZipFile(path, "w") as archive:
            for part, name in enumerate(names):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    for row, place in enumerate(chosen):
                        content = self._kept.pop(f"{name}-{place}")
                        if name == IDS:
                            content = np.pad(content, (0, longest - len(content)), constant_values=PADDING)
                        if row == 0:
                            npy.write_array_header_1_0(file, _header(content, len(chosen)))
                        file.write(content.data)
                        progress((part + (row + 1) / len(chosen)) / len(names))

    def _thin(self) -> None:
        """Keep half of the scenes, and from now on half as many."""
        self._stride *= 2
        for place in self._places:
            if place % self._stride:
                for name in (*self._shapes, IDS, TOKENS):
                    with suppress(KeyError):
                        del self._kept[f"{name}-{place}"]
        self._places = [place for place in self._places if place % self._stride == 0]


def _header(row: NDArray[Any], count: int) -> dict[str, Any]:
    """Of an array of so many rows like this one."""
    return {"descr": npy.dtype_to_descr(row.dtype), "fortran_order": False, "shape": (count, *row.shape)}
