"""Plans through the engines of a GPU are the processor's: resident cache, padded past, captured graphs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.plan import Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.engine_profiles import bundle_profiles
from onboard_vla.export.tensorrt_build import build_plan
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import MOST_SAMPLES, context_length
from onboard_vla.runtime.device_engine import PAST_MULTIPLE
from onboard_vla.runtime.language_model import causal_bias
from onboard_vla.runtime.onnx_cuda_engine import OnnxCudaEngine
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.positions import text_positions
from onboard_vla.runtime.samples import Draw
from onboard_vla.runtime.tensorrt_engine import TensorRtEngine

from . import fake_onnxruntime, fake_tensorrt
from .fake_gpu import FakeGpu

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
SPEC = importlib.util.spec_from_file_location("reference_scene", Path(__file__).with_name("reference_scene.py"))
scene = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scene)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(export_bundle(REFERENCE, tmp_path_factory.mktemp("fp32") / "bundle", precision="fp32"))


@pytest.fixture(params=["tensorrt", "cuda"])
def load(request, bundle, monkeypatch):
    """Makes engines on a fake GPU, for either engine, and counts what runs."""
    gpu = FakeGpu()
    if request.param == "cuda":

        def on_cuda(path):
            with monkeypatch.context() as installed:
                installed.setitem(sys.modules, "onnxruntime", fake_onnxruntime.Module(gpu))
                return OnnxCudaEngine(path, gpu)

        return on_cuda
    trt = fake_tensorrt.Module(fake_tensorrt.VERSIONS[0], gpu)
    profiles = bundle_profiles(bundle.manifest, context_length(bundle))
    return lambda path: TensorRtEngine(trt, path.name, build_plan(trt, path, profiles[path.name]).plan, gpu)


def favour(engine, actions):
    """Let an engine favour actions, so that plans come out whatever the checkpoint has learnt."""
    run = engine.run

    def favouring(inputs, outputs):
        run(inputs, outputs)
        outputs["logits"][:, actions.first_id : actions.first_id + actions.count] += 100.0

    engine.run = favouring
    return engine


def planner(bundle, load=None, samples=0):
    made = Planner(bundle, load=load, samples=samples)
    favour(made.language._engine, bundle.manifest.actions)
    return made


def test_plans_are_those_of_the_processor(bundle, load):
    drive, here, there = scene.Drive(bundle.cameras), planner(bundle), planner(bundle, load)
    for tick in (20, 25, 30, 35):
        plans = [p.plan(drive.frame_set(tick), scene.ego(), "keep forward", tick) for p in (here, there)]
        assert all(isinstance(plan, Plan) for plan in plans), plans
        assert plans[0].action_tokens == plans[1].action_tokens
        assert plans[0].passes == plans[1].passes
        np.testing.assert_allclose(plans[0].uncertainty.spread_m, plans[1].uncertainty.spread_m, rtol=1e-3)
    engine = there.language._engine
    assert engine.graphs, engine.not_captured
    assert there.language.cache.length % PAST_MULTIPLE, "the past was padded"
    assert not there.language.cache.block.any(), "keys and values are on the device and nowhere else"


def test_samples_of_one_prompt_are_those_of_the_processor(bundle, load):
    drive, found = scene.Drive(bundle.cameras), []
    for made in (planner(bundle, samples=MOST_SAMPLES), planner(bundle, load, samples=MOST_SAMPLES)):
        assert isinstance(made.plan(drive.frame_set(20), scene.ego(), "keep forward", 1), Plan)
        found.append(made.draw(Draw(MOST_SAMPLES, temperature=0.5, seed=3))[0])
    assert found[0].refused == found[1].refused == 0
    np.testing.assert_array_equal(found[0].tokens, found[1].tokens)
    assert len({tuple(tokens) for tokens in found[0].tokens.tolist()}) > 1, "answers differ, each sees its own"


def test_numbers_that_are_not_finite_do_not_stay_in_the_cache(bundle, load):
    """A masked slot still counts where it holds no finite number, so what a bad picture left behind must go."""
    here, there = Planner(bundle).language, Planner(bundle, load=load).language
    width, rows = bundle.manifest.model.text.hidden_size, np.array([0], np.int64)
    found, bad = np.empty((2, here.vocabulary_size), np.float32), np.empty((1, here.vocabulary_size), np.float32)
    there.forward(np.full((100, width), np.inf, np.float32), text_positions(0, 100), rows, bad)
    assert not np.isfinite(bad).any()
    assert not len(there.known_text)
    tokens = np.random.default_rng(0).standard_normal((11, width)).astype(np.float32)
    for model, logits in zip((here, there), found, strict=True):
        model.rollback(0)
        model.forward(tokens[:10], text_positions(0, 10), rows, logits[None])
        model.forward(tokens[10:], text_positions(10, 1), rows, logits[None])
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)


def test_slots_that_are_not_filled_are_masked():
    bias = causal_bias(3, 2, 5)
    assert (bias[:, :3] == 0).all()
    assert (bias[:, 3:5] < -1e4).all()
    assert (bias[:, 5:] < -1e4).tolist() == [[False, True], [False, False]]
    np.testing.assert_array_equal(causal_bias(3, 2, 3), causal_bias(3, 2))
