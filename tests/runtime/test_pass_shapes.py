"""A token's logits depend on the tokens before it alone, to the bit, and not on how passes divide them.

On this rests that fewer passes give the same tokens. Measured here with ONNX Runtime on this machine's CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.ego import EgoState
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.positions import text_positions

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
ANSWER = 12
"""Tokens behind the prompt that are divided in every way."""


@pytest.fixture(
    scope="module",
    params=[("fp32", 1), ("int8", 1), ("int8", 2), ("w4a16", 1)],
    ids=lambda p: f"{p[0]}, {p[1]} threads",
)
def planner(request, tmp_path_factory):
    precision, threads = request.param
    folder = tmp_path_factory.mktemp("shapes") / "bundle"
    return Planner(Bundle.open(export_bundle(REFERENCE, folder, precision=precision)), threads)


@pytest.fixture
def text(planner):
    """Embeddings (S, D) and positions (3, S) of a prompt with noise for pictures, then of some action tokens."""
    rng = np.random.default_rng(4)
    prompt = planner.prompt.write(EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0), "keep forward")
    actions = planner.bundle.manifest.actions
    ids = rng.integers(actions.first_id, actions.first_id + actions.count, ANSWER)
    table = planner.bundle.embeddings.astype(np.float32)
    embeddings = table[[*prompt.ids, *ids]]
    for _, where in prompt.videos:
        embeddings[where] += rng.normal(0, table.std(), embeddings[where].shape).astype(np.float32)
    return embeddings, np.concatenate([prompt.positions, text_positions(prompt.next_position, ANSWER)], axis=1)


def in_passes(model, text, cuts, guess=0):
    """Logits of the answer's tokens, and the cache, when passes end at `cuts`; `guess`: random tokens behind each."""
    embeddings, positions = text
    total, first = len(embeddings), len(embeddings) - ANSWER
    rng = np.random.default_rng(guess)
    logits = np.empty((total, model.vocabulary_size), np.float32)
    model.rollback(0)
    for start, end in zip([0, *cuts], [*cuts, total], strict=True):
        extra = rng.normal(0, 1, (guess, embeddings.shape[1])).astype(np.float32)
        after = text_positions(int(positions[0, end - 1]) + 1, guess)
        wanted = np.arange(min(max(start, first), end - 1) - start, end - start)
        room = np.empty((len(wanted), model.vocabulary_size), np.float32)
        model.forward(
            np.concatenate([embeddings[start:end], extra]),
            np.concatenate([positions[:, start:end], after], axis=1),
            wanted,
            room,
        )
        logits[start + wanted] = room
        model.rollback(end)
    return logits[first:], [array[:total].copy() for array in (*model.cache.keys, *model.cache.values)]


@pytest.mark.parametrize("guess", [0, 1, 5])
@pytest.mark.parametrize("way", ["one by one", "two passes", "cut within the prompt", "uneven"])
def test_logits_and_cache_are_equal_to_the_bit_however_passes_are_cut(planner, text, way, guess):
    first = len(text[0]) - ANSWER
    cuts = {
        "one by one": [first + i for i in range(ANSWER)],
        "two passes": [first + 4],
        "cut within the prompt": [20, first],
        "uneven": [first, first + 1, first + 4, first + 5],
    }[way]
    expected, cache = in_passes(planner.language, text, [first])
    found, again = in_passes(planner.language, text, cuts, guess)
    np.testing.assert_array_equal(found, expected)
    for one, other in zip(again, cache, strict=True):
        np.testing.assert_array_equal(one, other)
