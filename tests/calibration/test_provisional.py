"""The provisional thresholds file and the thresholds format."""

from __future__ import annotations

import dataclasses
import json

import pytest

from onboard_vla.app.straight_road.stand_in_bundle import write_stand_in_bundle
from onboard_vla.calibration.drift_reference import DriftReference
from onboard_vla.calibration.provisional import TABLE, provisional_thresholds, thresholds_of
from onboard_vla.core.errors import BundleError
from onboard_vla.core.thresholds import DRIFT_BLOCKS_MIN, SIGNALS, Threshold, Thresholds

FEW = (0.1,) * (DRIFT_BLOCKS_MIN - 1)


def test_table_file_round_trips_and_claims_nothing(tmp_path):
    made = provisional_thresholds("abc", "int8", created="2026-01-01")
    made.save(tmp_path / "t.json")
    loaded = Thresholds.load(tmp_path / "t.json")
    assert loaded == made
    assert loaded.provisional
    assert loaded.alpha == loaded.delta == 1.0
    assert loaded.n_scenes == 0
    assert {limit.signal: limit.value for limit in loaded.limits} == {name: TABLE[name][0] for name in SIGNALS}
    assert "no confidence is claimed" in loaded.provenance


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
    made = provisional_thresholds("abc", "int8")
    assert dataclasses.replace(made, provisional=False, alpha=0.01, delta=0.05, n_scenes=1).n_scenes == 1
    with pytest.raises(BundleError, match="n_scenes"):
        dataclasses.replace(made, provisional=False, alpha=0.01, delta=0.05, n_scenes=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"schema": 1}',
        '{"schema": 2}',
        '{"schema": 3}',
        '{"schema": 4}',
        '{"schema": 5}',
        "\x00",
    ],
)
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


@pytest.mark.parametrize(
    "reference",
    [
        {"spread_reduce": FEW},
        {"spread_reduce": (*FEW, float("nan"))},
        {"spread_reduce": (*FEW, -0.1)},
        {"spread_reduce": (*FEW, "1")},
        {"mood": (0.1,) * 400},
        {"vision_ood": (0.1,) * 400},
    ],
)
def test_a_drift_reference_that_is_too_short_unknown_or_no_number_is_refused(reference):
    made = provisional_thresholds("abc", "int8")
    with pytest.raises(BundleError, match="drift_reference"):
        dataclasses.replace(made, drift_reference=reference)


def test_drift_is_referred_to_the_signals_that_the_core_delivers(tmp_path):
    blocks = {"spread_reduce": (0.1,) * 400, "vision_ood": (0.5,) * 400}
    drift = DriftReference(blocks, {"spread_reduce": 0.05, "vision_ood": 0.2})
    without = provisional_thresholds("abc", "int8", drift=drift)
    assert (without.drift_reference, without.has("vision_ood")) == ({"spread_reduce": (0.1,) * 400}, False)
    assert without.drift_tolerance == {"spread_reduce": 0.05}
    made = provisional_thresholds("abc", "int8", vision=True, drift=drift)
    assert (made.drift_reference, made.value("vision_ood")) == (blocks, TABLE["vision_ood"][0])
    assert made.drift_tolerance == drift.tolerance
    made.save(tmp_path / "t.json")
    assert Thresholds.load(tmp_path / "t.json") == made
    for damaged in ([0.1] * 400, {"spread_reduce": 0.1}, None):
        document = {**json.loads((tmp_path / "t.json").read_text()), "drift_reference": damaged}
        (tmp_path / "d.json").write_text(json.dumps(document))
        with pytest.raises(BundleError, match="drift_reference: expected a table of lists"):
            Thresholds.load(tmp_path / "d.json")


@pytest.mark.parametrize("tolerance", [{"vision_ood": 0.1}, {"spread_reduce": -0.1}, {"spread_reduce": "1"}, [0.1]])
def test_a_tolerance_of_no_watched_signal_or_that_is_no_number_is_refused(tolerance):
    made = provisional_thresholds("abc", "int8", drift=DriftReference({"spread_reduce": (0.1,) * 400}, {}))
    with pytest.raises(BundleError, match="drift_tolerance"):
        dataclasses.replace(made, drift_tolerance=tolerance)


def test_a_bundle_without_references_has_thresholds_without_them(tmp_path):
    manifest = write_stand_in_bundle(tmp_path, "int8")
    made = thresholds_of(tmp_path)
    made.require_core(manifest.core_hash, "int8")
    assert (made.has("vision_ood"), made.drift_reference, made.provisional) == (False, {}, True)
