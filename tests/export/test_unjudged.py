"""Without scenes nobody judges a bundle: refused unless asked for, and then said wherever the bundle is looked at."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from onboard_vla.app import cli
from onboard_vla.app.ros.check import _bundle
from onboard_vla.calibration.provisional import thresholds_of
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.export.activation_ranges import RANGES_FILE
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.source import CALIBRATION, GOLDEN
from onboard_vla.export.verification import verify
from onboard_vla.runtime.engine_cache import GATE, RECORD, write_gate
from onboard_vla.runtime.planner_host import PLANNER_ROLE, build_planner_host
from onboard_vla.safety.supervisor_host import supervisor_role

CALIBRATION_WORDS, GOLDEN_WORDS = "no calibration scenes", "no golden scenes"


@pytest.fixture(scope="module")
def bare(reference_checkpoint, tmp_path_factory):
    """The reference checkpoint without ranges and scenes, as somebody's training leaves one."""
    folder = tmp_path_factory.mktemp("bare") / "checkpoint"
    return shutil.copytree(reference_checkpoint, folder, ignore=shutil.ignore_patterns(RANGES_FILE, GOLDEN.file))


@pytest.fixture(scope="module")
def unjudged(bare, tmp_path_factory):
    return export_bundle(bare, tmp_path_factory.mktemp("unjudged") / "bundle", unjudged=True)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), (CALIBRATION_WORDS, GOLDEN_WORDS)),
        ((GOLDEN.file,), (CALIBRATION_WORDS,)),
        ((RANGES_FILE,), (GOLDEN_WORDS,)),
    ],
    ids=["neither", "golden alone", "ranges alone"],
)
def test_random_pictures_are_refused_and_what_is_missing_is_named(
    bare, reference_checkpoint, tmp_path, capsys, given, missing
):
    checkpoint = shutil.copytree(bare, tmp_path / "checkpoint")
    for name in given:
        shutil.copyfile(reference_checkpoint / name, checkpoint / name)
    status = cli.run(["export", str(checkpoint), "--out", str(tmp_path / "bundle")])
    error = capsys.readouterr().err
    assert status == 1
    assert [words for words in (CALIBRATION_WORDS, GOLDEN_WORDS) if words in error] == list(missing)
    assert "--golden-scenes" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_half_precision_needs_golden_scenes_alone_and_float32_none(bare, tmp_path, capsys):
    words = ["export", str(bare), "--out", str(tmp_path / "bundle"), "--precision"]
    assert cli.run([*words, "fp16"]) == 1
    error = capsys.readouterr().err
    assert (GOLDEN_WORDS in error, CALIBRATION_WORDS in error) == (True, False)
    assert cli.run([*words, "fp32"]) == 0
    assert load_manifest(tmp_path / "bundle").unjudged == ()


def test_what_was_asked_for_is_said_wherever_the_bundle_is_looked_at(unjudged, tmp_path, capsys):
    points = load_manifest(unjudged).unjudged
    assert [point.split(" (")[0] for point in points] == [CALIBRATION_WORDS, GOLDEN_WORDS]
    assert cli.run(["inspect", str(unjudged)]) == 0
    assert CALIBRATION_WORDS.upper() in " ".join(capsys.readouterr().out.split())
    assert CALIBRATION_WORDS in _bundle(unjudged)
    (tmp_path / RECORD).write_text("{}")
    write_gate(tmp_path, {}, [], points)
    assert json.loads((tmp_path / GATE).read_text())["unjudged"] == list(points)


def test_good_figures_do_not_pass_a_bundle_with_random_ranges(bare, reference_checkpoint, tmp_path, capsys):
    checkpoint = shutil.copytree(bare, tmp_path / "checkpoint")
    shutil.copyfile(reference_checkpoint / GOLDEN.file, checkpoint / GOLDEN.file)
    bundle = export_bundle(checkpoint, tmp_path / "bundle", unjudged=True)
    assert cli.run(["verify", str(bundle), "--json"]) == 1
    missed = json.loads(capsys.readouterr().out)["missed"]
    assert missed[0].startswith("not all was judged: no calibration scenes")


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_bundle_says_that_it_was_judged_on_what_it_was_calibrated_on(
    bare, reference_checkpoint, tmp_path, capsys, precision
):
    checkpoint = shutil.copytree(bare, tmp_path / "checkpoint")
    golden = tmp_path / "golden.npz"
    with np.load(reference_checkpoint / GOLDEN.file) as archive:
        np.savez(golden, **{name: archive[name][:1] for name in archive.files})
    shutil.copyfile(golden, checkpoint / CALIBRATION.file)
    options = {"precision": precision, "golden_scenes": golden, "fallbacks": ()}
    bundle = export_bundle(checkpoint, tmp_path / "bundle", **options)
    assert cli.run(["inspect", str(bundle)]) == 0
    said = "which it was calibrated on" in " ".join(capsys.readouterr().out.split())
    assert said == (precision == "int8"), "fp16 has no ranges"


def test_verify_judges_no_more_than_the_export_did(unjudged, capsys):
    assert "limits" not in load_manifest(unjudged).parity
    assert cli.run(["verify", str(unjudged), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["limits"] == {}
    assert document["missed"] == [f"nothing was judged: {'; '.join(document['unjudged'])}"]
    assert document["unjudged"] == list(load_manifest(unjudged).unjudged)


def test_verify_holds_a_bundle_to_the_limits_that_its_export_held_it_to(int8_bundle):
    manifest, result = load_manifest(int8_bundle), verify(int8_bundle)
    assert manifest.unjudged == result.unjudged == ()
    assert {limit.figure: limit.bound for limit in result.limits} == manifest.parity["limits"]
    for name in manifest.parity["limits"]:
        assert result.figures.as_table()[name] == pytest.approx(manifest.parity[name], rel=1e-6, abs=1e-6), name


def test_the_planner_says_at_its_start_that_nobody_judged_its_bundle(unjudged, capfd):
    build_planner_host(PLANNER_ROLE.values({"bundle": str(unjudged)}))
    said = [json.loads(line) for line in "".join(capfd.readouterr()).splitlines() if "bundle_unjudged" in line]
    assert [event["points"] for event in said] == [list(load_manifest(unjudged).unjudged)]


def started(bundle, folder, **options):
    path = folder / "thresholds.json"
    thresholds_of(bundle).save(path)
    role = supervisor_role(yaml.compose)
    return role.build(role.values({"thresholds": str(path), "bundle": str(bundle), **options}))


def test_a_vehicles_supervisor_takes_no_unjudged_bundle(unjudged, int8_bundle, tmp_path):
    with pytest.raises(ConfigurationError, match=r"is unjudged \(no calibration scenes .* the profile is vehicle"):
        started(unjudged, tmp_path, profile="vehicle")
    started(unjudged, tmp_path, profile="simulation")
    started(int8_bundle, tmp_path, profile="vehicle")
