"""`onboard-vla verify --checkpoint`: a bundle against transformers, stage by stage."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from onboard_vla.app import cli
from onboard_vla.core.errors import BundleError, CheckpointError, EnvironmentLacksError
from onboard_vla.export.golden import load_golden
from onboard_vla.export.stage_parity import Recorder, StageComparison
from onboard_vla.export.transformers_oracle import TransformersOracle
from onboard_vla.export.verification import runner_of, sizes_of, verify
from onboard_vla.runtime.bundle import Bundle

pytestmark = pytest.mark.parity

CAMERAS = ("front", "front_left", "front_right", "back", "back_left", "back_right")
EXACT = 1e-4


@pytest.fixture(scope="module")
def opened(fp32_bundle):
    return Bundle.open(fp32_bundle)


@pytest.fixture(scope="module")
def oracle(reference_checkpoint, opened):
    return TransformersOracle(reference_checkpoint, sizes_of(opened))


@pytest.fixture(scope="module")
def golden(opened):
    return load_golden(opened.path / opened.manifest.golden[0])


def compared(bundle, scene, expected):
    recorder = Recorder()
    stages = StageComparison(runner_of(bundle, observations=recorder), recorder)
    stages.add(scene, expected)
    return {stage.stage: stage for stage in stages.figures()}


def test_every_stage_of_the_float32_graphs_is_transformers(fp32_bundle, reference_checkpoint, capsys):
    status = cli.run(["verify", str(fp32_bundle), "--checkpoint", str(reference_checkpoint), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert status == 0
    assert document["against"].startswith("transformers 5.")
    stages = {stage["stage"]: stage for stage in document["stages"]}
    names = [f"vision, {role}" for role in CAMERAS] + [f"keys, layer {i}" for i in range(4)]
    assert list(stages) == [*names, "action logits, one pass", "action logits, token by token"]
    for stage in stages.values():
        assert stage["error_max"] < EXACT < 0.1 < stage["reference_rms"], stage["stage"]
        assert 1 - stage["cosine_min"] < 1e-6, stage["stage"]
    assert stages["vision, front"]["vectors"] == 10 * 2 * 24, "scenes, frame pairs, merged tokens"
    assert stages["action logits, token by token"]["vectors"] == 10 * 10
    assert document["figures"]["token_agreement"] == 1
    assert document["figures"]["ade_max_m"] == 0


def test_int8_drifts_from_stage_to_stage_and_is_still_the_model(int8_bundle, oracle, golden):
    bundle = Bundle.open(int8_bundle)
    stages = compared(bundle, golden.scene, oracle.teacher_forced(golden.scene, golden.reference.tokens.tolist()))
    for stage in stages.values():
        assert 0.99 < stage.cosine_mean < 1 - 1e-6, stage.stage
        assert stage.error_max > 1e-3, stage.stage
    assert stages["keys, layer 3"].cosine_mean < stages["keys, layer 0"].cosine_mean


def test_a_stage_that_is_wrong_is_the_one_that_shows_it(opened, oracle, golden):
    expected = oracle.teacher_forced(golden.scene, golden.reference.tokens.tolist())
    images = {**golden.scene.images, "back": golden.scene.images["front_left"]}
    stages = compared(opened, dataclasses.replace(golden.scene, images=images), expected)
    wrong = [name for name, stage in stages.items() if stage.error_max > EXACT]
    assert wrong == [
        "vision, back",
        *(f"keys, layer {i}" for i in range(4)),
        "action logits, one pass",
        "action logits, token by token",
    ]


def test_values_that_are_no_numbers_show(opened, oracle, golden):
    expected = oracle.teacher_forced(golden.scene, golden.reference.tokens.tolist())
    expected.keys[1][0, 0] = np.nan
    stage = compared(opened, golden.scene, expected)["keys, layer 1"]
    assert np.isnan([stage.cosine_mean, stage.cosine_min, stage.error_max]).all()


@pytest.mark.parametrize("guess", [[0] * 10, list(range(10))])
def test_greedy_tokens_do_not_depend_on_what_was_guessed(oracle, golden, guess):
    stages = oracle.greedy(golden.scene, guess)
    assert stages.logits.tokens.tolist() == golden.reference.tokens.tolist()
    np.testing.assert_allclose(stages.logits.actions, golden.reference.actions, atol=EXACT)


def test_a_bundle_of_other_weights_is_refused(fp32_bundle, reference_checkpoint, tmp_path):
    other = shutil.copytree(reference_checkpoint, tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    name = next(name for name in tensors if name.endswith("embed_tokens.weight"))
    tensors[name][5, 5] += 1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        BundleError,
        match=r"was not made from .*: its manifest says weights_sha256 \w{64}, .* weights have \w{64}",
    ):
        verify(fp32_bundle, checkpoint=other)


def test_a_folder_that_transformers_cannot_load_is_one_line(opened, tmp_path):
    with pytest.raises(CheckpointError, match="transformers cannot load it"):
        TransformersOracle(tmp_path, sizes_of(opened))


def test_without_transformers_the_command_says_what_to_install(opened, reference_checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EnvironmentLacksError, match=r"pip install '\.\[parity\]' in a clone"):
        TransformersOracle(reference_checkpoint, sizes_of(opened))
