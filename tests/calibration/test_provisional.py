"""The provisional thresholds file and the thresholds format."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from onboard_vla.calibration.provisional import TABLE, SceneSignals, provisional_thresholds, scene_signals
from onboard_vla.core.errors import BundleError, ConfigurationError
from onboard_vla.core.plan import PassCount, Plan, Uncertainty
from onboard_vla.core.thresholds import SIGNALS, Threshold, Thresholds


def plan_with(spread: float, chosen: float, stamp_ns: int = 0) -> Plan:
    doubt = dataclasses.replace(Uncertainty.sure(10, spread), chosen_mass=np.full(10, chosen, np.float32))
    return Plan(
        1, stamp_ns, stamp_ns, 0.5, np.zeros((10, 3), np.float32), np.zeros((50, 3), np.float32), (0,) * 10, "fast",
        0.0, "", doubt, PassCount(1, 1, 9), {}, "h",
    )  # fmt: skip


def test_table_file_round_trips_and_claims_nothing(tmp_path):
    made = provisional_thresholds("abc", "int8", created="2026-01-01")
    made.save(tmp_path / "t.json")
    loaded = Thresholds.load(tmp_path / "t.json")
    assert loaded == made
    assert loaded.provisional
    assert loaded.alpha == loaded.delta == 1.0
    assert loaded.n_scenes == 0
    assert {limit.signal: limit.value for limit in loaded.limits} == {name: value for name, (value, _) in TABLE.items()}
    assert "no confidence is claimed" in loaded.provenance


def test_scene_file_takes_extremes_over_scenes_with_stated_factors():
    scenes = [scene_signals("a", [plan_with(0.2, 0.9), plan_with(0.4, 0.8)]), scene_signals("b", [plan_with(0.3, 0.6)])]
    made = provisional_thresholds("abc", "int8", scenes)
    assert made.value("spread_reduce") == pytest.approx(0.5)
    assert made.value("spread_fallback") == pytest.approx(0.8)
    assert made.value("chosen_mass") == pytest.approx(0.3)
    assert made.n_scenes == 2
    assert "3 plans" in next(limit.provenance for limit in made.limits if limit.signal == "spread_reduce")


def test_scenes_must_be_distinct_have_plans_and_be_finite():
    with pytest.raises(ConfigurationError, match="distinct"):
        provisional_thresholds("abc", "int8", [SceneSignals("a", 1, 0.1, 0.9, ())] * 2)
    with pytest.raises(ConfigurationError, match="no plan"):
        scene_signals("a", [])
    with pytest.raises(ConfigurationError, match="not finite"):
        scene_signals("a", [plan_with(float("nan"), 0.5)])


@pytest.mark.parametrize(
    "change",
    [
        {"core_hash": ""},
        {"precision": ""},
        {"provisional": "yes"},
        {"provisional": False},
        {"method": ""},
        {"provenance": ""},
        {"n_scenes": -1},
        {"n_scenes": True},
        {"alpha": 0.05},
        {"delta": 0.0},
        {"delta": float("nan")},
        {"limits": []},
    ],
)
def test_a_changed_field_is_refused_by_name(tmp_path, change):
    document = json.loads(_saved(tmp_path).read_text())
    document.update(change)
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="thresholds"):
        Thresholds.load(tmp_path / "t.json")


@pytest.mark.parametrize("row", range(len(SIGNALS)))
@pytest.mark.parametrize(
    "change",
    [{"value": float("nan")}, {"value": -0.1}, {"value": "0.1"}, {"value": True}, {"unit": "cm"},
     {"direction": "beside"}, {"provenance": ""}, {"signal": "mood"}],
)  # fmt: skip
def test_a_changed_limit_is_refused(tmp_path, row, change):
    document = json.loads(_saved(tmp_path).read_text())
    document["limits"][row].update(change)
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="limits"):
        Thresholds.load(tmp_path / "t.json")


def test_probabilities_above_one_and_swapped_spreads_are_refused():
    made = provisional_thresholds("abc", "int8")
    for signal, value in (("outside_mass", 1.01), ("chosen_mass", 1.01), ("spread_reduce", 1.51)):
        limits = tuple(dataclasses.replace(x, value=value) if x.signal == signal else x for x in made.limits)
        with pytest.raises(BundleError, match=signal):
            dataclasses.replace(made, limits=limits)
    limits = tuple(dataclasses.replace(x, value=1.5) if x.signal == "spread_reduce" else x for x in made.limits)
    assert dataclasses.replace(made, limits=limits).value("spread_reduce") == 1.5


def test_a_file_that_is_not_provisional_needs_scenes():
    made = provisional_thresholds("abc", "int8", [SceneSignals("a", 1, 0.1, 0.9, ())])
    assert dataclasses.replace(made, provisional=False, alpha=0.01, delta=0.05).n_scenes == 1
    with pytest.raises(BundleError, match="n_scenes"):
        dataclasses.replace(made, provisional=False, alpha=0.01, delta=0.05, n_scenes=0)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema": 1}', '{"schema": 2}', '{"schema": 3}', "\x00"])
def test_a_file_of_another_shape_is_refused(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(BundleError, match="thresholds"):
        Thresholds.load(tmp_path / "t.json")


def test_a_missing_or_extra_field_and_a_missing_file_are_refused(tmp_path):
    document = json.loads(_saved(tmp_path).read_text())
    for change in ({k: v for k, v in document.items() if k != "created"}, {**document, "more": 1}):
        (tmp_path / "t.json").write_text(json.dumps(change))
        with pytest.raises(BundleError, match="fields"):
            Thresholds.load(tmp_path / "t.json")
    with pytest.raises(BundleError, match="cannot be read"):
        Thresholds.load(tmp_path / "none.json")


def test_another_core_or_precision_is_refused_with_both_values():
    made = provisional_thresholds("abc", "int8")
    made.require_core("abc", "int8")
    with pytest.raises(BundleError, match=r"core_hash.*'abc'.*'abd'"):
        made.require_core("abd", "int8")
    with pytest.raises(BundleError, match=r"precision.*'int8'.*'fp32'"):
        made.require_core("abc", "fp32")


def test_threshold_rows_are_plain_facts():
    assert [field.name for field in dataclasses.fields(Threshold)] == [
        "signal",
        "value",
        "unit",
        "direction",
        "provenance",
    ]


def _saved(folder):
    path = folder / "t.json"
    provisional_thresholds("abc", "int8").save(path)
    return path


def test_block_medians_of_the_scenes_become_the_drift_reference_when_there_are_enough():
    plans = [plan_with(0.1 + 0.001 * k, 0.9, 10_000_000_000 * block + k * 200_000_000) for block in range(201)
             for k in range(50)]  # fmt: skip
    one, two = scene_signals("a", plans), scene_signals("b", plans[:-45])
    assert one.blocks == pytest.approx((0.1445,) * 201)
    assert two.blocks == pytest.approx((0.1445,) * 200)
    made = provisional_thresholds("abc", "int8", [one, two])
    assert made.drift_reference == (*one.blocks, *two.blocks)
    assert provisional_thresholds("abc", "int8", [one]).drift_reference == ()


def test_a_drift_reference_that_is_too_short_or_no_number_is_refused():
    made = provisional_thresholds("abc", "int8")
    for reference in ((0.1,) * 399, (*(0.1,) * 399, float("nan")), (*(0.1,) * 399, -0.1)):
        with pytest.raises(BundleError, match="drift_reference"):
            dataclasses.replace(made, drift_reference=reference)
    assert dataclasses.replace(made, drift_reference=(0.1,) * 400).drift_reference


def test_a_signal_that_only_some_bundles_deliver_may_have_a_limit_once():
    made = provisional_thresholds("abc", "int8")
    extra = Threshold("vision_ood", 4.0, "distance", "above", "test")
    assert dataclasses.replace(made, limits=(*made.limits, extra)).value("vision_ood") == 4.0
    with pytest.raises(BundleError, match="limits"):
        dataclasses.replace(made, limits=(*made.limits, extra, extra))
