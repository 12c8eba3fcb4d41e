"""Guessing ahead against one token a pass on real graphs: rendered scenes, and random weights; equal to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame, FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.answer_grammar import DecodeError
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner import Planner

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
DRIVES = (("quiet_road", 31), ("quiet_road", 32), ("urban", 33), ("quiet_road", 34), ("quiet_road", 35))
SCENES, PER_DRIVE = 500, 100
PENALTIES = (1.05, 1.2, 1.5, 0.9)


def scenes(cameras, profile, seed):
    """Frame set, ego state and command at 10 Hz of a drive."""
    from onboard_vla.world.expert import Expert
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    world = World(seed, profile)
    expert, renderer, ingest = Expert(world), Renderer(default_rig()), CameraIngest(cameras, 4, 0.5)
    count = tick = 0
    while count < PER_DRIVE:
        for camera, view in renderer.render(world).items():
            picture = view.copy()
            picture.flags.writeable = False
            ingest.add(CameraFrame(camera, world.time_ns, tick, picture))
        if (frames := ingest.frame_set()) is not None:
            count += 1
            yield frames, world.ego, world.command
        tick += 1
        for _ in range(5):
            world.step(expert.control(), 0.02)


def everything(planner, *arguments):
    """All that a decode says that a plan may depend on."""
    try:
        found = planner.decoder.decode(*arguments)
    except DecodeError as error:
        return error.code, error.detail
    return found.generated, found.fork_logits, found.depth, found.reasoning, found.logits.tobytes()


def with_prompts(planner):
    """Have the planner keep what it gives its decoder."""
    decode, kept = planner.decoder.decode, []
    planner.decoder.decode = lambda prompt, *rest: kept.append(prompt) or decode(prompt, *rest)
    return kept


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_answers_to_rendered_scenes_are_equal_to_the_bit(tmp_path):
    bundle = Bundle.open(export_bundle(REFERENCE, tmp_path / "bundle", precision="int8"))
    # One planner looks, and all decoders get its prompts; one penalty a scene in turn besides the bundle's.
    plain, quick = Planner(bundle, look_ahead=False), Planner(bundle)
    penalised = {penalty: (Planner(bundle, look_ahead=False), Planner(bundle)) for penalty in PENALTIES}
    for penalty, pair in penalised.items():
        for planner in pair:
            planner.decoder._sequence._penalty = penalty
    prompts, seen = with_prompts(plain), 0
    for profile, seed in DRIVES:
        for number, (frames, ego, command) in enumerate(scenes(bundle.cameras, profile, seed)):
            plan = plain.plan(frames, ego, command, number)
            prompt = prompts.pop()
            found = everything(quick, prompt, "fast")
            if isinstance(plan, Plan):
                first = bundle.manifest.actions.first_id
                assert tuple(token - first for token in found[0][-10:]) == plan.action_tokens
                assert found[-1] == plain.decoder.action_logits.tobytes()
            else:
                assert found[0] == plan.code
            one, other = penalised[PENALTIES[number % len(PENALTIES)]]
            assert everything(other, prompt, "fast") == everything(one, prompt, "fast")
            if number % 10 == 0:
                assert everything(quick, prompt, "slow") == everything(plain, prompt, "slow")
            prompts.clear()
            seen += 1
    assert seen >= SCENES
    assert quick.language.decodes < 6 * seen
    assert plain.language.decodes > 9 * seen


def favour_actions(planner):
    """Random weights would hardly ever choose an action: lift their logits."""
    engine, actions = planner.language._engine, planner.bundle.manifest.actions

    class Favouring:
        @property
        def executions(self):
            return engine.executions

        def run(self, inputs, outputs):
            engine.run(inputs, outputs)
            outputs["logits"][:, actions.first_id : actions.first_id + actions.count] += 3.0

    planner.language._engine = Favouring()
    return planner


@pytest.mark.parity
@pytest.mark.parametrize("penalty", [1.0, 1.05, 1.2, 0.8])
def test_plans_of_random_weights_are_equal_to_the_bit(tiny, tmp_path, penalty):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(int(penalty * 100))
    model = transformers.Qwen2_5_VLForConditionalGeneration(tiny.configuration())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3.0  # so that what was said before matters
    tiny.save(tmp_path / "checkpoint", model)
    bundle = Bundle.open(tiny.write_bundle(tmp_path / "checkpoint", tmp_path / "bundle", penalty))
    plain = favour_actions(Planner(bundle, look_ahead=False))
    quick = favour_actions(Planner(bundle))
    rng, runs = np.random.default_rng(1), set()
    for number in range(60):
        images = tiny.random_images(rng)
        stamps = tuple(500_000_000 * k for k in range(4))
        frames = FrameSet(stamps[-1], {c: tuple(i) for c, i in images.items()}, dict.fromkeys(images, stamps))
        ego = EgoState(0, 0.0, 0.0, 0.0, float(rng.uniform(0, 60)), 0.0, 0.0)
        expected, found = (p.plan(frames, ego, "keep forward", number) for p in (plain, quick))
        assert type(found) is type(expected)
        if isinstance(expected, Plan):
            runs.add(expected.action_tokens)
            assert found.action_tokens == expected.action_tokens
            np.testing.assert_array_equal(found.uncertainty.outside_mass, expected.uncertainty.outside_mass)
        else:
            assert (found.code, found.detail) == (expected.code, expected.detail)
    assert len(runs) > 3, "the weights always say the same: the comparison above compared little"
