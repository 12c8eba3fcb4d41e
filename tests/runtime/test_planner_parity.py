"""Tokens against transformers: plain greedy where the fork picks fast, greedy after the same prefix everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

STAMPS = tuple(k * 500_000_000 for k in range(4))
PENALTIES = (1.0, 1.05, 1.3)
COMMANDS = ("keep forward", "turn left")


def ego(speed):
    return EgoState(0, 0.0, 0.0, 0.0, speed, 0.0, 0.0)


def frame_set(images):
    return FrameSet(STAMPS[-1], {camera: tuple(rows) for camera, rows in images.items()}, dict.fromkeys(images, STAMPS))


def generate(tiny, model, ids, images, penalty, count):
    """Ids that transformers adds greedily."""
    with torch.no_grad():
        output = model.generate(
            **tiny.model_inputs(model, ids, images), do_sample=False, repetition_penalty=penalty, max_new_tokens=count
        )
    return output[0, len(ids) :].tolist()


def answer_form(tiny, name):
    return tiny.tokenizer().encode(name, add_special_tokens=False).ids


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_forced_fast_plan_has_the_tokens_of_greedy_after_the_same_prefix(tiny, trained, bundles, command, penalty):
    _, model = trained
    planner = Planner(Bundle.open(bundles(penalty)))
    first = planner.bundle.manifest.actions.first_id
    rng = np.random.default_rng(3)
    form = tiny.PROMPT["answer"]
    prefix = answer_form(tiny, form["fork_prefix"] + form["fast_fork"] + form["fast_rest"])
    for speed in (0.0, 7.3, 41.6):
        images = tiny.random_images(rng)
        ids = tiny.prompt_ids(tiny.tokenizer(), command, f"{speed:04.1f}")
        expected = generate(tiny, model, ids + prefix, images, penalty, 10)
        plan = planner.plan(frame_set(images), ego(speed), command, 1)
        if all(first <= token < first + tiny.ACTIONS for token in expected):
            assert isinstance(plan, Plan), plan
            assert [first + token for token in plan.action_tokens] == expected
            assert plan.passes.prefill == 1
            assert plan.passes.decode <= 9
        else:
            assert isinstance(plan, PlanRejection)


@pytest.mark.parametrize("penalty", [1.0, 1.05])
@pytest.mark.parametrize("command", COMMANDS)
def test_plans_equal_full_greedy_decoding_when_the_model_chooses_the_depth(tiny, trained, bundles, command, penalty):
    _, model = trained
    planner = Planner(Bundle.open(bundles(penalty)))
    first = planner.bundle.manifest.actions.first_id
    images = tiny.random_images(np.random.default_rng(11))
    ids = tiny.prompt_ids(tiny.tokenizer(), command, "12.5")
    expected = generate(tiny, model, ids, images, penalty, 40)
    free = planner.plan(frame_set(images), ego(12.5), command, 1, depth="free")
    chosen = planner.plan(frame_set(images), ego(12.5), command, 2, depth="model")
    actions = tuple(token - first for token in expected if first <= token < first + tiny.ACTIONS)
    assert isinstance(free, Plan), free
    assert isinstance(chosen, Plan), chosen
    assert free.action_tokens == chosen.action_tokens == actions
    assert free.depth == chosen.depth == ("slow" if command == "turn left" else "fast")
    assert free.passes.decode > chosen.passes.decode
    if command == "turn left":
        assert chosen.text == tiny.REASONING
        assert chosen.passes.prefill == 2


def test_uncertainty_comes_from_the_logits_that_transformers_gives(tiny, trained, bundles):
    _, model = trained
    bundle = Bundle.open(bundles(1.05))
    planner = Planner(bundle)
    first = bundle.manifest.actions.first_id
    images = tiny.random_images(np.random.default_rng(4))
    form = tiny.PROMPT["answer"]
    ids = tiny.prompt_ids(tiny.tokenizer(), "keep forward", "20.0")
    ids += answer_form(tiny, form["fork_prefix"] + form["fast_fork"] + form["fast_rest"])
    plan = planner.plan(frame_set(images), ego(20.0), "keep forward", 1)
    assert isinstance(plan, Plan)
    with torch.no_grad():
        whole = tiny.model_inputs(model, ids + [first + token for token in plan.action_tokens[:-1]], images)
        logits = model(**whole).logits[0, len(ids) - 1 :].double()
    p = torch.softmax(logits[:, first : first + tiny.ACTIONS], -1).numpy()
    outside = 1 - torch.softmax(logits, -1)[:, first : first + tiny.ACTIONS].sum(-1).numpy()
    ends = bundle.codebook.deltas[:, :2]
    mean = p @ ends
    spread = np.sqrt((p * ((ends[None] - mean[:, None]) ** 2).sum(-1)).sum(-1))
    picked = p[np.arange(10), list(plan.action_tokens)]
    np.testing.assert_allclose(plan.uncertainty.spread_m, spread, atol=1e-4)
    np.testing.assert_allclose(plan.uncertainty.outside_mass, outside, atol=1e-5)
    assert plan.uncertainty.negative_log_likelihood == pytest.approx(-np.log(picked).mean(), abs=1e-4)


def random_actor(tiny, folder, seed):
    """A random model whose head is pushed towards actions: it says actions, with no margins between them."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(tiny.configuration(tied=False)).eval()
    first = tiny.tokenizer().token_to_id("<action_0>")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name and not name.endswith("ln_q.weight"):
                parameter.normal_(0, 0.15)
        ids = [*tiny.prompt_ids(tiny.tokenizer(), "keep forward", "33.3"), first, first + 9, first + 40]
        inputs = tiny.model_inputs(model, ids, tiny.random_images(np.random.default_rng(seed)))
        usual = model.model(**inputs).last_hidden_state[0, -4:].mean(0)
        model.lm_head.weight.normal_(0, 0.3)
        model.lm_head.weight[first : first + tiny.ACTIONS] += 4.0 * usual / usual.square().sum()
    tiny.save(folder, model)
    return model


@pytest.mark.parametrize("penalty", [1.0, 1.1])
@pytest.mark.parametrize("seed", range(4))
def test_random_models_give_the_tokens_of_greedy_decoding(tiny, tmp_path, seed, penalty):
    model = random_actor(tiny, tmp_path, seed)
    form = tiny.PROMPT["answer"]
    images = tiny.random_images(np.random.default_rng(seed + 100))
    ids = tiny.prompt_ids(tiny.tokenizer(), "keep forward", "21.9")
    ids += answer_form(tiny, form["fork_prefix"] + form["fast_fork"] + form["fast_rest"])
    first = tiny.tokenizer().token_to_id("<action_0>")
    expected = generate(tiny, model, ids, images, penalty, 10)
    planner = Planner(Bundle.open(tiny.write_bundle(tmp_path, tmp_path / "bundle", penalty)))
    plan = planner.plan(frame_set(images), ego(21.9), "keep forward", 1)
    valid = [first <= token < first + tiny.ACTIONS for token in expected]
    if all(valid):
        assert isinstance(plan, Plan), plan
        assert [first + token for token in plan.action_tokens] == expected
    else:
        assert isinstance(plan, PlanRejection)
        assert plan.code in ("text_in_actions", "too_few_actions", "no_actions")
        if plan.code == "text_in_actions":
            position = valid.index(False)
            assert f"token {expected[position]} " in plan.detail
            assert f"action {position} " in plan.detail
