"""Engines are built, judged and admitted on the target; what is stale, foreign or deviates is refused.

The target is a stand-in: TensorRT's published members over ONNX Runtime, so the gate's arithmetic is real.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from onnx import numpy_helper

from onboard_vla.core.bundle_manifest import sha256_of
from onboard_vla.core.errors import BundleError, ConfigurationError, EngineError, EnvironmentLacksError
from onboard_vla.export.aside import alone
from onboard_vla.export.engine_build import build_engines
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine_cache import GATE, RECORD, TIMING, EngineCache, Target, power_mode
from onboard_vla.runtime.engine_choice import build_flags, engine_loader, engines_folder
from onboard_vla.runtime.engine_gate import gate_bounds, gate_misses
from onboard_vla.runtime.language_model import LEAST_ROWS
from onboard_vla.runtime.tensorrt_engine import TensorRtEngine

from ..runtime.fake_gpu import FakeGpu
from ..runtime.fake_tensorrt import MAGIC, VERSIONS, Module


@pytest.fixture(scope="module")
def built(int8_bundle, tmp_path_factory):
    """A folder of engines of the INT8 bundle, built by the older TensorRT; its module and what the gate found."""
    gpu = FakeGpu()
    trt, out = Module(VERSIONS[0], gpu), tmp_path_factory.mktemp("engines") / "engines"
    figures = build_engines(trt, int8_bundle, out, gpu)
    return out, trt, gpu, figures


@pytest.fixture
def engines(built, tmp_path):
    """A copy to break."""
    shutil.copytree(built[0], tmp_path / "engines")
    return tmp_path / "engines"


def admitted(engines, bundle, trt, gpu):
    opened = Bundle.open(bundle)
    return EngineCache.admitted(engines, opened, Target.of(trt, gpu), build_flags(opened))


def test_engines_pass_the_gate_with_the_figures_of_the_graphs_that_they_were_built_from(built, int8_bundle):
    out, trt, gpu, figures = built
    parity = Bundle.open(int8_bundle).manifest.parity
    assert figures.scenes == parity["scenes"] > 0
    for name in ("cosine_mean", "spread_shift_m", "preference_loss_max", "ade_mean_m"):
        assert getattr(figures, name) == pytest.approx(parity[name], abs=1e-4), name
    assert admitted(out, int8_bundle, trt, gpu).plan("language.onnx").startswith(MAGIC)
    assert gpu.calls.count("launch_graph") > figures.scenes, "the gate ran captured graphs, too"
    assert {file.name for file in out.iterdir()} >= {RECORD, GATE, TIMING, "language.plan"}


def test_profiles_are_for_prefill_and_for_decoding(built):
    _, trt, _, _ = built
    language = trt.seen.profiles[-1]
    assert len(language) == 2
    assert language[0]["embeds"][2][0] > language[1]["embeds"][2][0] == 32


def test_a_second_build_starts_from_what_the_first_one_timed(built, int8_bundle, engines):
    trt = Module(VERSIONS[0], gpu := FakeGpu())
    build_engines(trt, int8_bundle, engines, gpu)
    assert trt.seen.caches[0] == (built[0] / TIMING).read_bytes() != b""


def change(engines, **fields):
    document = json.loads((engines / RECORD).read_text())
    for name, value in fields.items():
        part = document["target"] if name in document["target"] else document
        part[name] = value
    (engines / RECORD).write_text(json.dumps(document))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Target)])
def test_engines_of_another_target_are_refused_with_both_values(engines, built, int8_bundle, field):
    _, trt, gpu, _ = built
    change(engines, **{field: "another"})
    here = getattr(Target.of(trt, gpu), field)
    with pytest.raises(BundleError, match=f"{field} of these engines is 'another', here it is '{here}': build again"):
        admitted(engines, int8_bundle, trt, gpu)


def test_engines_of_another_bundle_or_other_flags_are_refused(engines, built, int8_bundle, fp32_bundle):
    _, trt, gpu, _ = built
    with pytest.raises(BundleError, match="core_hash of these engines is"):
        admitted(engines, fp32_bundle, trt, gpu)
    document = json.loads((engines / RECORD).read_text())
    document["flags"]["capacity"] -= 1
    (engines / RECORD).write_text(json.dumps(document))
    with pytest.raises(BundleError, match=r"flags\.capacity of these engines is"):
        admitted(engines, int8_bundle, trt, gpu)


def test_a_stale_graph_or_a_damaged_plan_is_refused(engines, built, int8_bundle):
    _, trt, gpu, _ = built
    document = json.loads((engines / RECORD).read_text())
    document["engines"]["language.onnx"]["graph_sha256"] = "0" * 64
    (engines / RECORD).write_text(json.dumps(document))
    with pytest.raises(BundleError, match=r"language\.onnx had sha256 0+, it has"):
        admitted(engines, int8_bundle, trt, gpu)
    shutil.copyfile(built[0] / RECORD, engines / RECORD)
    with (engines / "language.plan").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=r"language\.plan is missing or damaged"):
        admitted(engines, int8_bundle, trt, gpu)


def test_engines_without_a_gate_or_with_anothers_are_refused(engines, built, int8_bundle):
    _, trt, gpu, _ = built
    gate = json.loads((engines / GATE).read_text())
    (engines / GATE).write_text(json.dumps(gate | {"engines_sha256": "0" * 64}))
    with pytest.raises(BundleError, match=r"gate\.json judged engines of record '0+'"):
        admitted(engines, int8_bundle, trt, gpu)
    (engines / GATE).unlink()
    with pytest.raises(BundleError, match=r"gate\.json is missing: build again"):
        admitted(engines, int8_bundle, trt, gpu)


@pytest.mark.parametrize(
    ("figure", "value"), [("cosine_mean", 0.9), ("spread_shift_m", -1.0), ("ade_mean_m", float("nan"))]
)
def test_a_gate_file_whose_figures_miss_a_bound_admits_nothing(engines, built, int8_bundle, figure, value):
    _, trt, gpu, _ = built
    gate = json.loads((engines / GATE).read_text())
    gate["figures"][figure], gate["missed"] = value, []
    (engines / GATE).write_text(json.dumps(gate))
    with pytest.raises(BundleError, match=f"did not pass the parity gate: {figure} is"):
        admitted(engines, int8_bundle, trt, gpu)


def planted(change):
    """A compiler that changes the language model's head before it builds."""

    def build(trt):
        original = trt.Builder.build_serialized_network

        def deviating(self, network, config):
            for tensor in network._model.graph.initializer:
                if tensor.name == "head.weight":
                    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
            return original(self, network, config)

        trt.Builder.build_serialized_network = deviating

    return build


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        (lambda head: head * np.float32(0.7), "spread_shift_m"),
        (lambda head: np.roll(head, 1, axis=1), "cosine_mean"),
        (
            lambda head: head + np.random.default_rng(0).normal(0, head.std() / 3, head.shape).astype(np.float32),
            "cosine",
        ),
        (lambda head: head * np.float32("nan"), "is nan"),
    ],
    ids=["flatter", "shifted", "noisy", "nan"],
)
def test_planted_deviations_do_not_pass_and_leave_nothing(fp32_bundle, tmp_path, change, missed):
    trt = Module(VERSIONS[1], gpu := FakeGpu())
    planted(change)(trt)
    with pytest.raises(BundleError, match=f"did not pass the parity gate: .*{missed}"):
        build_engines(trt, fp32_bundle, tmp_path / "engines", gpu)
    assert not list(tmp_path.iterdir())


