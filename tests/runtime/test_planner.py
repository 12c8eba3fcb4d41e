"""The planner on the reference checkpoint's bundles, without torch: passes, caches, refusals, memory, imports."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.cameras import EncodedPicture, FrameSet
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.errors import EngineError
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.wire import decode, encode
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.kernels.actions import codebook_table, compose
from onboard_vla.kernels.forms import kernel_form
from onboard_vla.kernels.reference_trajectory import compose_tokens
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import standing_ego
from onboard_vla.runtime.engine import OnnxEngine
from onboard_vla.runtime.jpeg import decode_jpeg, encode_jpeg
from onboard_vla.runtime.planner import STAGES, Planner

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
SPEC = importlib.util.spec_from_file_location("reference_scene", Path(__file__).with_name("reference_scene.py"))
scene = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scene)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def bundle(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "bundle"
    return Bundle.open(export_bundle(REFERENCE, folder, precision=request.param))


@pytest.fixture
def drive(bundle):
    return scene.Drive(bundle.cameras)


def action_minded(planner):
    """Let the planner's language engine favour actions, so that plans come out whatever the checkpoint has learnt."""
    engine, actions = planner.language._engine, planner.bundle.manifest.actions

    class Favouring:
        @property
        def executions(self):
            return engine.executions

        def run(self, inputs, outputs):
            engine.run(inputs, outputs)
            outputs["logits"][:, actions.first_id : actions.first_id + actions.count] += 100.0

    planner.language._engine = Favouring()
    return planner


def test_a_fast_plan_counts_one_vision_run_per_picture_size_one_prefill_and_nine_steps(bundle, drive):
    plan = action_minded(Planner(bundle)).plan(drive.frame_set(20), scene.ego(), "keep forward", 7)
    assert isinstance(plan, Plan), plan
    graphs = {camera.vision_graph for camera in bundle.manifest.cameras}
    assert dataclasses.astuple(plan.passes) == (len(graphs), 1, 9)
    assert (plan.plan_id, plan.stamp_ns, plan.oldest_frame_stamp_ns) == (7, 2_000_000_000, 2_000_000_000)
    assert plan.poses.shape == (10, 3)
    assert plan.fine_poses.shape == (50, 3)
    assert plan.uncertainty.spread_m.shape == (10,)
    assert set(plan.stage_ms) == {*STAGES, "total"}
    assert sum(plan.stage_ms[stage] for stage in STAGES) == pytest.approx(plan.stage_ms["total"])
    assert plan.bundle_hash == bundle.core_hash
    assert 0 < plan.slow_probability < 1


class Watched:
    """A form that notes what it is asked to run."""

    name = "watched"

    def __init__(self):
        self._form, self.ran = kernel_form(), []

    def keep(self, array):
        return self._form.keep(array)

    def run(self, kernel, arguments, blocks, **options):
        self.ran.append((kernel, blocks))
        self._form.run(kernel, arguments, blocks, **options)

    def patches_by_rows(self, arguments, begin, end):
        self.ran.append(("patches", end - begin))
        self._form.patches_by_rows(arguments, begin, end)


def test_a_plan_takes_pictures_statistics_and_trajectory_from_the_kernels_it_was_given(bundle, drive):
    form = Watched()
    plan = action_minded(Planner(bundle, kernels=form)).plan(drive.frame_set(20), scene.ego(), "keep forward", 7)

    assert {kernel for kernel, _ in form.ran} == {"patches", "action_statistics", "compose"}
    assert ("action_statistics", len(plan.action_tokens)) in form.ran
    _, fine = compose_tokens(plan.action_tokens, bundle.codebook.fine_deltas)
    np.testing.assert_allclose(plan.fine_poses, fine, atol=2e-5)
    np.testing.assert_array_equal(plan.fine_poses[4::5], plan.poses)
    table = codebook_table(bundle.codebook.fine_deltas)
    made = compose(kernel_form(), np.array([plan.action_tokens], np.int32), table)
    np.testing.assert_array_equal(plan.poses, made.poses[0])


