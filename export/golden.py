"""Golden scenes of a bundle: inputs and what the float32 model makes of them; later checks are held against that.

`golden/scene_NNN.npz`: `images_{camera}` (frames, H, W, 3) uint8, `prompt_ids` (S,), `answer_ids` (the fast prefix),
`fork_logits` (2,), `action_logits` (T, count), `action_tokens` (T,), `action_inside` (T,) bool, and the expert's
`expert_tokens` (T,) if known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import BundleError
from onboard_vla.export.action_logits import ActionLogits
from onboard_vla.export.scenes import IMAGES, Scene


@dataclass(frozen=True, eq=False)
class GoldenScene:
    """A scene and the float32 reference for it, along the reference's own greedy tokens."""

    scene: Scene
    reference: ActionLogits


def save_golden(path: Path, golden: GoldenScene, answer_ids: Sequence[int]) -> None:
    """Write one golden scene; the same content gives the same bytes."""
    scene, reference = golden.scene, golden.reference
    arrays: dict[str, NDArray[Any]] = {f"{IMAGES}{camera}": images for camera, images in scene.images.items()}
    arrays |= {"prompt_ids": scene.prompt_ids, "answer_ids": np.array(answer_ids, np.int64)}
    arrays |= {"fork_logits": reference.fork, "action_logits": reference.actions}
    arrays |= {"action_tokens": reference.tokens, "action_inside": reference.inside}
    if scene.expert_tokens is not None:
        arrays["expert_tokens"] = scene.expert_tokens
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_golden(path: Path) -> GoldenScene:
    """Read one golden scene.

    Raises:
        BundleError: the file cannot be read or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        reference = ActionLogits(
            fork=arrays["fork_logits"],
            actions=arrays["action_logits"],
            tokens=arrays["action_tokens"],
            inside=arrays["action_inside"],
        )
        images = {name[len(IMAGES) :]: array for name, array in arrays.items() if name.startswith(IMAGES)}
        return GoldenScene(Scene(images, arrays["prompt_ids"], arrays.get("expert_tokens")), reference)
    except Exception as error:  # zipfile and zlib raise types of their own on damaged archives
        raise BundleError(f"{path} cannot be read as a golden scene: {error!r}") from error