def few_tokens(passes):
    """Passes over one token (the runtime doubles it)."""
    return len(passes["embeds"]) <= LEAST_ROWS


def several_tokens(passes):
    """Passes over the actions that were guessed."""
    return LEAST_ROWS < len(passes["embeds"]) < 20


@pytest.mark.parametrize(
    ("broken", "change", "missed"),
    [
        (few_tokens, 0.0, "ade_mean_m"),
        (few_tokens, 0.7, "spread_shift_m"),
        (few_tokens, float("nan"), "is nan"),
        (several_tokens, 0.7, "spread_shift_m"),
        (several_tokens, float("nan"), "is nan"),
    ],
)
def test_engines_that_decode_wrongly_do_not_pass(fp32_bundle, tmp_path, monkeypatch, broken, change, missed):
    run, hit = TensorRtEngine.run, []

    def breaking(self, inputs, outputs):
        run(self, inputs, outputs)
        if "embeds" in inputs and broken(inputs):
            hit.append(len(inputs["embeds"]))
            outputs["logits"][...] *= np.float32(change)

    monkeypatch.setattr(TensorRtEngine, "run", breaking)
    gpu = FakeGpu()
    with pytest.raises(BundleError, match=f"did not pass the parity gate: .*{missed}"):
        build_engines(Module(VERSIONS[1], gpu), fp32_bundle, tmp_path / "engines", gpu)
    assert len(hit) >= 10, "a pass or more of every golden scene"
    assert not list(tmp_path.iterdir())


def test_a_failed_build_leaves_the_older_engines(engines, built, int8_bundle, monkeypatch):
    _, trt, gpu, _ = built
    monkeypatch.setattr(trt.Builder, "build_serialized_network", lambda *_: None)
    before = sha256_of(engines / RECORD)
    with pytest.raises(EngineError, match="the compiler gives up"):
        build_engines(trt, int8_bundle, engines, gpu)
    assert sha256_of(engines / RECORD) == before
    assert [file.name for file in engines.parent.iterdir()] == ["engines"]


