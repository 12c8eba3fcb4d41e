"""`onboard-vla build-engine` on a machine that looks like the target, and a planner process that takes its engines."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from onboard_vla.app.cli import app
from onboard_vla.core.errors import BundleError, EnvironmentLacksError
from onboard_vla.kernels import launch_driver
from onboard_vla.runtime import engine_choice
from onboard_vla.runtime.planner_host import PLANNER_OPTIONS, build_planner_host
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
    host = build_planner_host(options(int8_bundle, engine="tensorrt", engines=str(out)))
    planner = host._body._planner
    engines = [planner.language._engine, *planner.vision._engines.values()]
    assert all(isinstance(engine, TensorRtEngine) for engine in engines)


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
