"""Token sequences for training: prompt with visual placeholders, answer, labels, and the positions that all share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from onboard_vla.core.prompt import PromptTemplate, TextSegment, VideoSegment
from onboard_vla.world.model_build import MERGE, camera_grids

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

PAIRS = 2
TEMPLATE, FORK, REASONING, ACTION, END = 1, 2, 3, 4, 5
"""Kinds of answer tokens; 0 is padding and everything before the answer."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Token ids of an answer and their kinds."""

    ids: NDArray[np.int64]
    kinds: NDArray[np.int8]


class Layout:
    """Tokenises prompts and answers. `prompt_length` is the same for every speed and command."""

    def __init__(self, prompt: PromptTemplate, tokenizer: PreTrainedTokenizerFast) -> None:
        self.prompt, self._tokenizer = prompt, tokenizer
        self.video_id = int(tokenizer.convert_tokens_to_ids(prompt.video_token))
        self.first_action = int(tokenizer.convert_tokens_to_ids(prompt.answer.action_token.format(index=0)))
        self.fork_ids = tuple(self._ids(text)[0] for text in (prompt.answer.fast_fork, prompt.answer.slow_fork))
        self.visual_counts = {
            camera: PAIRS * rows * columns // MERGE**2 for camera, (rows, columns) in camera_grids().items()
        }
        self._fixed = [self._ids(s.text) if isinstance(s, TextSegment) else None for s in self._segments(0.0, 0)]
        ids = self.prompt_ids(0.0, 0)
        self.prompt_length = len(ids)
        self.visual_index = np.flatnonzero(ids == self.video_id)
        self.front_end = int(self.visual_index[self.visual_counts[prompt.cameras[0]] - 1]) + 1
        self._cache: dict[tuple[float, int], NDArray[np.int64]] = {}

    def prompt_ids(self, speed_mps: float, command: int) -> NDArray[np.int64]:
        """Prompt token ids, with the video token once for each merged visual token."""
        ids: list[int] = []
        segments = self._segments(speed_mps, command)
        for index, segment in enumerate(segments):
            if not isinstance(segment, TextSegment):
                ids.extend([self.video_id] * self.visual_counts[segment.camera])
            elif index == len(segments) - 1:
                ids.extend(self._ids(segment.text))
            else:
                ids.extend(self._fixed[index] or [])
        return np.array(ids, np.int64)

    def fast(self, actions: NDArray[np.int64]) -> Answer:
        """A fast answer."""
        answer = self.prompt.answer
        return self._join(answer.fast_fork, answer.fast_rest, None, actions)

    def slow(self, reasoning: str, actions: NDArray[np.int64]) -> Answer:
        """A slow answer; the reasoning is cut to the template's token budget."""
        answer = self.prompt.answer
        return self._join(answer.slow_fork, answer.slow_rest, reasoning, actions)

    def positions(self, model: Qwen2_5_VLForConditionalGeneration, length: int) -> Tensor:
        """Position ids (3, length) as transformers computes them for this layout."""
        ids = np.full(length, self.fork_ids[0], np.int64)
        prompt = self.prompt_ids(0.0, 0)
        ids[: min(length, len(prompt))] = prompt[:length]
        tensor = torch.from_numpy(ids)[None]
        kinds = torch.where(tensor == self.video_id, 2, 0).to(torch.int32)
        grids = torch.tensor([[PAIRS, *camera_grids()[camera]] for camera in self.prompt.cameras])
        positions, _ = model.model.get_rope_index(tensor, kinds, None, grids)
        result: Tensor = positions[:, 0]
        return result

    def _segments(self, speed_mps: float, command: int) -> tuple[TextSegment | VideoSegment, ...]:
        from onboard_vla.core.road import COMMANDS

        return self.prompt.render({"speed": float(speed_mps), "command": COMMANDS[command]})

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _join(self, fork: str, rest: str, reasoning: str | None, actions: NDArray[np.int64]) -> Answer:
        answer = self.prompt.answer
        parts: list[tuple[list[int], int]] = [(self._ids(answer.fork_prefix), TEMPLATE), (self._ids(fork), FORK)]
        parts.append((self._ids(rest), TEMPLATE))
        if reasoning is not None:
            parts.append((self._ids(reasoning)[: answer.max_reasoning_tokens], REASONING))
            parts.append((self._ids(answer.reasoning_suffix), END))
        parts.append(([self.first_action + int(a) for a in actions], ACTION))
        parts.append((self._ids(answer.answer_suffix), TEMPLATE))
        ids = np.concatenate([np.array(part, np.int64) for part, _ in parts])
        kinds = np.concatenate([np.full(len(part), kind, np.int8) for part, kind in parts])
        return Answer(ids, kinds)