def test_a_plan_stays_as_it_is_while_others_are_made(bundle, drive):
    planner = action_minded(Planner(bundle))
    first = planner.plan(drive.frame_set(20), scene.ego(), "keep forward", 1)
    before = encode(first)
    others = [planner.plan(drive.frame_set(20 + k), scene.ego(), "turn left", 1 + k) for k in (5, 10)]
    assert any(plan.action_tokens != first.action_tokens for plan in others)
    assert encode(first) == before


def test_a_plan_and_a_rejection_pass_through_the_wire(bundle, drive):
    plan = action_minded(Planner(bundle)).plan(drive.frame_set(20), scene.ego(), "keep forward", 7)
    again = decode(encode(plan))
    np.testing.assert_array_equal(again.fine_poses, plan.fine_poses)
    assert again.stage_ms == plan.stage_ms
    rejection = Planner(bundle).plan(drive.frame_set(20), scene.ego(), "sideways", 8)
    assert decode(encode(rejection)) == rejection


def test_the_vision_cache_halves_the_work_and_changes_no_bit(bundle, drive):
    cached, plain = (action_minded(Planner(bundle, vision_cache=on)) for on in (True, False))
    pairs = 2 * len(bundle.cameras)
    for tick in range(20, 42, 2):
        with_cache = cached.plan(drive.frame_set(tick), scene.ego(), "keep forward", tick)
        without = plain.plan(drive.frame_set(tick), scene.ego(), "keep forward", tick)
        assert with_cache.action_tokens == without.action_tokens
        np.testing.assert_array_equal(with_cache.uncertainty.spread_m, without.uncertainty.spread_m)
        np.testing.assert_array_equal(with_cache.poses, without.poses)
    # Plans at 2.0 to 2.8 s find nothing; those from 3.0 s on find their older pair.
    assert cached.vision.cache.hits == 6 * pairs // 2
    assert plain.vision.cache is None


def prefilled(planner):
    """Have the planner's language engine note how many tokens each pass of several takes."""
    engine, sizes = planner.language._engine, []

    class Noting:
        @property
        def executions(self):
            return engine.executions

        def run(self, inputs, outputs):
            sizes.append(len(inputs["embeds"]))
            engine.run(inputs, outputs)

    planner.language._engine = Noting()
    return sizes


def test_the_prompts_first_text_is_prefilled_once_and_changes_no_bit(bundle, drive):
    kept, anew = (action_minded(Planner(bundle, prefix_cache=on, look_ahead=False)) for on in (True, False))
    text = kept.prompt.write(scene.ego(), "keep forward").videos[0][1].start
    assert text > 10
    for tick, speed in ((20, 8.0), (22, 3.1), (24, 0.0)):
        sizes, others = prefilled(kept), prefilled(anew)
        plan = kept.plan(drive.frame_set(tick), scene.ego(speed), "keep forward", tick)
        other = anew.plan(drive.frame_set(tick), scene.ego(speed), "keep forward", tick)
        assert plan.action_tokens == other.action_tokens
        np.testing.assert_array_equal(kept.decoder.action_logits, anew.decoder.action_logits)
        assert plan.slow_probability == other.slow_probability
        assert others[0] - sizes[0] == (0 if tick == 20 else text)


