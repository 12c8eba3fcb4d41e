"""Prompt and answer as token ids: the bundle's template through its tokenizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens, SpecialTokens
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import EnvironmentLacksError, PromptError
from onboard_vla.core.prompt import PromptTemplate, Value, VideoSegment
from onboard_vla.runtime.positions import VideoGrid, prompt_positions

STANDSTILL_NOISE_MPS = 0.3
"""A measured speed this little below zero is a standing vehicle's noise; what is lower is reverse motion."""
REMEMBERED = 64
"""Prompts, and their texts and layouts, that are remembered: a speed in tenths and a command seldom change."""


@dataclass(frozen=True, eq=False)
class PromptLayout:
    """What stands where in a prompt; the same for all prompts with as many tokens in every part.

    `positions`, `videos`, `next_position`: see `TokenisedPrompt`. `text`: (T,) places of the tokens of no video.
    `opening`: how many tokens come before the first video.
    """

    positions: NDArray[np.int64]
    videos: tuple[tuple[str, slice], ...]
    next_position: int
    text: NDArray[np.int64]
    opening: int

    @classmethod
    def of(cls, runs: Sequence[tuple[str, int | VideoGrid]], seconds_scale: tuple[float, float]) -> PromptLayout:
        """Of runs of text (no camera, how many tokens) and of videos (camera, grid), in order."""
        positions, following = prompt_positions([run for _, run in runs], *seconds_scale)
        videos, start = [], 0
        is_text = np.ones(positions.shape[1], bool)
        for camera, run in runs:
            end = start + (run.tokens if isinstance(run, VideoGrid) else run)
            if isinstance(run, VideoGrid):
                videos.append((camera, slice(start, end)))
                is_text[start:end] = False
            start = end
        opening = min((where.start for _, where in videos), default=start)
        return cls(positions, tuple(videos), following, np.flatnonzero(is_text), opening)


@dataclass(frozen=True, eq=False)
class TokenisedPrompt:
    """`ids`: (S,) int64, read-only. `layout`: what stands where."""

    ids: NDArray[np.int64]
    layout: PromptLayout

    @property
    def positions(self) -> NDArray[np.int64]:
        """(3, S) int64, read-only."""
        return self.layout.positions

    @property
    def videos(self) -> tuple[tuple[str, slice], ...]:
        """Camera and the slice of its visual tokens, in order."""
        return self.layout.videos

    @property
    def next_position(self) -> int:
        """Rotary position of the first answer token."""
        return self.layout.next_position


@dataclass(frozen=True)
class AnswerIds:
    """The answer's fixed parts as ids.

    `fast_prefix` and `slow_prefix` share their first `fork_index` ids and differ in the next one, the fork.
    `reasoning_suffix` is the text that leads from the reasoning to the first action.
    """

    fast_prefix: tuple[int, ...]
    slow_prefix: tuple[int, ...]
    fork_index: int
    reasoning_suffix: str

    @property
    def fast_fork(self) -> int:
        """The token that chooses acting at once."""
        return self.fast_prefix[self.fork_index]

    @property
    def slow_fork(self) -> int:
        """The token that chooses to reason first."""
        return self.slow_prefix[self.fork_index]


