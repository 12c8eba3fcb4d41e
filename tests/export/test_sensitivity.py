"""Which layers INT8 hurts, and which of them stay in float32."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.export.parity_limits import PARITY_LIMITS, misses
from onboard_vla.export.scenes import random_scenes
from onboard_vla.export.sensitivity import LARGEST_SHARE, RANKING_SCENES, TARGET_SHARE, Trial, choose_fallbacks
from onboard_vla.export.source import CALIBRATION, GOLDEN, Source
from onboard_vla.export.verify import Figures

SOME = dict.fromkeys((field.name for field in dataclasses.fields(Figures)), 0)


@pytest.fixture(scope="module")
def source(reference_checkpoint):
    return Source.open(reference_checkpoint)


class Scripted:
    """Measures nothing: each layer in INT8 adds its own shift."""

    def __init__(self, shifts, rest=0.0):
        self.shifts, self.rest = shifts, rest

    def everything_but(self, moved):
        return self._figures(self.rest + sum(shift for name, shift in self.shifts.items() if name not in moved))

    def alone(self, layer):
        return self._figures(self.shifts.get(layer, 0.0))

    def _figures(self, shift):
        return Figures(**{**SOME, "motion_shift_mean_m": shift})


def ignore(_):
    pass


def trial_of(source, scenes_for_ranges, folder):
    source.write_float_graphs(folder / "fp32", ignore)
    references = source.references(folder / "fp32", source.scenes(None, GOLDEN)[1], ignore)
    largest = (
        source.ranges(None, ignore).largest if scenes_for_ranges is None else source.observe(scenes_for_ranges, ignore)
    )
    return Trial(source, references, largest, folder / "trial")


@pytest.mark.parametrize("everything", [True, False])
def test_keeping_layers_in_float_brings_the_reference_nearer(source, tmp_path, everything):
    layers = frozenset().union(*source.layers().values())
    kept = layers if everything else frozenset(name for name in layers if name.startswith("text."))
    trial = trial_of(source, None, tmp_path)
    with_all, with_some = trial.everything_but(frozenset()), trial.everything_but(kept)
    assert 1 - with_some.cosine_mean < (1 - with_all.cosine_mean) / (1000 if everything else 1.5)


def test_a_layer_alone_is_what_it_is_with_all_others_in_float(source, tmp_path):
    """The quick way (one graph written, pictures seen once) gives what writing the whole model gives."""
    layers = frozenset().union(*source.layers().values())
    trial = trial_of(source, None, tmp_path)
    trial._references = trial._references[:RANKING_SCENES]
    for name in ("visual.merger.mlp.2", "text.layers.0.mlp.down_proj", "head"):
        quick, whole = trial.alone(name), trial.everything_but(layers - {name})
        assert quick.steps == RANKING_SCENES * 10
        for figure in ("motion_shift_mean_m", "cosine_mean", "preference_loss_max", "spread_shift_m"):
            assert getattr(quick, figure) == pytest.approx(getattr(whole, figure), rel=1e-3, abs=1e-6), (name, figure)


def test_int8_that_is_well_within_its_limits_keeps_no_layer_in_float(source):
    choice = choose_fallbacks(source, Scripted({"head": 0.001}), ignore)
    assert choice.moved == ()
    assert choice.everywhere.motion_shift_mean_m == 0.001


def test_most_sensitive_layers_are_kept_in_float_until_the_figures_are_well_within_their_limits(source):
    shifts = {"visual.merger.mlp.2": 0.003, "text.layers.2.self_attn.v_proj": 0.002, "visual.blocks.0.attn.q": 0.001}
    choice = choose_fallbacks(source, Scripted(shifts, rest=0.0025), ignore)
    assert choice.moved == ("visual.merger.mlp.2", "text.layers.2.self_attn.v_proj")
    assert list(choice.table)[:3] == list(shifts), "the most sensitive first"
    assert choice.table["visual.merger.mlp.2"].motion_shift_mean_m == 0.003
    assert set(choice.table) == frozenset().union(*source.layers().values())
    assert sum(row.weight_share for row in choice.table.values()) == pytest.approx(1)


def test_the_weights_moved_to_float_are_limited(source):
    layers = frozenset().union(*source.layers().values())
    choice = choose_fallbacks(source, Scripted(dict.fromkeys(layers, 0.001)), ignore)
    assert 0.8 * LARGEST_SHARE < sum(choice.table[name].weight_share for name in choice.moved) <= LARGEST_SHARE


def test_layers_that_are_kept_anyway_are_no_candidates(source):
    shifts = {"visual.merger.mlp.2": 0.003, "text.layers.2.self_attn.v_proj": 0.002}
    choice = choose_fallbacks(source, Scripted(shifts, rest=0.0025), ignore, kept=frozenset(["visual.merger.mlp.2"]))
    assert "visual.merger.mlp.2" not in choice.moved
    assert choice.moved[0] == "text.layers.2.self_attn.v_proj"
    layers = frozenset().union(*source.layers().values())
    most = choose_fallbacks(source, Scripted(dict.fromkeys(layers, 0.001)), ignore, kept=frozenset(["head"]))
    kept = sum(most.table[name].weight_share for name in (*most.moved, "head"))
    assert 0.8 * LARGEST_SHARE < kept <= LARGEST_SHARE


def test_the_bundle_records_every_layer_and_was_measured_with_the_choice(int8_bundle, source):
    manifest = load_manifest(int8_bundle)
    rows = manifest.calibration["sensitivity"]
    assert {row["layer"] for row in rows} == frozenset().union(*source.layers().values())
    shifts = [row["motion_shift_mean_m"] for row in rows]
    assert shifts == sorted(shifts, reverse=True)
    assert shifts[0] > 10 * shifts[-1] >= 0
    if not manifest.calibration["fallbacks"]:
        everywhere = manifest.calibration["all_quantised"]
        for limit in PARITY_LIMITS:
            assert everywhere[limit.figure] == pytest.approx(manifest.parity[limit.figure], abs=1e-9)
            assert everywhere[limit.figure] <= TARGET_SHARE * limit.bound


@pytest.mark.parametrize("width", [80, 140])
def test_inspect_shows_the_table_with_whole_names(int8_bundle, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    rows = load_manifest(int8_bundle).calibration["sensitivity"]
    for words, count in ((), 10), (("--layers",), len(rows)):
        assert cli.run(["inspect", str(int8_bundle), *words]) == 0
        lines = capsys.readouterr().out.splitlines()
        named = [
            name
            for name in (row["layer"] for row in rows)
            if any(f" {name} " in line and "%" in line for line in lines)
        ]
        assert named == [row["layer"] for row in rows[:count]]


def test_layers_that_random_calibration_hurts_are_found_and_kept_in_float(source, tmp_path):
    """Ranges of random pictures are too narrow for real ones; the language's down_proj suffers most."""
    scenes = random_scenes(source.assets, CALIBRATION.count, np.random.default_rng(CALIBRATION.seed))
    trial = trial_of(source, scenes, tmp_path)
    choice = choose_fallbacks(source, trial, ignore)
    assert choice.moved[0].endswith("mlp.down_proj")
    assert misses(choice.everywhere)
    assert not misses(trial.everything_but(frozenset(choice.moved)))