def test_pictures_whose_embeddings_are_not_finite_spoil_one_plan_alone(bundle, drive):
    planner, fresh = action_minded(Planner(bundle)), action_minded(Planner(bundle))
    planner.plan(drive.frame_set(20), scene.ego(), "keep forward", 1)
    whole = dict(planner.vision._engines)

    def spoiling(engine, bad):
        def run(inputs, outputs):
            engine.run(inputs, outputs)
            outputs["embeddings"][-1, -1, 5] = bad

        return types.SimpleNamespace(run=run, executions=0)

    for moment, bad in ((22, np.nan), (24, -np.inf)):
        planner.vision._engines = {graph: spoiling(engine, bad) for graph, engine in whole.items()}
        spoilt = planner.plan(drive.frame_set(moment), scene.ego(), "keep forward", moment)
        assert isinstance(spoilt, PlanRejection)
        assert spoilt.code == "nan_logits"
    planner.vision._engines = whole
    for moment in (22, 24, 32):  # at the last one, the pairs of the first are the older ones
        after = planner.plan(drive.frame_set(moment), scene.ego(), "keep forward", moment)
        expected = fresh.plan(drive.frame_set(moment), scene.ego(), "keep forward", moment)
        assert after.action_tokens == expected.action_tokens
        np.testing.assert_array_equal(planner.decoder.action_logits, fresh.decoder.action_logits)


def test_the_same_input_twice_needs_no_vision_at_all(bundle, drive):
    planner = action_minded(Planner(bundle))
    first, second = (planner.plan(drive.frame_set(30), scene.ego(), "keep forward", i) for i in (1, 2))
    assert second.passes.vision == 0
    assert second.action_tokens == first.action_tokens


@pytest.mark.parametrize("offset_s", [-0.15, 0.3])
def test_the_vision_cache_knows_a_camera_whose_shutter_opens_at_another_time(bundle, drive, offset_s):
    planner, last = action_minded(Planner(bundle, offsets_s=(offset_s,))), bundle.cameras[-1]
    cache = planner.vision.cache
    for tick in range(20, 32, 2):
        frames, before = drive.frame_set(tick), cache.hits
        frames.stamps_ns[last] = tuple(stamp + nanoseconds(offset_s) for stamp in frames.stamps_ns[last])
        planner.plan(frames, scene.ego(), "keep forward", tick)
    assert cache.hits - before == len(bundle.cameras), "of all older pairs"


def test_other_pictures_under_old_stamps_are_not_taken_from_the_cache(bundle, drive):
    planner = action_minded(Planner(bundle))
    planner.plan(drive.frame_set(30), scene.ego(), "keep forward", 1)
    other = scene.Drive(bundle.cameras, seed=9).frame_set(30)
    again = planner.plan(other, scene.ego(), "keep forward", 2)
    fresh = action_minded(Planner(bundle)).plan(other, scene.ego(), "keep forward", 2)
    assert again.passes.vision > 0
    np.testing.assert_array_equal(again.uncertainty.spread_m, fresh.uncertainty.spread_m)


@pytest.mark.parametrize(
    ("speed", "command", "code"),
    [
        (8.0, "sideways", "prompt_invalid"),
        (float("nan"), "keep forward", "prompt_invalid"),
        (-5.0, "keep forward", "prompt_invalid"),
    ],
)
def test_values_that_the_prompt_does_not_know_are_a_rejection(bundle, drive, speed, command, code):
    result = Planner(bundle).plan(drive.frame_set(20), scene.ego(speed), command, 3)
    assert isinstance(result, PlanRejection)
    assert (result.plan_id, result.code) == (3, code)


def test_the_prompt_is_written_anew_when_it_says_something_else(bundle):
    write, ego = Planner(bundle).prompt.write, standing_ego()
    first = write(ego, "keep forward")
    assert write(ego, "keep forward") is first
    faster = write(dataclasses.replace(ego, speed_mps=3.0), "keep forward")
    fewer = write(ego, "keep forward", bundle.cameras[:2])
    shorter = write(ego, "keep forward", None, 1)
    for other in (faster, fewer, shorter, write(ego, "turn left")):
        assert other.ids.tolist() != first.ids.tolist()
    assert len(shorter.videos) == len(first.videos)
    assert [camera for camera, _ in fewer.videos] == list(bundle.cameras[:2])


def test_a_prompt_longer_than_the_cache_is_an_engines_error(bundle, drive):
    planner = Planner(bundle)
    written = planner.prompt.write(standing_ego(), "keep forward")
    planner._embeddings = planner._embeddings[: len(written.ids) - 1]
    with pytest.raises(EngineError, match=f"the prompt has {len(written.ids)}"):
        planner.plan(drive.frame_set(20), scene.ego(), "keep forward", 1)


