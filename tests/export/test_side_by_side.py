"""`onboard-vla compare`: bundles of one model side by side."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.app import cli
from onboard_vla.core.errors import BundleError
from onboard_vla.export import bundle_writer, side_by_side
from onboard_vla.export.activation_ranges import RANGES_FILE
from onboard_vla.export.golden import load_golden
from onboard_vla.export.pass_times import PassTimes, time_passes
from onboard_vla.export.side_by_side import compare_bundles
from onboard_vla.export.source import GOLDEN
from onboard_vla.export.verification import verify
from onboard_vla.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def entries(fp32_bundle, int8_bundle):
    return compare_bundles([fp32_bundle, int8_bundle], rounds=2)


def test_the_figures_are_those_of_verify(entries, int8_bundle, fp32_bundle):
    first, second = entries
    assert first.figures is None
    expected = verify(int8_bundle).figures.as_table()
    for name, value in second.figures.as_table().items():
        assert value == pytest.approx(expected[name], rel=1e-4, abs=1e-4), name
    assert (first.precision, second.precision) == ("fp32", "int8")
    assert 0.25 < second.graph_bytes / first.graph_bytes <= 0.27
    assert first.bundle_bytes == sum(file.stat().st_size for file in fp32_bundle.rglob("*") if file.is_file()) - (
        (fp32_bundle / "manifest.json").stat().st_size
    )


def test_the_expert_is_that_of_the_scenes(fp32_bundle, int8_bundle, reference_checkpoint, tmp_path):
    """An expert that says what float32 says: float32 errs by nothing, INT8 by what its plans moved."""
    bundle = Bundle.open(fp32_bundle)
    golden = [load_golden(bundle.path / name) for name in bundle.manifest.golden]
    with np.load(reference_checkpoint / "golden_scenes.npz") as archive:
        arrays = dict(archive) | {"action_tokens": np.stack([item.reference.tokens for item in golden])}
    np.savez(tmp_path / "scenes.npz", **arrays)
    first, second = compare_bundles([fp32_bundle, int8_bundle], tmp_path / "scenes.npz", rounds=1)
    assert first.expert_ade_m == first.expert_fde_m == 0
    assert second.expert_ade_m == pytest.approx(second.figures.ade_mean_m, rel=1e-6)
    assert 0 < second.expert_ade_3s_m < second.expert_ade_m < second.expert_fde_m


def test_times_are_of_all_passes_and_add_up_to_a_plan(entries, fp32_bundle):
    for entry in entries:
        times = entry.times
        assert times.rounds == 2
        assert 150 < times.prompt_tokens < 200
        assert min(times.vision_ms, times.prefill_ms, times.decode_ms, times.lone_decode_ms) > 0.05
        assert times.decode_ms < times.prefill_ms
    assert PassTimes(1, 1, 10.0, 20.0, 2.0, 1.0).plan_ms(10) == 10 + 20 + 9 * 2


def test_the_passes_timed_are_those_of_a_plan(fp32_bundle, monkeypatch):
    runs = []
    original = side_by_side.time_passes.__globals__["OnnxEngine"].run

    def counted(engine, inputs, outputs):
        runs.append((engine.name, len(inputs["patches"]) if "patches" in inputs else len(inputs["embeds"])))
        return original(engine, inputs, outputs)

    bundle = Bundle.open(fp32_bundle)
    monkeypatch.setattr(side_by_side.time_passes.__globals__["OnnxEngine"], "run", counted)
    monkeypatch.setitem(time_passes.__globals__, "WARM_UP", 0)
    (times,) = time_passes([bundle], load_golden(bundle.path / bundle.manifest.golden[0]).scene, 1)
    vision, language = runs[:6], runs[6:]
    assert [pairs for _, pairs in vision] == [2] * 6
    assert {name for name, _ in vision} == {"vision_8x12.onnx", "vision_4x4.onnx"}
    prompt = times.prompt_tokens
    assert [tokens for _, tokens in language] == [prompt, *[2] * 9, prompt, *[1] * 9], "doubled rows, then lone ones"


def test_bundles_that_answer_in_other_words_are_refused(fp32_bundle, int8_bundle, monkeypatch):
    opened = Bundle.open(int8_bundle)
    actions = replace(opened.manifest.actions, step_s=0.4)
    other = replace(opened, manifest=replace(opened.manifest, actions=actions))
    original = side_by_side.Bundle.open
    monkeypatch.setattr(side_by_side.Bundle, "open", lambda path: other if path == int8_bundle else original(path))
    with pytest.raises(BundleError, match="cannot be compared: their actions differ"):
        compare_bundles([fp32_bundle, int8_bundle])


def test_a_checkpoint_is_exported_in_all_its_precisions(reference_checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bundle_writer, "PRECISIONS", ("fp32", "int8"))
    words = ["compare", str(reference_checkpoint), "--out", str(tmp_path), "--rounds", "1"]
    assert cli.run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["bundle"] for entry in document["bundles"]] == [str(tmp_path / name) for name in ("fp32", "int8")]
    assert document["bundles"][1]["figures"]["fork_agreement"] >= 0.9
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.run(["compare", str(tmp_path / "fp32"), str(tmp_path / "int8"), "--rounds", "1"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    for word in (
        "golden scenes (golden_scenes.npz), n = 10",
        "same fork",
        "decode, a token, one row",
        "distance from the expert",
    ):
        assert word in page


@pytest.fixture
def bare(reference_checkpoint, tmp_path, monkeypatch):
    """A checkpoint as a training leaves it, and the two precisions that this takes the time for."""
    monkeypatch.setattr(bundle_writer, "PRECISIONS", ("fp32", "int8"))
    ignored = shutil.ignore_patterns(RANGES_FILE, GOLDEN.file)
    return shutil.copytree(reference_checkpoint, tmp_path / "bare", ignore=ignored)


def test_a_checkpoint_without_scenes_is_refused_before_any_work_or_marked_in_table_and_document(
    bare, tmp_path, capsys, monkeypatch
):
    words = ["compare", str(bare), "--out", str(tmp_path / "out"), "--rounds", "1"]
    assert cli.run(words) == 1
    error = capsys.readouterr().err
    for word in ("no calibration scenes", "no golden scenes", "--calibration-scenes", "bundles instead"):
        assert word in error
    assert not (tmp_path / "out").exists()

    monkeypatch.setenv("COLUMNS", "200")
    assert cli.run([*words, "--unjudged"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "golden scenes (random, seed 1), n = 4" in page
    assert re.search(r"UNJUDGED\W+nothing\W+no calibration scenes; no golden scenes\W", page)
    assert cli.run(["compare", *(str(tmp_path / "out" / name) for name in ("fp32", "int8")), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [len(entry["unjudged"]) for entry in document["bundles"]] == [0, 2]


def test_scenes_given_to_a_comparison_are_those_of_its_exports(bare, reference_checkpoint, tmp_path, capsys):
    few, given = {"golden": 2, "calibration": 3}, []
    with np.load(reference_checkpoint / GOLDEN.file) as archive:
        for name, count in few.items():
            np.savez(tmp_path / f"{name}.npz", **{key: archive[key][:count] for key in archive.files})
            given += [f"--{name}-scenes", str(tmp_path / f"{name}.npz")]
    words = ["compare", str(bare), "--out", str(tmp_path / "out"), "--rounds", "1", "--json"]
    assert cli.run([*words, *given]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["unjudged"] for entry in document["bundles"]] == [[], []]
    manifest = Bundle.open(tmp_path / "out" / "int8").manifest
    assert (manifest.calibration["scenes"], manifest.parity["scenes"]) == (3, 2)


def test_a_precision_that_misses_a_limit_is_said_beside_the_others(
    fp32_bundle, reference_checkpoint, tmp_path, capsys, monkeypatch
):
    def exported(checkpoint, _out, *, precision, **_):
        if precision == "int8":
            raise BundleError(f"{precision} export of {checkpoint} is too far")
        return fp32_bundle

    monkeypatch.setattr(bundle_writer, "PRECISIONS", ("fp32", "int8"))
    monkeypatch.setattr(bundle_writer, "export_bundle", exported)
    reason = f"int8 export of {reference_checkpoint} is too far"
    words = ["compare", str(reference_checkpoint), "--out", str(tmp_path / "out"), "--rounds", "1"]
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.run(words) == 1
    page = capsys.readouterr().out
    assert re.search(r"int8\W+refused", page)
    assert f"int8: {reason}" in page
    assert "decode, a token, one row" in page

    assert cli.run([*words, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["refused"] == [{"precision": "int8", "reason": reason}]
    assert [entry["precision"] for entry in document["bundles"]] == ["fp32"]

    monkeypatch.setattr(bundle_writer, "PRECISIONS", ("int8",))
    assert cli.run(words) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--scenes", "--golden-scenes", "--calibration-scenes"])
@pytest.mark.parametrize("fault", ["missing", "of another model"])
def test_scenes_that_do_not_serve_are_refused_before_any_export(reference_checkpoint, tmp_path, capsys, option, fault):
    path = tmp_path / "scenes.npz"
    if fault == "of another model":
        with np.load(reference_checkpoint / GOLDEN.file) as archive:
            arrays = {name: array[:1] for name, array in archive.items() if name != "images_front"}
        np.savez(path, **arrays)
    words = ["compare", str(reference_checkpoint), "--out", str(tmp_path / "out"), option, str(path)]
    assert cli.run(words) == 1
    assert str(path) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_bundle_is_refused_before_any_export(reference_checkpoint, tmp_path, capsys):
    words = ["compare", str(reference_checkpoint), str(tmp_path), "--out", str(tmp_path / "out")]
    assert cli.run(words) == 1
    assert f"{tmp_path} is no bundle" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_export_options_beside_bundles_alone_are_refused(fp32_bundle, capsys):
    assert cli.run(["compare", str(fp32_bundle), "--unjudged"]) == 64
    assert "no checkpoint is named" in capsys.readouterr().err


def test_a_ckpt_that_is_none_is_named_before_any_export(reference_checkpoint, tmp_path, capsys):
    pytest.importorskip("torch")
    (tmp_path / "AutoVLA.ckpt").write_bytes(b"")
    words = ["compare", str(tmp_path / "AutoVLA.ckpt"), "--model", str(reference_checkpoint), "--out"]
    assert cli.run([*words, str(tmp_path / "out")]) == 1
    assert f"{tmp_path / 'AutoVLA.ckpt'}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
