"""What decoding compares: logits after the repetition penalty over prompt and answer so far.

As `transformers`' RepetitionPenaltyLogitsProcessor and the runtime apply it: negative logits times, others over the
penalty (Keskar et al. 2019, CTRL, arXiv:1909.05858, section 4.1). Raw logits are what precision shifts; agreement,
margins and what a choice gives up are about the penalised ones, for those decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.action_logits import ActionLogits, penalised

if TYPE_CHECKING:
    from onboard_vla.export.scene_runner import Sizes

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Deciding:
    """`fork`: (2,) of the fast and the slow fork token; `actions`: (T, count); both after the penalty."""

    fork: Floats
    actions: Floats


def deciding(sizes: Sizes, prompt_ids: NDArray[np.int64], logits: ActionLogits) -> Deciding:
    """What is compared at the fork and at each action along `logits.tokens`."""
    answer, penalty = sizes.answer, sizes.generation.repetition_penalty
    before = set(prompt_ids.tolist()) | set(answer.fast_prefix[: answer.fork_index])
    forks = [place for place, token in enumerate((answer.fast_fork, answer.slow_fork)) if token in before]
    said = _spoken(sizes, [*prompt_ids.tolist(), *answer.fast_prefix])
    rows = []
    for row, token in zip(logits.actions, logits.tokens.tolist(), strict=True):
        rows.append(_penalised_at(row, said, penalty))
        said = [*said, token]
    return Deciding(_penalised_at(logits.fork, forks, penalty), np.stack(rows))


def _spoken(sizes: Sizes, ids: Sequence[int]) -> list[int]:
    """Codebook indices of the actions among token ids."""
    first, count = sizes.actions.first_id, sizes.actions.count
    return [token - first for token in ids if first <= token < first + count]


def _penalised_at(logits: Floats, places: Sequence[int], penalty: float) -> Floats:
    return penalised(logits, places, penalty) if places else logits
