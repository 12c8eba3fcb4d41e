"""Codebook of action tokens: short motions as contours of a moving box, encoding of trajectories, and decoding.

A token is the motion of one planning step (0.5 s): at each of S sub-steps the four corners LF, RF, RB, LB (left front,
right front, right back, left back) of a box centred on the reference point, in the frame of the pose before the step.
The start pose is not included. Layout and distance are AutoVLA's (Zhou et al. 2025, arXiv:2506.13757; in
ucla-mobility/AutoVLA: models/action_tokenizer.py, tools/action_token/action_token_cluster.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onboard_vla.core.errors import CodebookError
from onboard_vla.core.geometry import compose, inverse

Floats = NDArray[np.float64]

ENCODE_CHUNK = 512
"""Trajectories encoded at once; bounds memory to about 512 x 2,048 x 4 x 8 bytes = 34 MB."""
RIGIDITY_TOLERANCE = 0.05
"""Largest relative deviation of a contour's sides from the codebook's box; averaging contours shrinks them a little."""


@dataclass(frozen=True, eq=False)
class Codebook:
    """K motions. `contours`: (K, S, 4, 2) float32, metres, frame of the pose before the step."""

    contours: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check_contours(self.contours)

    @classmethod
    def load(cls, path: Path | str) -> Codebook:
        """Read a codebook from an .npz file with the key `contours`.

        Raises:
            CodebookError: the file cannot be read, lacks the key, or its contours are not valid.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                if "contours" not in archive:
                    raise CodebookError(f"{path}: expected the array 'contours', found {sorted(archive.files)}")
                contours = archive["contours"]
        except CodebookError:
            raise
        except OSError as error:
            raise CodebookError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (ValueError, EOFError, KeyError, TypeError):
            # numpy's own words advise to load pickles, which run what they hold.
            raise CodebookError(f"{path}: is no .npz of plain arrays; make it again or copy it again") from None
        except Exception as error:  # zipfile and zlib raise types of their own on damaged archives
            raise CodebookError(f"{path}: damaged archive: {error}") from error
        try:
            return cls(contours)
        except CodebookError as error:
            raise CodebookError(f"{path}: {error}") from None

    def save(self, path: Path | str) -> None:
        """Write the codebook as an .npz file with the key `contours`."""
        np.savez_compressed(path, contours=self.contours)

    @property
    def size(self) -> int:
        """K: number of tokens."""
        return int(self.contours.shape[0])

    @property
    def substeps(self) -> int:
        """S: poses per token."""
        return int(self.contours.shape[1])

    @cached_property
    def fine_deltas(self) -> Floats:
        """(K, S, 3) float64: pose at each sub-step relative to the pose before the step (mean of corners, LF - LB)."""
        return contour_poses(self.contours)

    @cached_property
    def deltas(self) -> Floats:
        """(K, 3) float64: pose at the step's end relative to the pose before it."""
        return np.ascontiguousarray(self.fine_deltas[:, -1])

    @cached_property
    def box(self) -> tuple[float, float]:
        """Length and width of the box in metres, medians over all contours."""
        length, width = _sides(self.contours.astype(np.float64))
        return float(np.median(length)), float(np.median(width))

    def distances(self, targets: ArrayLike) -> Floats:
        """Summed corner distances (N, K) in metres; `targets` (N, 3): poses relative to the step's start."""
        corners = box_contours(np.asarray(targets, np.float64).reshape(-1, 3), *self.box)
        ends = self.contours[:, -1].astype(np.float64)
        total = np.zeros((len(corners), self.size))
        for corner in range(4):
            dx = corners[:, corner, 0, None] - ends[None, :, corner, 0]
            dy = corners[:, corner, 1, None] - ends[None, :, corner, 1]
            total += np.sqrt(dx * dx + dy * dy)
        return total

    def encode(self, poses: ArrayLike) -> NDArray[np.int64]:
        """Tokens (T,) whose decoding follows `poses` (T, 3), ego frame at the start, one pose per planning step.

        Each step chooses the token nearest to the target seen from where the tokens so far really lead, so errors are
        corrected and do not add up.
        """
        tokens: NDArray[np.int64] = self.encode_batch(np.asarray(poses, np.float64)[None])[0]
        return tokens

    def encode_batch(self, poses: ArrayLike) -> NDArray[np.int64]:
        """Tokens (N, T) for trajectories (N, T, 3); see `encode`.

        Raises:
            CodebookError: the trajectories have another shape or are not finite.
        """
        targets = np.asarray(poses, np.float64)
        if targets.ndim != 3 or targets.shape[2] != 3:
            raise CodebookError(f"trajectories: expected shape (N, T, 3), found {targets.shape}")
        if not np.isfinite(targets).all():
            raise CodebookError("trajectories: poses must be finite")
        tokens = np.zeros(targets.shape[:2], np.int64)
        for start in range(0, len(targets), ENCODE_CHUNK):
            part = slice(start, start + ENCODE_CHUNK)
            reached = np.zeros((len(targets[part]), 3))
            for step in range(targets.shape[1]):
                relative = compose(inverse(reached), targets[part, step])
                chosen = np.argmin(self.distances(relative), axis=1)
                tokens[part, step] = chosen
                reached = compose(reached, self.deltas[chosen])
        return tokens

    def decode(self, tokens: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Poses (T, 3) and fine poses (T*S, 3), float32, ego frame at the start.

        Raises:
            CodebookError: a token is not in [0, K) or the tokens are not a flat list of integers.
        """
        indices = self._checked(tokens)
        start, poses, fine = np.zeros(3), [], []
        for index in indices:
            fine.append(compose(start, self.fine_deltas[index]))
            start = compose(start, self.deltas[index])
            poses.append(start)
        return (
            np.array(poses, np.float32).reshape(-1, 3),
            np.concatenate(fine).astype(np.float32) if fine else np.zeros((0, 3), np.float32),
        )

    def _checked(self, tokens: ArrayLike) -> NDArray[np.int64]:
        indices = np.asarray(tokens)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise CodebookError(f"tokens: expected (T,) integers, found shape {indices.shape} of {indices.dtype}")
        if indices.size and (indices.min() < 0 or indices.max() >= self.size):
            raise CodebookError(f"tokens: expected 0..{self.size - 1}, found {indices.min()}..{indices.max()}")
        return indices.astype(np.int64)


def box_contours(poses: Floats, length_m: float, width_m: float) -> Floats:
    """Corners (..., 4, 2) LF, RF, RB, LB of boxes centred on `poses` (..., 3)."""
    signs = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], np.float64)
    local = signs * np.array([length_m / 2, width_m / 2])
    cos, sin = np.cos(poses[..., 2, None]), np.sin(poses[..., 2, None])
    x = poses[..., 0, None] + cos * local[:, 0] - sin * local[:, 1]
    y = poses[..., 1, None] + sin * local[:, 0] + cos * local[:, 1]
    return np.stack([x, y], axis=-1)


def contour_poses(contours: NDArray[Any]) -> Floats:
    """Poses (..., 3) of contours (..., 4, 2): mean of the corners, heading from left back to left front."""
    corners = np.asarray(contours, np.float64)
    centre = corners.mean(axis=-2)
    side = corners[..., 0, :] - corners[..., 3, :]
    return np.concatenate([centre, np.arctan2(side[..., 1], side[..., 0])[..., None]], axis=-1)


def build_k_disk(
    motions: ArrayLike, size: int, tolerance_m: float, rng: np.random.Generator, box_m: tuple[float, float] = (4.8, 2.0)
) -> Codebook:
    """Choose `size` motions that cover `motions` (N, S, 3), poses at the sub-steps of one planning step.

    K-disk: take a random remaining motion (first the one nearest to standstill), average all remaining motions whose
    final contour lies within `tolerance_m` (mean corner distance), remove them, repeat. Tokens are ordered by distance.
    `box_m`: length and width of the box; its corners turn heading into metres.

    Raises:
        CodebookError: the motions have another shape, or are used up before `size` tokens are found.
    """
    poses = np.asarray(motions, np.float64)
    if poses.ndim != 3 or poses.shape[2] != 3 or not np.isfinite(poses).all():
        raise CodebookError(f"motions: expected finite (N, S, 3), found shape {poses.shape}")
    ends = box_contours(poses[:, -1], *box_m).reshape(len(poses), 8).astype(np.float32)
    first = int(np.argmin(np.abs(poses[:, -1]).sum(axis=1)))
    order = rng.permutation(len(poses))
    order = np.concatenate([[first], order[order != first]])
    ends, poses = ends[order], poses[order]
    chosen: list[Floats] = []
    while len(chosen) < size and len(ends):
        gap = (ends - ends[0]).reshape(-1, 4, 2)
        near = np.sqrt((gap * gap).sum(-1)).mean(-1) <= tolerance_m
        near[0] = True
        chosen.append(poses[0] if not chosen else poses[near].mean(axis=0))
        ends, poses = ends[~near], poses[~near]
    if len(chosen) < size:
        raise CodebookError(
            f"codebook: {len(chosen)} of {size} tokens cover all motions at {tolerance_m} m; use a smaller tolerance"
        )
    tokens = np.array(chosen)
    tokens = tokens[np.argsort(tokens[:, -1, 0], kind="stable")]
    return Codebook(box_contours(tokens, *box_m).astype(np.float32))


def _sides(corners: Floats) -> tuple[Floats, Floats]:
    """Lengths (..., 2) of the left and right side and widths (..., 2) at front and back."""
    left_front, right_front, right_back, left_back = (corners[..., i, :] for i in range(4))
    length = np.stack([left_front - left_back, right_front - right_back], axis=-2)
    width = np.stack([left_front - right_front, left_back - right_back], axis=-2)
    return np.linalg.norm(length, axis=-1), np.linalg.norm(width, axis=-1)


def _check_contours(contours: object) -> None:
    if not isinstance(contours, np.ndarray) or contours.dtype != np.float32:
        found = contours.dtype if isinstance(contours, np.ndarray) else type(contours).__name__
        raise CodebookError(f"contours: expected a float32 array, found {found}")
    if contours.ndim != 4 or contours.shape[2:] != (4, 2) or 0 in contours.shape:
        raise CodebookError(f"contours: expected shape (K, S, 4, 2) with K, S >= 1, found {contours.shape}")
    if not np.isfinite(contours).all():
        raise CodebookError("contours: every corner must be finite")
    corners = contours.astype(np.float64)
    length, width = _sides(corners)
    for name, side in (("length", length), ("width", width)):
        usual = float(np.median(side))
        worst = float(np.abs(side - usual).max())
        if usual <= 0 or worst > RIGIDITY_TOLERANCE * usual:
            raise CodebookError(
                f"contours: box {name} varies by {worst:.3f} m about {usual:.3f} m; expected one rigid box"
            )
    forward, right = corners[..., 0, :] - corners[..., 3, :], corners[..., 1, :] - corners[..., 0, :]
    if (forward[..., 0] * right[..., 1] - forward[..., 1] * right[..., 0] >= 0).any():
        raise CodebookError("contours: expected corner order LF, RF, RB, LB")