class Tokenizer:
    """Text to ids and back, without special tokens added and without truncation."""

    def __init__(self, path: Path) -> None:
        """Load tokenizer.json.

        Raises:
            EnvironmentLacksError: the package `tokenizers` is not installed.
            PromptError: the file cannot be read.
        """
        try:
            import tokenizers
        except ImportError:
            raise EnvironmentLacksError("tokenizers is missing; install it with `pip install tokenizers`") from None
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise PromptError(f"{path}: cannot be read as a tokenizer: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @property
    def size(self) -> int:
        """One more than the highest id."""
        return 1 + int(max(self._tokenizer.get_vocab(with_added_tokens=True).values()))

    def without_text(self, count: int) -> frozenset[int]:
        """Ids below `count` that no token has: decoding leaves them out."""
        return frozenset(range(count)).difference(self._tokenizer.get_vocab(with_added_tokens=True).values())

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


class PromptWriter:
    """Renders the template for one plan and turns it into ids and positions."""

    def __init__(
        self,
        template: PromptTemplate,
        tokenizer: Tokenizer,
        tokens: SpecialTokens,
        grids: Mapping[str, VideoGrid],
        seconds_scale: tuple[float, float],
    ) -> None:
        """`seconds_scale`: tokens per second and seconds per frame pair, for the temporal rotary positions."""
        self._template, self._grids = template, grids
        self._encode = lru_cache(REMEMBERED)(lambda text: np.array(tokenizer.encode(text), np.int64))
        self._pads = lru_cache(REMEMBERED)(lambda count: np.full(count, tokens.video_pad, np.int64))
        self._written = lru_cache(REMEMBERED)(self._write)
        self._layout = lru_cache(REMEMBERED)(lambda *runs: PromptLayout.of(runs, seconds_scale))
        if missing := set(template.cameras) ^ set(grids):
            raise PromptError(
                f"prompt shows {template.cameras}, the bundle has {tuple(grids)}: {sorted(missing)} differ"
            )
        known = {"speed", "command", "acceleration", "yaw_rate"}
        self._names = [name for name in template.field_names if name in known]

    def write(
        self, ego: EgoState, command: str, shown: Collection[str] | None = None, pairs: int | None = None
    ) -> TokenisedPrompt:
        """The prompt for the present state.

        `shown`: the cameras that there are pictures of, all if not given. `pairs`: how many frame pairs of each, as
        many as the bundle asks for if not given.

        Raises:
            PromptError: a value does not fit the template, or the template wants a field that the runtime has not.
        """
        speed = 0.0 if -STANDSTILL_NOISE_MPS <= ego.speed_mps < 0 else ego.speed_mps
        values: dict[str, Value] = {
            "speed": speed,
            "command": command,
            "acceleration": ego.acceleration_mps2,
            "yaw_rate": ego.yaw_rate_rps,
        }
        return self.write_fields({name: values[name] for name in self._names}, shown, pairs)

    def write_fields(
        self, values: Mapping[str, Value], shown: Collection[str] | None = None, pairs: int | None = None
    ) -> TokenisedPrompt:
        """The prompt for given template fields; `shown`, `pairs`: see `write`. The same object if it says the same."""
        cameras = None if shown is None else tuple(camera for camera in self._template.cameras if camera in shown)
        return self._written(tuple(self._template.texts(values).items()), cameras, pairs)

    def _write(
        self, texts: tuple[tuple[str, str], ...], shown: tuple[str, ...] | None, pairs: int | None
    ) -> TokenisedPrompt:
        parts: list[NDArray[np.int64]] = []
        runs: list[tuple[str, int | VideoGrid]] = []
        for segment in self._template.written(dict(texts), shown):
            if isinstance(segment, VideoSegment):
                grid = self._grids[segment.camera]
                grid = grid if pairs in (None, grid.pairs) else replace(grid, pairs=pairs)
                parts.append(self._pads(grid.tokens))
                runs.append((segment.camera, grid))
            else:
                parts.append(self._encode(segment.text))
                runs.append(("", len(parts[-1])))
        ids = np.concatenate(parts)
        ids.flags.writeable = False
        return TokenisedPrompt(ids, self._layout(*runs))


def wordless_ids(tokenizer: Tokenizer, tokens: SpecialTokens, rows: int) -> frozenset[int]:
    """Ids that no text consists of: of `rows` embeddings those that no token has, marks of pictures, and padding."""
    marks = {tokens.video_pad, tokens.vision_start, tokens.vision_end}
    return tokenizer.without_text(rows) | marks | ({tokens.pad} if tokens.pad is not None else set())


def answer_ids(template: PromptTemplate, tokenizer: Tokenizer, actions: ActionTokens) -> AnswerIds:
    """Tokenise the answer's fixed parts.

    Raises:
        PromptError: the fork is not one token after a common prefix, or the action tokens are not where they should be.
    """
    answer = template.answer
    fast, slow = tokenizer.encode(answer.fast_prefix), tokenizer.encode(answer.slow_prefix)
    prefix = tokenizer.encode(answer.fork_prefix)
    fork = len(prefix)
    if fast[:fork] != prefix or slow[:fork] != prefix or len(fast) <= fork or len(slow) <= fork:
        raise PromptError(
            f"answer: the ids of {answer.fork_prefix!r} change with what follows; the fork must be one token"
        )
    for text, ids in ((answer.fast_fork, fast), (answer.slow_fork, slow)):
        if tokenizer.encode(text) != (ids[fork],):
            raise PromptError(f"answer: fork text {text!r} is {tokenizer.encode(text)}, in the answer {ids[fork]}")
    for index in (0, actions.count - 1):
        found = tokenizer.encode(answer.action_token.format(index=index))
        if found != (actions.first_id + index,):
            text = answer.action_token.format(index=index)
            raise PromptError(f"action token {text} has ids {found}, the manifest says {actions.first_id + index}")
    if answer.action_count != actions.per_answer:
        raise PromptError(
            f"the prompt's answer has {answer.action_count} actions, the manifest says {actions.per_answer}"
        )
    return AnswerIds(fast, slow, fork, answer.reasoning_suffix)
