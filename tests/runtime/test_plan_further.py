"""A slow plan behind a fast one, by the real chain: the plan that slow thinking alone would have made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.scene_record import CUT_SHORT, MALFORMED, NO_REASONING
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import STAGES, Planner

pytest.importorskip("torch")
EGO = EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0)


def frames(tiny):
    stamps = tuple(range(0, 2_000_000_000, 500_000_000))
    images = {
        camera: tuple(np.ascontiguousarray(image) for image in images)
        for camera, images in tiny.random_images(np.random.default_rng(1)).items()
    }
    return FrameSet(stamps[-1], images, dict.fromkeys(images, stamps), dict.fromkeys(images, 5_000_000))


@pytest.fixture(scope="module")
def planner(bundles):
    return Planner(Bundle.open(bundles()))


def test_it_is_the_slow_plan_and_reads_pictures_and_prompt_once(planner, tiny):
    # "turn left" is what the tiny model has learnt to think about.
    alone = planner.plan(frames(tiny), EGO, "turn left", 1, depth="slow")
    first = planner.plan(frames(tiny), EGO, "turn left", 2)
    second = planner.plan_further(first, 3, 100)

    same = ("stamp_ns", "oldest_frame_stamp_ns", "camera_skew_ms", "action_tokens", "text", "scene", "depth", "step_s")
    assert all(getattr(second, name) == getattr(alone, name) for name in same)
    assert second.slow_probability == first.slow_probability == pytest.approx(alone.slow_probability, abs=1e-6)
    for name in ("poses", "fine_poses"):
        np.testing.assert_array_equal(getattr(second, name), getattr(alone, name))
    for field in dataclasses.fields(second.uncertainty):
        np.testing.assert_array_equal(getattr(second.uncertainty, field.name), getattr(alone.uncertainty, field.name))
    assert second.action_tokens == tiny.SLOW_ACTIONS != first.action_tokens
    assert (second.plan_id, first.plan_id) == (3, 2)
    assert (second.passes.vision, second.passes.prefill) == (0, 1)
    assert second.passes.decode > 0
    assert set(second.stage_ms) == {*STAGES, "total"}
    assert sum(second.stage_ms[stage] for stage in STAGES) == pytest.approx(second.stage_ms["total"])


def test_its_text_is_read_or_not_with_the_reason(planner, tiny, monkeypatch):
    first = planner.plan(frames(tiny), EGO, "turn left", 1)
    assert planner.plan_further(first, 2, 100).scene.code == MALFORMED
    whole = planner.decoder.decode_further

    def ended_by_force(most, cancelled):
        return dataclasses.replace(whole(most, cancelled), complete=False)

    monkeypatch.setattr(planner.decoder, "decode_further", ended_by_force)
    first = planner.plan(frames(tiny), EGO, "turn left", 3)
    assert first.scene.code == NO_REASONING
    assert planner.plan_further(first, 4, 100).scene.code == CUT_SHORT


def test_given_up_it_is_a_rejection_and_the_next_plan_is_as_ever(planner, tiny):
    first = planner.plan(frames(tiny), EGO, "turn left", 1)
    given_up = planner.plan_further(first, 2, 100, lambda: True)
    assert (given_up.code, given_up.plan_id, given_up.stamp_ns) == ("cancelled", 2, first.stamp_ns)
    again = planner.plan(frames(tiny), EGO, "turn left", 3)
    assert again.action_tokens == first.action_tokens


@pytest.mark.parametrize("depth", ["slow", "model"])
@pytest.mark.parametrize("asked", [0, 1, 4])
def test_an_only_answer_that_is_to_act_now_is_the_fast_plan_and_one_told_to_stop_is_none(bundles, tiny, depth, asked):
    planner = Planner(Bundle.open(bundles()))
    if depth == "model":
        planner.decoder._fork_scores = lambda logits, said: (0.0, 1.0)
    fast = planner.plan(frames(tiny), EGO, "turn left", 1, depth="fast")
    slow = planner.plan(frames(tiny), EGO, "turn left", 2, depth=depth)
    assert (slow.depth, slow.action_tokens) == ("slow", tiny.SLOW_ACTIONS)

    questions = iter(range(asked + 1))
    plan = planner.plan(frames(tiny), EGO, "turn left", 3, depth=depth, act_now=lambda _: next(questions) == asked)
    assert next(questions, None) is None
    assert (plan.depth, plan.action_tokens, plan.text) == ("fast", fast.action_tokens, "")
    assert plan.scene.code == NO_REASONING
    np.testing.assert_array_equal(plan.fine_poses, fast.fine_poses)
    np.testing.assert_allclose(plan.uncertainty.spread_m, fast.uncertainty.spread_m, atol=1e-4)
    assert plan.passes.prefill <= 2 + (depth == "model")

    asked_to_stop = iter(range(3))
    given_up = planner.plan(frames(tiny), EGO, "turn left", 4, depth=depth, cancelled=lambda: next(asked_to_stop) == 2)
    assert (given_up.code, next(asked_to_stop, None)) == ("cancelled", None)
