"""Episodes on disk, one .npz each; in memory one table of frames with the samples that can be formed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.world.dataset_episode import FRAMES

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Frames:
    """All recorded frame sets, episode after episode.

    `table[name]`: (T, ...) as `record_episode` gives them. `episode` (T,) int32; `profile` (T,) text.
    `samples` (N,) int64: rows that have enough frames before them in their episode to form a model input.
    """

    table: dict[str, Array]
    episode: NDArray[np.int32]
    profile: Array
    samples: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)


def episode_path(folder: Path, profile: str, seed: int) -> Path:
    """Where one episode lies."""
    return folder / f"{profile}_{seed:06d}.npz"


def save_episode(path: Path, arrays: dict[str, Array]) -> None:
    """Write one episode, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.rename(path)


def load_frames(paths: Sequence[Path]) -> Frames:
    """Read episodes into memory.

    Raises:
        ConfigurationError: no episode is long enough.
    """
    parts: list[dict[str, Array]] = []
    episode, profile, samples, offset = [], [], [], 0
    for index, path in enumerate(paths):
        with np.load(path, allow_pickle=False) as archive:
            part = {name: archive[name] for name in archive.files}
        count = len(part["speed"])
        if count < FRAMES:
            continue
        parts.append(part)
        episode.append(np.full(count, index, np.int32))
        profile.append(np.full(count, path.stem.rsplit("_", 1)[0]))
        samples.append(np.arange(offset + FRAMES - 1, offset + count))
        offset += count
    if not parts:
        raise ConfigurationError(f"no episode among {len(paths)} files has the {FRAMES} frame sets that a sample needs")
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Frames(table, np.concatenate(episode), np.concatenate(profile), np.concatenate(samples))


def build_episodes(folder: Path, jobs: Sequence[tuple[str, int, float, bool]], cameras: dict[str, Any]) -> int:
    """Record those of `jobs` (profile, seed, seconds, disturbed) that are not on disk yet; returns how many."""
    from onboard_vla.world.dataset_episode import Disturbance, disturbed_start, record_episode
    from onboard_vla.world.dataset_images import ModelPictures
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    missing = [job for job in jobs if not episode_path(folder, job[0], job[1]).exists()]
    if not missing:
        return 0
    renderer, pictures = Renderer(default_rig()), ModelPictures(cameras)
    for profile, seed, seconds, disturbed in missing:
        how = Disturbance() if disturbed else None
        world = World(seed, profile, disturbed_start(seed, how) if how is not None else None)
        arrays = record_episode(world, renderer, pictures, seconds, seed, how)
        save_episode(episode_path(folder, profile, seed), arrays)
    return len(missing)