def test_a_standing_vehicles_noise_below_zero_is_zero_speed(bundle, drive):
    planner = Planner(bundle)
    ids = [planner.prompt.write(scene.ego(speed), "keep forward").ids.tolist() for speed in (-0.02, 0.0)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("spoil", ["camera", "frame"])
def test_an_incomplete_frame_set_is_a_rejection(bundle, drive, spoil):
    frames = drive.frame_set(20)
    images, stamps = dict(frames.images), dict(frames.stamps_ns)
    if spoil == "camera":
        del images["back"], stamps["back"]
    else:
        images["back"], stamps["back"] = images["back"][1:], stamps["back"][1:]
    result = Planner(bundle).plan(FrameSet(frames.stamp_ns, images, stamps), scene.ego(), "keep forward", 3)
    assert result.code == "frames_invalid"
    assert "back" in result.detail


def test_bad_logits_from_the_engine_are_a_rejection(bundle, drive):
    planner = action_minded(Planner(bundle))
    favouring = planner.language._engine

    class Broken:
        executions = 0

        def run(self, inputs, outputs):
            favouring.run(inputs, outputs)
            outputs["logits"][:] = np.nan

    planner.language._engine = Broken()
    assert planner.plan(drive.frame_set(20), scene.ego(), "keep forward", 3).code == "nan_logits"


def test_engines_count_executions_and_nothing_else_does(bundle, drive):
    engines = []

    def load(path):
        engines.append(OnnxEngine(path, 1))
        return engines[-1]

    planner = action_minded(Planner(bundle, load=load))
    plans = [planner.plan(drive.frame_set(tick), scene.ego(), "keep forward", tick) for tick in (20, 22, 30)]
    counted = sum(sum(dataclasses.astuple(plan.passes)) for plan in plans)
    assert counted == sum(engine.executions for engine in engines)


@pytest.mark.slow
def test_five_hundred_plans_do_not_grow_memory(bundle):
    psutil = pytest.importorskip("psutil")
    planner = action_minded(Planner(bundle))
    drive = scene.Drive(bundle.cameras)
    process = psutil.Process()

    def plans(count, start):
        for i in range(count):
            planner.plan(drive.frame_set(20 + (start + i) % 10), scene.ego(i % 30), "keep forward", i)

    plans(100, 0)
    before = process.memory_info().rss
    plans(500, 100)
    grown = (process.memory_info().rss - before) / 2**20
    assert grown < 4, f"{grown:.1f} MiB in 500 plans"


def test_importing_the_room_loads_no_inference_library():
    code = (
        "import sys, onboard_vla.runtime, onboard_vla.runtime.planner, onboard_vla.runtime.planner_body\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'onnx', 'tokenizers', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_compressed_pictures_give_a_plan_and_only_those_that_the_cache_lacks_are_decoded(bundle, drive):
    planner, decoded = action_minded(Planner(bundle)), []

    def compressed(tick):
        frames = drive.frame_set(tick)
        images = {
            camera: tuple(
                EncodedPicture(encode_jpeg(p).tobytes(), *p.shape[:2], lambda *a: decoded.append(1) or decode_jpeg(*a))
                for p in pictures
            )
            for camera, pictures in frames.images.items()
        }
        return dataclasses.replace(frames, images=images, skew_ns={"front": 0, "back": -2_000_000})

    first = planner.plan(compressed(20), scene.ego(), "keep forward", 1)
    assert isinstance(first, Plan), first
    assert len(decoded) == 4 * len(bundle.cameras)
    assert first.camera_skew_ms == {"front": 0.0, "back": -2.0}
    assert first.stage_ms["jpeg"] > 0

    second = planner.plan(compressed(30), scene.ego(), "keep forward", 2)
    assert isinstance(second, Plan), second
    assert len(decoded) == 6 * len(bundle.cameras)
