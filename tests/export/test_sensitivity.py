"""Which layers INT8 hurts, and which of them stay in float32."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.export.parity_limits import PARITY_LIMITS, misses
from onboard_vla.export.scenes import random_scenes
from onboard_vla.export.sensitivity import (
    LARGEST_SHARE,
    NOTHING,
    TARGET_SHARE,
    Trial,
    choose_fallbacks,
    layer_kinds,
    weight_shares,
)
from onboard_vla.export.source import CALIBRATION, GOLDEN, Source
from onboard_vla.export.verify import Figures

SOME = dict.fromkeys((field.name for field in dataclasses.fields(Figures)), 0)


@pytest.fixture(scope="module")
def source(reference_checkpoint):
    return Source.open(reference_checkpoint)


class Scripted:
    """A trial that does not run anything: figures follow from a rule on the layers kept."""

    def __init__(self, rule):
        self.rule = rule

    def measure(self, kept):
        return Figures(**{**SOME, "motion_shift_mean_m": self.rule(kept)})


def ignore(_):
    pass


def test_kinds_partition_all_layers(source):
    kinds = layer_kinds(source)
    layers = frozenset().union(*source.layers().values())
    assert sum(map(len, kinds.values())) == len(layers) == 53
    assert kinds["text.layers.mlp.down_proj"] == {f"text.layers.{i}.mlp.down_proj" for i in range(4)}
    assert {"head", "visual.patch_embed", "visual.merger.mlp.0"} <= set(kinds)
    assert sum(weight_shares(source, kinds).values()) == pytest.approx(1)


@pytest.mark.parametrize("everything", [True, False])
def test_keeping_layers_in_float_brings_the_reference_nearer(source, tmp_path, everything):
    layers = frozenset().union(*source.layers().values())
    kept = layers if everything else frozenset(name for name in layers if name.startswith("text."))
    source.write_float_graphs(tmp_path / "fp32", ignore)
    references = source.references(tmp_path / "fp32", source.scenes(None, GOLDEN)[1], ignore)
    trial = Trial(source, references, source.ranges(None, ignore).largest, tmp_path / "trial")
    with_all, with_some = trial.measure(frozenset()), trial.measure(kept)
    assert 1 - with_some.cosine_mean < (1 - with_all.cosine_mean) / (1000 if everything else 1.5)


def test_int8_that_is_well_within_its_limits_keeps_no_layer_in_float(source):
    assert choose_fallbacks(source, Scripted(lambda kept: 0.001), ignore).fallbacks == frozenset()


def test_most_sensitive_kinds_are_kept_in_float_until_the_figures_are_well_within_their_limits(source):
    kinds = layer_kinds(source)
    gains = {"visual.merger.mlp.2": 0.003, "text.layers.self_attn.v_proj": 0.002, "visual.blocks.attn.q": 0.001}

    def rule(kept):
        return 0.009 - sum(gain for kind, gain in gains.items() if kinds[kind] <= kept)

    choice = choose_fallbacks(source, Scripted(rule), ignore)
    assert choice.kinds == ("visual.merger.mlp.2", "text.layers.self_attn.v_proj")
    assert choice.fallbacks == kinds[choice.kinds[0]] | kinds[choice.kinds[1]]
    assert choice.table["visual.merger.mlp.2"]["motion_shift_mean_m"] == pytest.approx(0.006)
    assert set(choice.table) == {*kinds, NOTHING}


def test_kinds_that_do_not_help_stay_in_int8_and_the_weights_moved_are_limited(source):
    kinds = layer_kinds(source)
    assert choose_fallbacks(source, Scripted(lambda kept: 0.02), ignore).kinds == ()
    choice = choose_fallbacks(source, Scripted(lambda kept: 0.02 - 1e-5 * len(kept)), ignore)
    shares = weight_shares(source, kinds)
    assert 0 < sum(shares[kind] for kind in choice.kinds) <= LARGEST_SHARE


def test_the_bundle_records_every_kind_and_was_measured_with_the_choice(int8_bundle, source):
    manifest = load_manifest(int8_bundle)
    table = manifest.calibration["sensitivity"]
    assert set(table) == {*layer_kinds(source), NOTHING}
    if not manifest.calibration["fallbacks"]:
        for limit in PARITY_LIMITS:
            assert table[NOTHING][limit.figure] == pytest.approx(manifest.parity[limit.figure], abs=1e-9)
            assert table[NOTHING][limit.figure] <= TARGET_SHARE * limit.bound


def test_layers_that_random_calibration_hurts_are_found_and_kept_in_float(source, tmp_path):
    """Ranges of random pictures are too narrow for real ones; the language's down_proj suffers most."""
    scenes = random_scenes(source.assets, CALIBRATION.count, np.random.default_rng(CALIBRATION.seed))
    source.write_float_graphs(tmp_path / "fp32", ignore)
    references = source.references(tmp_path / "fp32", source.scenes(None, GOLDEN)[1], ignore)
    trial = Trial(source, references, source.observe(scenes, ignore), tmp_path / "trial")
    choice = choose_fallbacks(source, trial, ignore)
    assert choice.kinds[0] == "text.layers.mlp.down_proj"
    assert misses(trial.measure(frozenset()))
    assert not misses(trial.measure(choice.fallbacks))
