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
"""Texts and layouts whose ids and positions are remembered: most of a prompt says the same in every plan."""


@dataclass(frozen=True, eq=False)
class TokenisedPrompt:
    """`ids`: (S,) int64; `positions`: (3, S) int64, read-only.

    `videos`: camera and the slice of its visual tokens, in order. `next_position`: rotary position of the first answer
    token.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    videos: tuple[tuple[str, slice], ...]
    next_position: int


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
        self._template, self._tokens, self._grids = template, tokens, grids
        self._encode = lru_cache(REMEMBERED)(tokenizer.encode)
        self._positions = lru_cache(REMEMBERED)(lambda *runs: prompt_positions(runs, *seconds_scale))
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
        """The prompt for given template fields; `shown`, `pairs`: see `write`."""
        ids: list[int] = []
        videos: list[tuple[str, slice]] = []
        runs: list[int | VideoGrid] = []
        for segment in self._template.render(values, shown):
            if isinstance(segment, VideoSegment):
                grid = self._grids[segment.camera]
                grid = grid if pairs is None else replace(grid, pairs=pairs)
                videos.append((segment.camera, slice(len(ids), len(ids) + grid.tokens)))
                ids.extend([self._tokens.video_pad] * grid.tokens)
                runs.append(grid)
            else:
                text = self._encode(segment.text)
                ids.extend(text)
                runs.append(len(text))
        positions, following = self._positions(*runs)
        return TokenisedPrompt(np.array(ids, np.int64), positions, tuple(videos), following)


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