def test_older_engines_outlive_whatever_ends_the_exchange(engines, int8_bundle, monkeypatch):
    """An error while the new ones are moved, and a kill between the two moves, which the next build makes good."""
    before, rename = sha256_of(engines / RECORD), os.rename
    trt = Module(VERSIONS[0], gpu := FakeGpu())

    def failing(source, target):
        if target == engines and source.name != "replaced":
            raise OSError("the disk went away")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="went away"):
        build_engines(trt, int8_bundle, engines, gpu)
    monkeypatch.undo()
    assert sha256_of(engines / RECORD) == before
    assert [file.name for file in engines.parent.iterdir()] == ["engines"]

    (partial := engines.parent / ".engines.partial").mkdir()
    rename(engines, partial / "replaced")
    monkeypatch.setattr(trt.Builder, "build_serialized_network", lambda *_: None)
    with pytest.raises(EngineError, match="the compiler gives up"):
        build_engines(trt, int8_bundle, engines, gpu)
    assert sha256_of(engines / RECORD) == before


def test_two_builds_at_one_place_are_told_of_each_other(engines, int8_bundle):
    before = sha256_of(engines / RECORD)
    trt = Module(VERSIONS[0], gpu := FakeGpu())
    with alone(engines), pytest.raises(EnvironmentLacksError, match="is being written by another process"):
        build_engines(trt, int8_bundle, engines, gpu)
    assert sha256_of(engines / RECORD) == before


def test_a_folder_of_something_else_is_not_replaced(int8_bundle, tmp_path):
    (tmp_path / "letters").write_text("dear")
    trt = Module(VERSIONS[0], gpu := FakeGpu())
    with pytest.raises(BundleError, match="holds no engines: choose another folder"):
        build_engines(trt, int8_bundle, tmp_path, gpu)
    assert (tmp_path / "letters").read_text() == "dear"


def test_a_bundle_without_golden_figures_cannot_be_judged():
    with pytest.raises(BundleError, match="has no cosine_mean, token_agreement"):
        gate_bounds({"scenes_from": "none"})


def test_bounds_hold_on_both_sides():
    parity = {"cosine_mean": 0.99, "token_agreement": 0.9, "spread_m": 2.0, "spread_shift_m": -0.1,
              "preference_loss_max": 0.2, "fork_loss_max": 0.0, "limits": {"ade_mean_m": 0.1}}  # fmt: skip
    good = {"cosine_mean": 0.9791, "token_agreement": 0.8501, "spread_shift_m": 0.1999, "preference_loss_max": 0.69,
            "fork_loss_max": 0.69, "ade_mean_m": 0.0999}  # fmt: skip
    bad = {"cosine_mean": 0.9789, "token_agreement": 0.8499, "spread_shift_m": -0.2001, "preference_loss_max": 0.70,
           "fork_loss_max": 0.70, "ade_mean_m": 0.1001}  # fmt: skip
    assert gate_misses(good, parity) == []
    for figure, value in bad.items():
        (words,) = gate_misses(good | {figure: value}, parity)
        assert words.startswith(f"{figure} is")


def test_what_is_asked_for_and_not_there_is_an_error(int8_bundle, built, monkeypatch):
    _, trt, gpu, _ = built
    bundle = Bundle.open(int8_bundle)
    with pytest.raises(ConfigurationError, match="engine 'gpu': expected one of cpu, cuda, tensorrt"):
        engine_loader("gpu", bundle)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", trt)
    with pytest.raises(BundleError, match=rf"{engines_folder(int8_bundle).name}/engines\.json is missing: build again"):
        engine_loader("tensorrt", bundle, open_device=lambda: gpu)
    load = engine_loader("tensorrt", bundle, open_device=lambda: gpu, folder=built[0])
    assert load(int8_bundle / "language.onnx").profiles == 2


@pytest.mark.parametrize(
    ("script", "mode"),
    [
        ("echo 'NV Power Mode: MAXN'; echo 0", "MAXN"),
        ("echo 'NV Power Mode: 30W'; echo 2", "30W"),
        ("echo broken", None),
    ],
)
def test_the_power_mode_is_read_or_refused_and_never_guessed(tmp_path, monkeypatch, script, mode):
    tool = tmp_path / "nvpmodel"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if mode is None:
        with pytest.raises(EnvironmentLacksError, match="tells no power mode, it says 'broken"):
            power_mode()
    else:
        assert power_mode() == mode


def test_without_jetsons_tool_there_is_no_power_mode(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert power_mode() == "none"
