"""Observe a checkpoint's activations on real scenes and keep their ranges beside it, for INT8 exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from onboard_vla.export.activation_ranges import RANGES_FILE, ActivationRanges, write_ranges
from onboard_vla.export.aside import made_aside, put
from onboard_vla.export.fingerprints import hash_checkpoint, recipe
from onboard_vla.export.kept_arrays import OnDisk, Unkept
from onboard_vla.export.large_calibration import Errors, Largest, observe_in_pieces
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.source import Share, Source

Progress = Callable[[str, float], None]


def observe_checkpoint(
    folder: Path, scenes: Path, path: Path, progress: Progress = lambda _stage, _share: None
) -> tuple[Path, ActivationRanges]:
    """Write activation ranges from a file of scenes, whole or not at all; returns their path and what they hold.

    Whatever ends a large checkpoint's attempt, the next one of the same goes on with what it left.

    Args:
        folder: checkpoint folder, which may hold links to files that lie elsewhere (see `assemble`).
        scenes: a file of scenes.
        path: where an export of the same checkpoint looks for ranges (see `assemble.ranges_file`).
        progress: takes a stage's name and its finished share.

    Raises:
        CheckpointError: the checkpoint or the file of scenes is not valid.
        EnvironmentLacksError: the file cannot be written, or the disk is full.
    """
    progress("read checkpoint", 0.0)
    source = Source.open(folder)
    load_scenes(scenes, source.assets, Unkept())  # refused before there is anything to leave
    hash_checkpoint(folder, lambda share: progress("hash checkpoint", share))
    # Beside the checkpoint: /tmp may lie in memory, of which this is to take little.
    shaped_by = recipe(folder, {"calibration": scenes}, {}) if source.large else None
    with made_aside(path, shaped_by) as aside:
        loaded = load_scenes(scenes, source.assets, OnDisk(aside / "scenes"))
        made: list[ActivationRanges] = []

        def save(found: tuple[Largest, Errors]) -> None:
            made.append(ActivationRanges(found[0], len(loaded), scenes.name, found[1]))
            write_ranges(aside / RANGES_FILE, folder, made[0])
            put(aside / RANGES_FILE, path)

        if source.large:
            source.checkpoint.save_embedding(aside / "embeddings.npy", lambda share: progress("embeddings", share))
            embedding = np.load(aside / "embeddings.npy", mmap_mode="r", allow_pickle=False)

            def stage(graph: str) -> Share:
                return lambda share: progress(f"calibrate, {Path(graph).stem}", share)

            observe_in_pieces(source, loaded, aside / "begun", embedding, stage, save=save)
        else:
            save((source.observe(loaded, lambda share: progress("calibrate", share)), {}))
    return path, made[0]
