"""Guesses and caches change no bit of a plan, also where passes are as long and wide as in a model of 42 million."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.plan import Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

pytest.importorskip("torch")
pytest.importorskip("transformers")

PLANS = 6
LEAN = 100.0
"""Added to the actions' logits: random weights would hardly say an action."""


class Leaning:
    """A language engine whose model acts."""

    def __init__(self, planner):
        self._engine, actions = planner.language._engine, planner.bundle.manifest.actions
        self._span = slice(actions.first_id, actions.first_id + actions.count)

    @property
    def executions(self):
        return self._engine.executions

    def run(self, inputs, outputs):
        self._engine.run(inputs, outputs)
        outputs["logits"][:, self._span] += LEAN


@pytest.fixture(scope="module")
def benchmarks_importable():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield


@pytest.fixture(scope="module")
def checkpoint(benchmarks_importable, tmp_path_factory):
    import random_checkpoint

    return random_checkpoint.write(tmp_path_factory.mktemp("random") / "checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_without_guesses_or_a_cache_a_plan_of_645_tokens_has_the_same_bits(checkpoint, tmp_path, precision):
    from passes import instants

    bundle = Bundle.open(export_bundle(checkpoint, tmp_path / "bundle", precision=precision, unjudged=True))
    seen = list(instants(bundle.cameras, "quiet_road", 5, 5 * PLANS))[::5]
    for threads in (1, 2):
        planners = [
            Planner(bundle, threads, **off)
            for off in ({}, {"look_ahead": False}, {"prefix_cache": False}, {"vision_cache": False})
        ]
        for planner in planners:
            planner.language._engine = Leaning(planner)
        guessed = hits = 0
        for number, (frames, ego, command) in enumerate(seen):
            first, *others = [planner.plan(frames, ego, command, number) for planner in planners]
            assert isinstance(first, Plan), first
            assert len(planners[0].prompt.write(ego, command).ids) == 645
            for plan, planner in zip(others, planners[1:], strict=True):
                assert plan.action_tokens == first.action_tokens
                np.testing.assert_array_equal(planner.decoder.action_logits, planners[0].decoder.action_logits)
            guessed += first.passes.decode < others[0].passes.decode
            hits = planners[0].vision.cache.hits
        assert guessed, "some pass had guesses that were right"
        assert hits, "some pair was known"
