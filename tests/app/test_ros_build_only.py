"""`build_only`: the engine that the planner's parameters ask for is made and loaded, or one line says why not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from onboard_vla.app import cli
from onboard_vla.app.ros import build_only
from onboard_vla.core.errors import BundleError
from onboard_vla.core.process import EXIT_CONFIGURATION
from onboard_vla.runtime.planner_host import PLANNER_ROLE


@pytest.fixture
def loaded(monkeypatch) -> list[dict]:
    """The options of each planner that was loaded; nothing is."""
    found: list[dict] = []
    monkeypatch.setattr(
        build_only, "PLANNER_ROLE", SimpleNamespace(options=PLANNER_ROLE.options, build=lambda o: found.append(dict(o)))
    )
    return found


@pytest.fixture
def target(monkeypatch) -> SimpleNamespace:
    """A machine with TensorRT: whether its engines are admitted, and what was built."""
    state = SimpleNamespace(admitted=True, built=[])

    def admitted(folder, *_, unjudged):
        if not state.admitted:
            raise BundleError(f"{folder}/engines.json is missing: build again")

    def build_engines(trt, bundle, folder, device):
        if state.admitted is None:
            raise BundleError("engines did not pass the parity gate: trajectory_m 3 > 0.1")
        state.built.append((bundle, folder))
        return SimpleNamespace(scenes=8)

    monkeypatch.setattr(build_only, "import_tensorrt", lambda: "trt")
    monkeypatch.setattr(build_only, "DriverDevice", lambda: "gpu")
    monkeypatch.setattr(build_only, "Bundle", SimpleNamespace(open=lambda path: path))
    monkeypatch.setattr(build_only, "Target", SimpleNamespace(of=lambda trt, device: (trt, device)))
    monkeypatch.setattr(build_only, "build_flags", lambda bundle: {})
    monkeypatch.setattr(build_only, "EngineCache", SimpleNamespace(admitted=admitted))
    monkeypatch.setattr("onboard_vla.export.engine_build.build_engines", build_engines)
    return state


def parameters(path: Path, section: str = "/**/vla_planner", **values: object) -> list[str]:
    path.write_text(yaml.safe_dump({section: {"ros__parameters": values}}))
    return ["--params-file", str(path)]


def test_engine_and_threads_are_those_of_the_files_that_meet_the_node(loaded, tmp_path):
    first = parameters(tmp_path / "a.yaml", engine="cuda", threads=2)
    second = parameters(tmp_path / "b.yaml", "/car/vla_planner", threads=3)

    assert build_only.main(["--bundle", "/b", *first, *second]) == 0
    assert build_only.main(["--bundle", "/b", "--namespace", "car", *first, *second]) == 0

    assert [(o["bundle"], o["engine"], o["threads"]) for o in loaded] == [("/b", "cuda", 2), ("/b", "cuda", 3)]


@pytest.mark.parametrize(("admitted", "built"), [(True, []), (False, [(Path("/b"), Path("/engines"))])])
def test_tensorrt_engines_are_built_where_none_fits_and_then_loaded(loaded, target, tmp_path, admitted, built, capsys):
    target.admitted = admitted
    files = parameters(tmp_path / "a.yaml", engine="tensorrt", engines="/engines")

    assert build_only.main(["--bundle", "/b", *files]) == 0

    assert target.built == built
    assert [(options["engine"], options["engines"]) for options in loaded] == [("tensorrt", "/engines")]
    first, *_, last = capsys.readouterr().err.splitlines()
    assert ("engines.json is missing" in first) is bool(built)
    assert last.startswith("build_only: /b: engine tensorrt is ready after ")


def test_without_a_folder_engines_lie_where_the_planner_looks_for_them(loaded, target, tmp_path):
    target.admitted = False

    build_only.main(["--bundle", "/b", *parameters(tmp_path / "a.yaml", engine="tensorrt")])

    assert target.built == [(Path("/b"), Path("/b.engines"))]


def test_engines_that_miss_the_gate_end_it_with_status_2_and_are_not_loaded(loaded, target, tmp_path, capsys):
    target.admitted = None
    files = parameters(tmp_path / "a.yaml", engine="tensorrt")

    assert build_only.main(["--bundle", "/b", *files]) == EXIT_CONFIGURATION

    assert loaded == []
    assert "did not pass the parity gate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "/nowhere"),
        ({"engine": "abacus"}, "engine: expected cpu or cuda or tensorrt, found 'abacus'"),
        ({"engines_": "x"}, "no option 'engines_'"),
        ({"engine": "tensorrt"}, "TensorRT does not load"),
    ],
)
def test_what_cannot_be_had_here_is_one_line_and_status_2(values, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorrt", None)

    status = build_only.main(["--bundle", "/nowhere", *parameters(tmp_path / "a.yaml", **values)])

    (line,) = capsys.readouterr().err.splitlines()
    assert status == EXIT_CONFIGURATION
    assert says in line


def test_ros_up_does_the_same_for_its_file_and_starts_nothing(loaded, tmp_path, capsys):
    parameters(tmp_path / "own.yaml", engine="cuda")
    file = tmp_path / "d.yaml"
    file.write_text("mode: vehicle\nbundle: /b\nparameters: [own.yaml]\n")

    assert cli.run(["ros", "up", "--config", str(file), "--build-only"]) == 0

    assert [options["engine"] for options in loaded] == ["cuda"]
    file.write_text("mode: vehicle\nbundle: /b\nwithout: [vla_planner]\n")
    assert cli.run(["ros", "up", "--config", str(file), "--build-only"]) == 1
    assert "vla_planner is left out" in capsys.readouterr().err
