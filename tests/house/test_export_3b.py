"""The benchmark of an export at full size: both formats hold the same model, and its whole path runs at small size."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.export.checkpoint import Checkpoint

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_both_formats_hold_the_same_model(benchmarks, tmp_path):
    pytest.importorskip("torch")
    checkpoints, tiny = benchmarks("export_3b_checkpoint"), benchmarks("gpu_plan_parts").TINY
    for name in ("shards", "lightning"):
        checkpoints.make_checkpoint(tmp_path / name, 1, 1, tiny, lightning=name == "lightning")
    shards, lightning = Checkpoint(tmp_path / "shards"), Checkpoint(tmp_path / "lightning")
    assert [file.suffix for file in tmp_path.rglob("last.*")] == [".ckpt"]
    for name in shards._names:
        np.testing.assert_array_equal(lightning.tensor(name), shards.tensor(name), err_msg=name)
    assert shards.embedding_type is np.float32, "trained embeddings are no fp16 numbers"


@pytest.mark.parametrize(
    ("seconds", "peak_gib", "calibrate", "missed"),
    [
        (300.0, 4.0, 0, []),
        (300.1, 4.0, 0, ["seconds"]),
        (2964.0, 4.53, 0, ["seconds", "peak_rss_gib"]),
        (2964.0, 8.0, 2, []),
        (1.0, 8.1, 2, ["peak_rss_gib_calibrated"]),
        (float("nan"), 1.0, 0, ["seconds"]),
    ],
)
def test_each_aim_that_is_missed_is_named_with_golden_scenes_or_without(
    benchmarks, seconds, peak_gib, calibrate, missed
):
    found = benchmarks("export_3b").missed_aims(seconds, peak_gib, calibrate)
    assert [words.split(":")[0] for words in found] == missed


def test_the_whole_path_at_small_size_leaves_nothing(benchmarks, tmp_path, monkeypatch, capsys):
    bench, tiny = benchmarks("export_3b"), benchmarks("gpu_plan_parts").TINY
    make = benchmarks("export_3b_checkpoint").make_checkpoint
    monkeypatch.setattr(bench, "make_checkpoint", lambda *given, **form: make(*given, config=tiny, **form))
    words = f"export_3b --folder {tmp_path}/work --layers 1 --calibrate 2 --golden 1 --formats lightning --json"
    monkeypatch.setattr(sys, "argv", words.split())
    assert bench.main() == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["format"], row["calibration_scenes"], row["embeddings"]) == ("lightning", 2, "float32")
    assert row["golden_scenes"] == 1
    assert row["golden_bytes"] > 50_000, "pictures and references"
    assert row["stages"]["verify"]["peak_rss_mib"] <= row["peak_rss_gib"] * 1024 + 10
    assert 0 < sum(took["seconds"] for took in row["stages"].values()) <= row["seconds"]
    assert row["peak_rss_gib"] > 0
    assert "within_aims" not in row, "the aims are the whole model's"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("calibrate", "missed"), [(0, ["seconds"]), (64, [])])
def test_a_projection_is_held_against_the_aims_and_not_the_few_layers(
    benchmarks, tmp_path, monkeypatch, calibrate, missed
):
    bench = benchmarks("export_3b")
    took = {2: 40.0, 4: 65.0}

    def measure(_folder, _name, layers, *_):
        return {"seconds": took[layers], "processor_seconds": 2 * took[layers], "peak_rss_gib": 3.0, "stages": {}}

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "layer_weights", lambda layers, _blocks: layers * 1000)
    found = bench.project(tmp_path, calibrate, 0, (2, 4))
    assert found["projected_seconds_of_all_layers"] == round(40 + 12.5 * (bench.TEXT["num_hidden_layers"] - 2))
    assert [words.split(":")[0] for words in found["missed_aims"]] == missed
    assert found["within_aims"] == (not missed)
