"""Real validation inputs as files beside the weights, for calibrating an export and for holding it to parity."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.world.model_assets import PROMPT_CAMERAS
from onboard_vla.world.train_samples import Samples

PADDING = -1


def save_scenes(path: Path, samples: Samples, rows: NDArray[np.int64]) -> None:
    """Write N scenes.

    `images_{camera}` (N, 4, H, W, 3) uint8 at the model's size, oldest first; `prompt_ids` (N, S) int64 up to where the
    answer begins, padded with -1; `action_tokens` (N, T) int64 of the expert; `speed_mps` (N,) float64; `command` (N,).
    """
    table, layout = samples.frames.table, samples.layout
    frames = samples.rows[rows][:, None] + np.arange(-3, 1)
    arrays = {"images_front": table["front"][frames]}
    sides = [camera for camera in PROMPT_CAMERAS if camera != "front"]
    for index, camera in enumerate(sides):
        arrays[f"images_{camera}"] = table["sides"][frames, index]
    prompts = [layout.prompt_ids(round(float(samples.speed[i]), 1), int(samples.command[i])) for i in rows]
    ids = np.full((len(rows), max(len(p) for p in prompts)), PADDING, np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
    arrays["prompt_ids"] = ids
    arrays["action_tokens"] = samples.tokens[rows]
    arrays["speed_mps"] = np.round(samples.speed[rows], 1)
    arrays["command"] = samples.command[rows]
    _save_compressed(path, arrays)


def _save_compressed(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """An .npz that `np.load` reads, compressed with LZMA: a fifth smaller than numpy's deflate on these pictures."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # without the time of writing: same content, same bytes
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
