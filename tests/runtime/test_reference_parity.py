"""The reference checkpoint's fp32 bundle against transformers, with real pictures' sizes, crops and prompts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.kernels.reference_images import crop_and_resize
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.prompt import answer_ids

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
SPEC = importlib.util.spec_from_file_location("reference_scene", Path(__file__).with_name("reference_scene.py"))
scene = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scene)
CASES = ((20, 0.0, "keep forward"), (23, 8.4, "turn left"), (31, 24.9, "turn right"))


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "bundle"
    return Planner(Bundle.open(export_bundle(REFERENCE, folder, precision="fp32")))


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(REFERENCE, dtype=torch.float32).eval()


def inputs_of(planner, model, frames, ids):
    """transformers' inputs, its own image processor included."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    pixels, grids = [], []
    for camera in planner.bundle.manifest.cameras:
        area = camera.width * camera.height
        processor = Qwen2VLImageProcessorPil(size={"shortest_edge": area, "longest_edge": area})
        small = [crop_and_resize(i, camera.crop, camera.width, camera.height) for i in frames.images[camera.role]]
        single = processor(small, return_tensors="np")["pixel_values"].reshape(4, -1, 3, 2, 196)[:, :, :, 0]
        pixels.append(np.stack([single[0::2], single[1::2]], axis=3).reshape(-1, 1176))
        grids.append([2, camera.grid_h, camera.grid_w])
    tokens = torch.tensor([ids])
    return {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "pixel_values_videos": torch.from_numpy(np.concatenate(pixels)),
        "video_grid_thw": torch.tensor(grids),
        "mm_token_type_ids": (tokens == model.config.video_token_id).int() * 2,
    }


def greedy(planner, model, frames, ids, count):
    penalty = planner.bundle.manifest.generation.repetition_penalty
    with torch.no_grad():
        output = model.generate(
            **inputs_of(planner, model, frames, ids),
            do_sample=False,
            repetition_penalty=penalty,
            max_new_tokens=count,
        )
    return output[0, len(ids) :].tolist()


@pytest.mark.parametrize(("tick", "speed", "command"), CASES)
def test_prompt_ids_equal_those_of_the_transformers_tokenizer(planner, tick, speed, command):
    tokenizer = transformers.AutoTokenizer.from_pretrained(REFERENCE)
    grids = planner.bundle.grids()
    text = "".join(
        getattr(part, "text", None) or "<|video_pad|>" * grids[part.camera].tokens
        for part in planner.bundle.template.render({"speed": speed, "command": command})
    )
    ours = planner.prompt.write(scene.ego(speed), command).ids.tolist()
    assert ours == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(("tick", "speed", "command"), CASES)
def test_tokens_equal_greedy_decoding_after_the_same_prefix(planner, model, tick, speed, command):
    actions = planner.bundle.manifest.actions
    frames = scene.Drive(planner.bundle.cameras, seed=tick).frame_set(tick)
    answer = answer_ids(planner.bundle.template, planner._tokenizer, actions)
    ids = [*planner.prompt.write(scene.ego(speed), command).ids.tolist(), *answer.fast_prefix]
    expected = greedy(planner, model, frames, ids, 10)
    result = planner.plan(frames, scene.ego(speed), command, 1)
    valid = [actions.first_id <= token < actions.first_id + actions.count for token in expected]
    if all(valid) and len(expected) == 10:
        assert isinstance(result, Plan), result
        assert [actions.first_id + token for token in result.action_tokens] == expected
    else:
        assert isinstance(result, PlanRejection)


def driven(cameras, profile):
    """Frame set, ego state and command at a few instants of a drive in the world."""
    from onboard_vla.core.cameras import CameraFrame
    from onboard_vla.runtime.ingest import CameraIngest
    from onboard_vla.world.expert import Expert
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    world = World(5, profile)
    expert, renderer, ingest = Expert(world), Renderer(default_rig()), CameraIngest(cameras, 4, 0.5)
    for tick in range(51):
        for camera, picture in renderer.render(world).items():
            ingest.add(CameraFrame(camera, world.time_ns, tick, picture.copy()))
        if tick in (20, 35, 50):
            yield ingest.frame_set(), world.ego, world.command
        for _ in range(5):
            world.step(expert.control(), 0.02)


@pytest.fixture(scope="module")
def scenes(planner):
    """Three instants of each of two drives: (frame set, ego state, command)."""
    return [scene for profile in ("quiet_road", "urban") for scene in driven(planner.bundle.cameras, profile)]


@pytest.fixture(scope="module")
def answers(planner, model, scenes):
    """transformers' whole greedy answer to each scene, as token ids."""
    found = []
    for frames, ego, command in scenes:
        prompt = planner.prompt.write(ego, command).ids.tolist()
        found.append(greedy(planner, model, frames, prompt, planner.language.cache.capacity - len(prompt)))
    return found


def test_forced_fast_tokens_equal_full_greedy_decoding_wherever_the_fork_picks_fast(planner, scenes, answers):
    bundle, picked_fast = planner.bundle, 0
    actions, count = bundle.manifest.actions, bundle.template.answer.action_count
    for (frames, ego, command), expected in zip(scenes, answers, strict=True):
        forced = planner.plan(frames, ego, command, 1, depth="fast")
        assert isinstance(forced, Plan), forced
        picked = planner._tokenizer.decode(expected).startswith(bundle.template.answer.fast_prefix)
        assert picked == (forced.slow_probability < 0.5)
        if picked:
            tokens = [token - actions.first_id for token in expected if actions.first_id <= token]
            assert len(tokens) == count, "the greedy answer is cut short"
            assert list(forced.action_tokens) == tokens
            picked_fast += 1
    assert picked_fast, "no scene here whose fork picks fast: the comparison above compared nothing"


def test_slow_plans_at_the_models_own_depth_equal_full_greedy_decoding(planner, scenes, answers):
    answer, actions, compared = planner.bundle.template.answer, planner.bundle.manifest.actions, 0
    for (frames, ego, command), expected in zip(scenes, answers, strict=True):
        text = planner._tokenizer.decode(expected)
        if not text.startswith(answer.slow_prefix) or answer.reasoning_suffix not in text:
            continue
        reasoning = text[len(answer.slow_prefix) : text.index(answer.reasoning_suffix)]
        if len(planner._tokenizer.encode(reasoning)) >= answer.max_reasoning_tokens:
            continue
        result = planner.plan(frames, ego, command, 1, depth="model")
        assert isinstance(result, Plan), result
        assert (result.depth, result.text) == ("slow", reasoning)
        assert list(result.action_tokens) == [
            token - actions.first_id for token in expected if actions.first_id <= token
        ]
        compared += 1
    assert compared, "no scene here whose whole answer is slow: the comparison above compared nothing"


@pytest.mark.parametrize(("tick", "speed", "command"), CASES)
def test_fork_and_action_logits_agree_within_1e_4(planner, model, tick, speed, command):
    frames = scene.Drive(planner.bundle.cameras, seed=tick).frame_set(tick)
    answer = answer_ids(planner.bundle.template, planner._tokenizer, planner.bundle.manifest.actions)
    prompt = planner.prompt.write(scene.ego(speed), command).ids.tolist()
    planner.plan(frames, scene.ego(speed), command, 1)
    with torch.no_grad():
        logits = model(**inputs_of(planner, model, frames, [*prompt, *answer.fast_prefix])).logits[0].numpy()
    ours = planner.decoder._action_decoder.rows[:2]
    for found, row in zip(ours, (len(prompt) + answer.fork_index - 1, -1), strict=True):
        np.testing.assert_allclose(found, logits[row], atol=1e-4)
