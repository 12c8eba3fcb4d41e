"""Opening a bundle: everything is hashed and held against everything else before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import (
    BundleManifest,
    codebook_hash,
    computed_precision,
    load_manifest,
    verify_files,
)
from onboard_vla.core.codebook import Codebook
from onboard_vla.core.errors import BundleError
from onboard_vla.core.prompt import PromptTemplate
from onboard_vla.runtime.finite import row_not_finite
from onboard_vla.runtime.positions import VideoGrid
from onboard_vla.runtime.vision_reference import CameraReference, load_reference


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle. `embeddings`: (V, D) float16 or float32, one row per token id."""

    path: Path
    manifest: BundleManifest
    template: PromptTemplate
    codebook: Codebook
    embeddings: NDArray[Any]

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Verify and read a bundle folder; graphs are hashed here and loaded by the planner.

        Raises:
            BundleError: a file is missing, damaged or unlisted, or two parts disagree; both values are named.
        """
        path = Path(path)
        manifest = load_manifest(path)
        verify_files(path, manifest)
        bundle = cls(
            path=path,
            manifest=manifest,
            template=PromptTemplate.load(path / manifest.prompt),
            codebook=Codebook.load(path / manifest.codebook),
            embeddings=_load_embeddings(path / manifest.embeddings),
        )
        bundle._check_agreement()
        return bundle

    @property
    def core_hash(self) -> str:
        """sha256 of the core; thresholds and engine caches are bound to it."""
        return self.manifest.core_hash

    @property
    def precision(self) -> str:
        """See `computed_precision`; thresholds are bound to it."""
        return computed_precision(self.manifest)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Camera roles in prompt order."""
        return tuple(camera.role for camera in self.manifest.cameras)

    @property
    def optional_cameras(self) -> tuple[str, ...]:
        """Roles of the cameras that a plan may be made without."""
        return tuple(camera.role for camera in self.manifest.cameras if not camera.required)

    @property
    def pairs_per_camera(self) -> int:
        """Frame pairs per camera."""
        return self.manifest.frames.per_camera // self.manifest.model.vision.temporal_patch_size

    def vision_references(self) -> dict[str, CameraReference]:
        """Statistics of each camera's embeddings on nominal drives, in prompt order; empty where the core has none.

        Raises:
            BundleError: they do not fit the cameras or the model.
        """
        name = self.manifest.vision_reference
        width = self.manifest.model.text.hidden_size
        return {} if name is None else load_reference(self.path / name, dict.fromkeys(self.cameras, width))

    def grids(self) -> dict[str, VideoGrid]:
        """Merged visual tokens of each camera, in prompt order."""
        merge = self.manifest.model.vision.merge_size
        return {
            camera.role: VideoGrid(self.pairs_per_camera, camera.grid_h // merge, camera.grid_w // merge)
            for camera in self.manifest.cameras
        }

    def _check_agreement(self) -> None:
        manifest, text, answer = self.manifest, self.manifest.model.text, self.template.answer
        expectations: list[tuple[str, Any, str, Any]] = [
            ("actions.count", manifest.actions.count, "codebook size", self.codebook.size),
            (
                "actions.codebook_hash",
                manifest.actions.codebook_hash,
                "codebook's hash",
                codebook_hash(self.codebook.contours),
            ),
            (
                "model.text (vocabulary_size, hidden_size)",
                (text.vocabulary_size, text.hidden_size),
                "embeddings' shape",
                self.embeddings.shape,
            ),
            (
                "actions.per_answer",
                manifest.actions.per_answer,
                "prompt's action_count",
                self.template.answer.action_count,
            ),
            ("actions.step_s", manifest.actions.step_s, "prompt's step_s", answer.step_s),
            ("cameras' roles", self.cameras, "prompt's cameras", self.template.cameras),
        ]
        for field, expected, where, found in expectations:
            if expected != found:
                raise BundleError(f"{self.path}: {field} is {expected!r} in the manifest, the {where} is {found!r}")
        self.template.check_optional(self.optional_cameras)


def _load_embeddings(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"{path}: cannot be read as .npy: {error}") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype not in (np.float16, np.float32):
        raise BundleError(f"{path}: expected (V, D) float16 or float32, found {getattr(array, 'shape', None)}")
    if (row := row_not_finite(array)) is not None:
        raise BundleError(f"{path}: the embedding of token {row} holds values that are not finite; export it again")
    return array
