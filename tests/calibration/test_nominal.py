"""From nominal drives to references: statistics that were not fitted on what they judge, blocks, and refusals."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from onboard_vla.calibration import nominal
from onboard_vla.calibration.drift_reference import drift_reference, load_drift_reference
from onboard_vla.calibration.nominal_drives import DriveSignals, drive_signals, load_drives, save_drives
from onboard_vla.calibration.vision_reference import FOLDS, fit_references
from onboard_vla.core.errors import BundleError, ConfigurationError
from onboard_vla.core.plan import PassCount, Plan, Uncertainty
from onboard_vla.export.references import DRIFT_FILE, VISION_FILE
from onboard_vla.runtime.vision_reference import load_reference

WIDTH, PLANS = 24, 320
CAMERAS = ("front", "back")


def plan_with(spread, chosen, stamp_ns=0):
    doubt = dataclasses.replace(Uncertainty.sure(10, spread), chosen_mass=np.full(10, chosen, np.float32))
    return Plan(
        1, stamp_ns, stamp_ns, 0.5, np.zeros((10, 3), np.float32), np.zeros((50, 3), np.float32), (0,) * 10, "fast",
        0.0, "", doubt, PassCount(1, 1, 9), {}, "h",
    )  # fmt: skip


def drive(index, plans=PLANS):
    """Embeddings around a common direction, spread along a few axes that all drives share."""
    rng = np.random.default_rng(index)
    away = rng.normal(size=(len(CAMERAS), plans, WIDTH)) * np.geomspace(0.3, 0.01, WIDTH)
    pooled = {camera: (np.eye(WIDTH)[-1] + away[i]).astype(np.float32) for i, camera in enumerate(CAMERAS)}
    stamps = np.arange(plans, dtype=np.int64) * 200_000_000
    signals = {
        "spread_reduce": (0.1 + 0.01 * rng.random(plans)).astype(np.float32),
        "chosen_mass": np.full(plans, 0.9, np.float32),
    }
    return DriveSignals(f"road-{index}", stamps, signals, pooled)


@pytest.fixture(scope="module")
def drives():
    return [drive(i) for i in range(72)]


def test_one_percent_of_pictures_that_were_not_fitted_on_are_beyond_one(drives):
    references, largest = fit_references(drives)
    assert list(references) == list(CAMERAS)
    unseen = [drive(1000 + i) for i in range(20)]
    for camera in CAMERAS:
        away = [references[camera].distance(row) for d in unseen for row in d.pooled[camera]]
        assert 0.005 < np.mean(np.array(away) > 1.0) < 0.02
    assert [len(row) for row in largest] == [PLANS] * 72
    assert 0.012 < np.mean(np.concatenate(largest) > 1.0) < 0.028  # either of two cameras


def test_distances_come_from_statistics_without_the_drive_itself(drives):
    """One drive that looks like no other is far away by the others' statistics, though all drives together hold it."""
    strange = dataclasses.replace(
        drives[3], pooled={c: np.roll(rows, 5, axis=1) for c, rows in drives[3].pooled.items()}
    )
    _, largest = fit_references([*drives[:3], strange, *drives[4:12]])
    assert np.median(largest[3]) > 3 * max(np.median(row) for i, row in enumerate(largest) if i != 3)


@pytest.mark.parametrize(("count", "plans"), [(FOLDS - 1, PLANS), (FOLDS, 100)])
def test_too_few_drives_or_pictures_are_refused(count, plans):
    with pytest.raises(ConfigurationError, match="vision statistics need"):
        fit_references([drive(i, plans) for i in range(count)])


def test_blocks_are_medians_of_the_last_two_seconds_of_ten(drives):
    vision = [np.full(PLANS, 0.5, np.float32)] * 72
    found = drift_reference(drives, vision)
    blocks = found.blocks
    assert {name: len(values) for name, values in blocks.items()} == dict.fromkeys(
        ("spread_reduce", "chosen_mass", "vision_ood"), 72 * 6
    )
    first = np.median(drives[0].signals["spread_reduce"][40:50])
    assert blocks["spread_reduce"][0] == pytest.approx(float(first), rel=1e-4)
    assert found.tolerance["vision_ood"] == 0.0


def test_the_tolerance_is_what_nineteen_of_twenty_drives_keep():
    drives = [drive(i, 10) for i in range(20)]
    vision = [np.full(10, 0.5 + (0.3 if i == 0 else 0.001 * i), np.float32) for i in range(20)]
    tolerance = drift_reference(drives, vision).tolerance["vision_ood"]
    assert 0.009 < tolerance < 0.03
    aside = [abs(float(np.median(row)) - 0.5105) for row in vision]
    assert sum(value <= tolerance + 1e-6 for value in aside) == 19


def test_a_drive_takes_each_plans_worst_value():
    plans = [plan_with(0.2, 0.9, 1), plan_with(0.4, 0.8, 2)]
    found = drive_signals("a", plans, [{"front": np.ones(3, np.float32)}] * 2)
    assert found.stamps_ns.tolist() == [1, 2]
    assert found.signals["spread_reduce"] == pytest.approx([0.2, 0.4])
    assert found.signals["chosen_mass"] == pytest.approx([0.9, 0.8])
    assert found.pooled["front"].shape == (2, 3)


def test_a_drive_without_plans_or_with_what_is_not_finite_is_refused():
    with pytest.raises(ConfigurationError, match="no plan"):
        drive_signals("a", [], [])
    with pytest.raises(ConfigurationError, match="not finite"):
        drive_signals("a", [plan_with(float("nan"), 0.5)], [{"front": np.ones(3, np.float32)}])
    with pytest.raises(ConfigurationError, match="not finite"):
        drive_signals("a", [plan_with(0.1, 0.5)], [{"front": np.full(3, np.inf, np.float32)}])


def test_both_files_are_written_and_read_back(tmp_path, drives, monkeypatch):
    monkeypatch.setattr(nominal, "fingerprint", lambda folder: "f" * 64)
    save_drives(tmp_path / "drives.npz", drives, "f" * 64, "int8")
    again, *bound = load_drives(tmp_path / "drives.npz")
    assert bound == ["f" * 64, "int8"]
    assert [d.scene_id for d in again] == [d.scene_id for d in drives]
    assert np.allclose(again[5].pooled["back"], drives[5].pooled["back"], rtol=1e-3, atol=1e-3)
    vision, drift = nominal.write_references(tmp_path, tmp_path / "drives.npz")
    assert (vision.name, drift.name) == (VISION_FILE, DRIFT_FILE)
    assert load_reference(vision, dict.fromkeys(CAMERAS, WIDTH))["front"].unit > 0
    assert len(load_drift_reference(drift).blocks["vision_ood"]) == 72 * 6
    assert json.loads(drift.read_text())["precision"] == "int8"


def test_drives_of_another_checkpoint_are_refused(tmp_path, drives, capsys):
    save_drives(tmp_path / "drives.npz", drives[:7], "e" * 64, "int8")
    assert nominal.main([str(tmp_path), "--drives", str(tmp_path / "drives.npz")]) == 1
    assert "drive again" in capsys.readouterr().err
    assert nominal.main([str(tmp_path), "--drives", str(tmp_path / "none.npz")]) == 1
    assert "cannot be read as a file of nominal drives" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"blocks": 3, "tolerance": {}}', '{"blocks": {"spread_reduce": [0.1]}, "tolerance": {}}']
)
def test_a_damaged_drift_reference_is_refused(tmp_path, text):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(BundleError, match=r"drift.reference"):
        load_drift_reference(tmp_path / "d.json")
