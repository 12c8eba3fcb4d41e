"""`onboard-vla build-engine` on a machine that looks like the target, and a planner process that takes its engines."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from typer.testing import CliRunner

from onboard_vla.app.cli import app
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import BundleError, EnvironmentLacksError
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.source import GOLDEN
from onboard_vla.kernels import launch_driver
from onboard_vla.runtime import engine_choice
from onboard_vla.runtime.engine_cache import GATE
from onboard_vla.runtime.engine_gate import RANDOM
from onboard_vla.runtime.planner_host import build_planner_host
from onboard_vla.runtime.planner_options import PLANNER_OPTIONS
from onboard_vla.runtime.tensorrt_engine import TensorRtEngine

from ..runtime.fake_gpu import FakeGpu
from ..runtime.fake_tensorrt import VERSIONS, Module


@pytest.fixture
def target(monkeypatch):
    """This machine has a GPU and the newer TensorRT."""
    gpu = FakeGpu()
    monkeypatch.setitem(sys.modules, "tensorrt", Module(VERSIONS[1], gpu))
    monkeypatch.setattr(launch_driver, "DriverDevice", lambda: gpu)
    monkeypatch.setattr(engine_choice.engine_loader, "__kwdefaults__", {**DEFAULTS, "open_device": lambda: gpu})
    return gpu


DEFAULTS = engine_choice.engine_loader.__kwdefaults__


def options(bundle, **given):
    return {option.name: option.default for option in PLANNER_OPTIONS} | {"bundle": str(bundle)} | given


def test_engines_that_are_built_here_run_here(target, int8_bundle, tmp_path):
    out = tmp_path / "engines"
    done = CliRunner().invoke(app, ["build-engine", str(int8_bundle), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["engines"] == str(out)
    assert document["figures"]["scenes"] > 0
    assert document["unjudged"] == json.loads((out / GATE).read_text())["unjudged"] == []
    host = build_planner_host(options(int8_bundle, engine="tensorrt", engines=str(out)))
    planner = host._body._planner
    engines = [planner.language._engine, *planner.vision._engines.values()]
    assert all(isinstance(engine, TensorRtEngine) for engine in engines)


def test_a_gate_over_random_pictures_is_marked_and_no_vehicles_planner_takes_it(
    target, reference_checkpoint, tmp_path, capfd
):
    bare = shutil.copytree(reference_checkpoint, tmp_path / "bare", ignore=shutil.ignore_patterns(GOLDEN.file))
    bundle = export_bundle(bare, tmp_path / "bundle", precision="fp32")
    assert load_manifest(bundle).unjudged == ()
    out = tmp_path / "engines"
    done = CliRunner().invoke(app, ["build-engine", str(bundle), "--out", str(out)])
    assert "UNJUDGED" in done.output
    assert json.loads((out / GATE).read_text())["unjudged"] == [RANDOM]
    with pytest.raises(BundleError, match=f"these engines are unjudged \\({RANDOM}"):
        build_planner_host(options(bundle, engine="tensorrt", engines=str(out)))
    build_planner_host(options(bundle, engine="tensorrt", engines=str(out), unjudged_engines=True))
    said = [json.loads(line) for line in "".join(capfd.readouterr()).splitlines() if "engines_unjudged" in line]
    assert [event["points"] for event in said] == [[RANDOM]]


def test_a_planner_never_takes_another_engine_than_the_one_asked_for(target, int8_bundle, tmp_path):
    with pytest.raises(BundleError, match=r"engines\.json is missing: build again on this machine"):
        build_planner_host(options(int8_bundle, engine="tensorrt", engines=str(tmp_path)))
    with pytest.raises(EnvironmentLacksError, match="not CUDAExecutionProvider"):
        build_planner_host(options(int8_bundle, engine="cuda"))


def test_without_tensorrt_the_command_ends_in_one_line(monkeypatch, int8_bundle):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    done = CliRunner().invoke(app, ["build-engine", str(int8_bundle)])
    assert done.exit_code != 0
    assert isinstance(done.exception, EnvironmentLacksError)
    assert "TensorRT does not load" in str(done.exception)
