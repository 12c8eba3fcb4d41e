"""A planner that chooses a plan's actions behind the first among actions alone: the same tokens where actions win."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import BundleError, ConfigurationError
from onboard_vla.core.plan import SLOW, Plan
from onboard_vla.core.wire import decode, encode
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.engine_build import build_engines
from onboard_vla.export.tensorrt_check import check_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine_choice import engine_loader
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.planner_host import PLANNER_ROLE, build_planner_host

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
SPEC = importlib.util.spec_from_file_location("reference_scene", Path(__file__).with_name("reference_scene.py"))
scene = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scene)
SIGNALS = ("spread_m", "chosen_mass", "second_mass", "second_distance_m", "negative_log_likelihood")


@pytest.fixture(scope="module", params=["int8", "fp32"])
def bundle(request, tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("head")
    with np.load(REFERENCE / "golden_scenes.npz") as archive:
        np.savez(folder / "golden.npz", **{name: archive[name][:2] for name in archive.files})
    given = {"golden_scenes": folder / "golden.npz", "action_head": True}
    if request.param == "int8":
        given["fallbacks"] = ()
    return Bundle.open(export_bundle(REFERENCE, folder / "bundle", precision=request.param, **given))


class Watched:
    """An engine whose runs are looked at, and changed."""

    def __init__(self, engine, look):
        self._engine, self._look = engine, look

    @property
    def executions(self):
        return self._engine.executions

    def run(self, inputs, outputs):
        self._engine.run(inputs, outputs)
        self._look(inputs, outputs)


def watch(planner, look):
    planner.language._engine = Watched(planner.language._engine, look)
    return planner


def scenes(bundle, ticks=range(20, 44, 3)):
    drive = scene.Drive(bundle.cameras)
    for tick in ticks:
        for command in ("keep forward", "turn left"):
            yield drive.frame_set(tick), command


def expect_the_same(found, expected, depth="fast"):
    assert isinstance(expected, Plan), expected
    assert (found.action_tokens, found.depth, found.text) == (expected.action_tokens, depth, expected.text)
    assert found.slow_probability == expected.slow_probability
    for name in SIGNALS:
        np.testing.assert_array_equal(getattr(found.uncertainty, name), getattr(expected.uncertainty, name))
    assert len(expected.uncertainty.outside_mass) == len(expected.action_tokens)
    np.testing.assert_array_equal(found.uncertainty.outside_mass, expected.uncertainty.outside_mass[:1])


def test_plans_are_those_of_the_whole_vocabulary_to_the_bit_with_and_without_guesses(bundle):
    whole, ahead = Planner(bundle), Planner(bundle, actions_alone=True)
    plain = Planner(bundle, actions_alone=True, look_ahead=False)
    met = set()
    for frames, command in scenes(bundle):
        expected, *found = (p.plan(frames, scene.ego(), command, 1) for p in (whole, ahead, plain))
        for plan in found:
            expect_the_same(plan, expected)
        met.add(expected.action_tokens)
    assert len(met) > 3, "the plans hardly differ: the comparison above compared little"


def test_logits_of_the_actions_are_those_of_the_whole_head_to_the_bit(bundle):
    whole, alone = (Planner(bundle, actions_alone=alone, look_ahead=False) for alone in (False, True))
    actions = bundle.manifest.actions
    for frames, command in scenes(bundle, (20, 41)):
        for planner in (whole, alone):
            planner.plan(frames, scene.ego(), command, 1)
        every = whole.decoder.action_logits[:, actions.first_id : actions.first_id + actions.count]
        np.testing.assert_array_equal(alone.decoder._action_decoder.few, every)


def test_the_whole_head_is_computed_for_the_first_pass_alone(bundle):
    passes = []
    alone = watch(
        Planner(bundle, actions_alone=True, look_ahead=False),
        lambda inputs, outputs: passes.append((len(inputs["rows"]), len(inputs.get("action_rows", ())), {*outputs})),
    )
    for frames, command in scenes(bundle, (20,)):
        passes.clear()
        alone.plan(frames, scene.ego(), command, 1)
        (full, few, names), *later = passes
        assert (full, few) == (2, 0)
        assert {"logits", "action_logits"} & names == {"logits"}
        assert len(later) == bundle.manifest.actions.per_answer - 1
        for full, few, names in later:
            assert (full, few) == (0, 2), "a lone row and its double"
            assert {"logits", "action_logits"} & names == {"action_logits"}


def test_another_token_that_would_win_behind_the_first_action_is_not_seen_even_where_it_is_computed(bundle):
    actions = bundle.manifest.actions
    other = actions.first_id - 1

    def favour_another(_, outputs):
        if "logits" in outputs:
            outputs["logits"][2 if len(outputs["logits"]) > 1 else 0 :, other] += 1e3

    whole, alone = Planner(bundle), Planner(bundle, actions_alone=True)
    frames, command = next(scenes(bundle))
    for planner in (whole, alone):
        planner.plan(frames, scene.ego(), command, 1)  # so that the next one guesses, and its first pass has more rows
        watch(planner, favour_another)
    refused, plan = (planner.plan(frames, scene.ego(), command, 2) for planner in (whole, alone))
    assert not isinstance(refused, Plan)
    assert isinstance(plan, Plan)

    def favour_another_first(_, outputs):
        if "logits" in outputs:
            outputs["logits"][1, other] += 1e6

    refused = watch(alone, favour_another_first).plan(frames, scene.ego(), command, 3)
    assert not isinstance(refused, Plan), "the first action is chosen from the whole vocabulary"


def test_slow_text_is_that_of_the_whole_vocabulary(bundle):
    whole, alone = (Planner(bundle, actions_alone=alone, depth=SLOW) for alone in (False, True))
    for frames, command in scenes(bundle, (20, 41)):
        expected, found = (planner.plan(frames, scene.ego(), command, 1) for planner in (whole, alone))
        assert expected.text
        expect_the_same(found, expected, SLOW)


def test_a_plan_travels_with_what_it_knows_of_the_mass_outside(bundle):
    frames, command = next(scenes(bundle))
    plan = Planner(bundle, actions_alone=True).plan(frames, scene.ego(), command, 1)
    arrived = decode(encode(plan))
    np.testing.assert_array_equal(arrived.uncertainty.outside_mass, plan.uncertainty.outside_mass)
    assert arrived.uncertainty.outside_mass.shape == (1,)


def test_what_cannot_be_is_refused_in_one_line(tiny, trained, bundles, tmp_path):
    without = Bundle.open(bundles())
    bundle = Bundle.open(tiny.write_bundle(trained[0], tmp_path / "bundle", action_head=True))
    with pytest.raises(ConfigurationError, match=r"has no head of the actions alone: .* export with --action-head"):
        Planner(without, actions_alone=True)
    with pytest.raises(ValueError, match="check_end"):
        Planner(bundle, actions_alone=True, check_end=True)
    refusal = "has a head of the actions alone, for ONNX Runtime on the processor"
    for engine in ("cuda", "tensorrt"):
        with pytest.raises(BundleError, match=refusal):
            engine_loader(engine, bundle)
    with pytest.raises(BundleError, match=refusal):
        build_engines(None, bundle.path, tmp_path / "engines", None)
    with pytest.raises(BundleError, match=refusal):
        check_bundle(bundle.path)


def test_the_planner_process_has_it_by_its_option_alone(tiny, trained, bundles, tmp_path):
    path = tiny.write_bundle(trained[0], tmp_path / "bundle", action_head=True)
    for given, alone in (({}, False), ({"actions_alone": True}, True)):
        host = build_planner_host(PLANNER_ROLE.values({"bundle": str(path), **given}))
        assert (host._body._planner.decoder._action_decoder.few is not None) is alone
    with pytest.raises(ConfigurationError, match="has no head of the actions alone"):
        build_planner_host(PLANNER_ROLE.values({"bundle": str(bundles()), "actions_alone": True}))


@pytest.mark.parity
@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.8])
def test_repetitions_are_penalised_among_actions_as_in_the_whole_vocabulary(tiny, tmp_path, penalty):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(int(penalty * 100))
    model = transformers.Qwen2_5_VLForConditionalGeneration(tiny.configuration())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3.0  # so that what was said before matters
    tiny.save(tmp_path / "checkpoint", model)
    bundle = Bundle.open(tiny.write_bundle(tmp_path / "checkpoint", tmp_path / "bundle", penalty, action_head=True))
    span = slice(bundle.manifest.actions.first_id, bundle.manifest.actions.first_id + bundle.manifest.actions.count)

    def lift_actions(_, outputs):
        """So that actions win, and so near each other that the penalty decides."""
        of_actions = outputs["logits"][:, span] if "logits" in outputs else outputs["action_logits"]
        of_actions *= 0.05
        of_actions += 100.0

    whole, *alone = (
        watch(Planner(bundle, look_ahead=ahead, actions_alone=alone), lift_actions)
        for ahead, alone in ((False, False), (False, True), (True, True))
    )
    rng, runs = np.random.default_rng(1), set()
    for number in range(12):
        images = tiny.random_images(rng)
        stamps = tuple(500_000_000 * k for k in range(4))
        frames = FrameSet(stamps[-1], {c: tuple(i) for c, i in images.items()}, dict.fromkeys(images, stamps))
        ego = EgoState(0, 0.0, 0.0, 0.0, float(rng.uniform(0, 60)), 0.0, 0.0)
        expected, *found = (p.plan(frames, ego, "keep forward", number) for p in (whole, *alone))
        for plan in found:
            expect_the_same(plan, expected)
        runs.add(expected.action_tokens)
        if penalty > 1.0:
            assert len(set(expected.action_tokens)) == len(expected.action_tokens), "the penalty decides"
    assert len(runs) > 2, "the weights always say the same: the comparison above compared little"
