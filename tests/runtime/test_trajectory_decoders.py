"""Decoders behind one interface: the token decoder, and the continuous head on the same prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import BundleError
from onboard_vla.core.plan import FAST
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.kernels.reference_trajectory import compose_tokens
from onboard_vla.runtime.answer_sequence import PromptInput
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.prompt import answer_ids
from onboard_vla.runtime.trajectory_decoders import (
    HEAD_FORMAT,
    ContinuousHead,
    ContinuousTrajectory,
    TokenTrajectory,
    embeddings_sha256,
)

WORLD = Path(__file__).parents[2] / "world"
LARGEST_HEAD = 200_000
"""Bytes that a head may add to the repository."""


def write_head(path, embeddings, **changes):
    rng = np.random.default_rng(0)
    parts = {
        "format": np.int64(HEAD_FORMAT),
        "embeddings_sha256": np.str_(embeddings_sha256(embeddings)),
        "first": rng.normal(0, 0.3, (embeddings.shape[1], 5)).astype(np.float16),
        "first_bias": rng.normal(0, 1, 5).astype(np.float16),
        "second": rng.normal(0, 1, (5, 30)).astype(np.float16),
        "second_bias": rng.normal(0, 1, 30).astype(np.float16),
    }
    np.savez(path, **(parts | changes))
    return path


@pytest.fixture
def embeddings():
    return np.random.default_rng(3).normal(0, 0.1, (60, 12)).astype(np.float16)


def test_the_head_sees_the_hidden_state_that_the_logits_came_from(tmp_path, embeddings):
    head = ContinuousHead(write_head(tmp_path / "head.npz", embeddings), embeddings)
    hidden = np.random.default_rng(5).normal(0, 2, 12)
    logits = (embeddings.astype(np.float64) @ hidden).astype(np.float32)
    np.testing.assert_allclose(head(logits), head.from_hidden(hidden), atol=1e-4)
    torch = pytest.importorskip("torch")
    with np.load(tmp_path / "head.npz") as parts:
        first, first_bias, second, second_bias = (
            torch.from_numpy(parts[name].astype(np.float64))
            for name in ("first", "first_bias", "second", "second_bias")
        )
    inner = torch.nn.functional.silu(torch.from_numpy(hidden) @ first + first_bias)
    np.testing.assert_allclose(head.from_hidden(hidden).ravel(), (inner @ second + second_bias).numpy(), atol=1e-9)


@pytest.mark.parametrize("what", ["other embeddings", "another format", "no head"])
def test_a_head_that_does_not_belong_is_refused(tmp_path, embeddings, what):
    path = tmp_path / "head.npz"
    if what == "no head":
        np.savez(path, nothing=np.zeros(1))
    else:
        write_head(path, embeddings, **({"format": np.int64(9)} if what == "another format" else {}))
    other = embeddings * np.float16(2) if what == "other embeddings" else embeddings
    with pytest.raises(BundleError, match="head"):
        ContinuousHead(path, other)


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    checkpoint = WORLD / "reference"
    return Planner(Bundle.open(export_bundle(checkpoint, tmp_path_factory.mktemp("head") / "b", precision="fp32")))


def grey_prompt(planner, speed_mps):
    """A prompt whose visual tokens are all alike."""
    written = planner.prompt.write(EgoState(0, 0.0, 0.0, 0.0, speed_mps, 0.0, 0.0), "keep forward")
    embeddings = planner.bundle.embeddings[written.ids].astype(np.float32)
    text = written.videos[0][1].start
    return PromptInput(written.ids, embeddings, written.positions, written.next_position, text)


def test_both_decoders_follow_the_speed_and_the_continuous_one_needs_one_pass(planner):
    bundle, model = planner.bundle, planner.language
    answer = answer_ids(bundle.template, planner._tokenizer, bundle.manifest.actions)
    head = ContinuousHead(WORLD / "continuous_head.npz", bundle.embeddings)
    tokens = TokenTrajectory(planner.decoder, model, bundle.codebook.fine_deltas, planner.kernels)
    continuous = ContinuousTrajectory(head, model, bundle.embeddings, answer)
    for speed in (4.0, 14.0):
        prompt = grey_prompt(planner, speed)
        # In turns on one model: neither sees what the other left in the cache.
        first, one = tokens.trajectory(prompt), continuous.trajectory(prompt)
        again, same = tokens.trajectory(prompt), continuous.trajectory(prompt)
        np.testing.assert_array_equal(first.poses, again.poses)
        answer_tokens = planner.decoder.decode(prompt, FAST).tokens
        wanted, _ = compose_tokens(answer_tokens, bundle.codebook.fine_deltas)
        np.testing.assert_allclose(first.poses, wanted, atol=2e-5)  # float32's, as in the kernels' tests
        np.testing.assert_array_equal(one.poses, same.poses)
        assert (one.passes, same.passes) == (1, 1)
        assert 1 <= again.passes <= first.passes <= 10
        assert one.poses.shape == first.poses.shape == (10, 3)
        assert np.abs(one.poses[0, :2] - first.poses[0, :2]).max() < 0.25 * speed


def test_the_shipped_head_is_small():
    assert (WORLD / "continuous_head.npz").stat().st_size <= LARGEST_HEAD
