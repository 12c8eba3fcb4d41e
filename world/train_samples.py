"""Samples for training: frames, prompt and answer tokens, codebook neighbours, auxiliary targets, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onboard_vla.core.codebook import ENCODE_CHUNK, Codebook
from onboard_vla.core.geometry import compose, inverse
from onboard_vla.world.dataset_store import Frames
from onboard_vla.world.train_layout import FORK, Answer, Layout

NEIGHBOURS = 16
"""Codebook neighbours kept per planning step for soft labels."""
FRAME_OFFSETS = ((-3, -2), (-1, 0))
"""Rows of the frames of the older and the newer pair, relative to the sample's row."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step learns from.

    `front` (B, 2, 2, H, W, 3) uint8: pairs, oldest first; `sides` (B, 5, 2, 2, h, w, 3) uint8; `ids` (B, S) int64;
    `kinds` (B, S) int8 as in train_layout; `rows` (B,): positions among the samples.
    """

    front: Tensor
    sides: Tensor
    ids: Tensor
    kinds: Tensor
    rows: NDArray[np.int64]


class Samples:
    """Everything that training reads, prepared once."""

    def __init__(self, frames: Frames, codebook: Codebook, layout: Layout) -> None:
        self.frames, self.layout, self.codebook = frames, layout, codebook
        self.rows = frames.samples
        table = frames.table
        self.poses = table["poses"][self.rows].astype(np.float64)
        self.speed = table["speed"][self.rows].astype(np.float64)
        self.command = table["command"][self.rows].astype(np.int64)
        self.demanding = table["demanding"][self.rows].astype(bool)
        self.reasoning = table["reasoning"][self.rows]
        self.tokens, self.neighbours, self.distances = encode_with_neighbours(codebook, self.poses)
        self.targets = auxiliary_targets(frames)
        self._front = torch.from_numpy(table["front"])
        self._sides = torch.from_numpy(table["sides"])

    def __len__(self) -> int:
        return len(self.rows)

    def front_pairs(self, chosen: NDArray[np.int64], newest_only: bool = False) -> Tensor:
        """(B, pairs, 2, H, W, 3) uint8."""
        offsets = FRAME_OFFSETS[1:] if newest_only else FRAME_OFFSETS
        return self._front[torch.from_numpy(self.rows[chosen][:, None, None] + np.array(offsets))]

    def side_pairs(self, chosen: NDArray[np.int64]) -> Tensor:
        """(B, 5, pairs, 2, h, w, 3) uint8."""
        picked = self._sides[torch.from_numpy(self.rows[chosen][:, None, None] + np.array(FRAME_OFFSETS))]
        return picked.permute(0, 3, 1, 2, 4, 5, 6)

    def batch(self, chosen: NDArray[np.int64], rng: np.random.Generator | None) -> Batch:
        """One batch; with `rng`, a share of samples gets the other answer form than its label (its fork unlabelled)."""
        answers = [self._answer(int(i), rng) for i in chosen]
        length = self.layout.prompt_length + max(len(a.ids) for a in answers)
        ids, kinds = np.zeros((len(chosen), length), np.int64), np.zeros((len(chosen), length), np.int8)
        for row, (index, answer) in enumerate(zip(chosen, answers, strict=True)):
            prompt = self.layout.prompt_ids(round(float(self.speed[index]), 1), int(self.command[index]))
            ids[row, : len(prompt)] = prompt
            end = len(prompt) + len(answer.ids)
            ids[row, len(prompt) : end], kinds[row, len(prompt) : end] = answer.ids, answer.kinds
        front, sides = self.front_pairs(chosen), self.side_pairs(chosen)
        return Batch(front, sides, torch.from_numpy(ids), torch.from_numpy(kinds), chosen)

    def _answer(self, index: int, rng: np.random.Generator | None) -> Answer:
        swap = rng is not None and rng.random() < OTHER_FORM_SHARE
        if bool(self.demanding[index]) != swap:
            answer = self.layout.slow(str(self.reasoning[index]), self.tokens[index])
        else:
            answer = self.layout.fast(self.tokens[index])
        if swap:
            answer = Answer(answer.ids, np.where(answer.kinds == FORK, 0, answer.kinds).astype(np.int8))
        return answer


OTHER_FORM_SHARE = 0.1
"""Share of samples that answer in the other form, because the runtime may force either."""


def encode_with_neighbours(
    codebook: Codebook, poses: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Tokens (N, T), the nearest tokens (N, T, NEIGHBOURS) of each step, and their mean corner distances in metres."""
    count, steps = poses.shape[:2]
    near = min(NEIGHBOURS, codebook.size)
    neighbours = np.zeros((count, steps, near), np.int64)
    distances = np.zeros((count, steps, near), np.float32)
    for start in range(0, count, ENCODE_CHUNK):
        part = slice(start, start + ENCODE_CHUNK)
        reached = np.zeros((len(poses[part]), 3))
        for step in range(steps):
            gaps = codebook.distances(compose(inverse(reached), poses[part, step])) / 4
            order = np.argpartition(gaps, near - 1, axis=1)[:, :near]
            picked = np.take_along_axis(gaps, order, 1)
            inner = np.argsort(picked, axis=1, kind="stable")
            neighbours[part, step] = np.take_along_axis(order, inner, 1)
            distances[part, step] = np.take_along_axis(picked, inner, 1)
            reached = compose(reached, codebook.deltas[neighbours[part, step, 0]])
    return neighbours[:, :, 0], neighbours, distances


def auxiliary_targets(frames: Frames) -> NDArray[np.float32]:
    """(N, A) float32, unscaled: the recorded truths, own speed, and the expert's lateral plan at 1, 2, 3 and 4 s."""
    table, rows = frames.table, frames.samples
    plan = table["poses"][rows][:, (1, 3, 5, 7), 1]
    return np.concatenate([table["auxiliary"][rows], table["speed"][rows][:, None], plan], axis=1).astype(np.float32)


def batches(count: int, size: int, steps: int, seed: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
    """`steps` batches of indices, epoch after epoch, shuffled anew; `start` skips steps of an interrupted run."""
    rng = np.random.default_rng(seed)
    order, position = rng.permutation(count), 0
    for step in range(steps):
        if position + size > count:
            order, position = rng.permutation(count), 0
        if step >= start:
            yield order[position : position + size] if count >= size else order
        position += size
