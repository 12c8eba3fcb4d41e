"""The rooms reach an installation whole, through their links, by all three ways: editable, wheel, source archive."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import onboard_vla

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.name for path in (ROOT / "onboard_vla").iterdir() if path.is_symlink())
NOT_SOURCES = shutil.ignore_patterns(
    ".git", ".venv*", "out", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)


COLCON = ("build", "install", "log")
"""Folders that `colcon build` leaves in `ros_nodes/`."""


def run(*command, **options):
    """Without PYTHONPATH: what another copy there shadows would be called missing."""
    command = [str(part) for part in command]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, env=environment, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(source, out):
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy: builds leave traces in the folder that they run in."""
    copy = tmp_path_factory.mktemp("source") / "onboard-vla"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=NOT_SOURCES)
    for left in COLCON:
        (copy / "ros_nodes" / left / "onboard_vla_msgs").mkdir(parents=True, exist_ok=True)
        (copy / "ros_nodes" / left / "onboard_vla_msgs" / "of_colcon.py").touch()
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


def files_of(wheel):
    return {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("onboard_vla/")}


def test_each_link_leads_to_its_room():
    vehicle_side, around_it = ("core", "kernels", "ros_nodes", "runtime", "safety"), ("calibration", "export", "hil")
    assert sorted((*vehicle_side, *around_it, "app", "world")) == ROOMS
    for room in ROOMS:
        assert os.readlink(ROOT / "onboard_vla" / room) == f"../{room}"


def test_the_editable_installation_runs_from_this_folder():
    assert Path(onboard_vla.__file__).resolve() == ROOT / "onboard_vla" / "__init__.py"
    assert str(ROOT) not in [os.path.realpath(entry) for entry in sys.path]


def test_the_wheel_holds_every_file_of_every_room(wheel):
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository's list of files")
    tracked = run("git", "-C", ROOT, "ls-files", *ROOMS).splitlines()
    expected = {f"onboard_vla/{name}" for name in tracked if (ROOT / name).is_file()}

    assert expected - files_of(wheel) == set()
    assert "onboard_vla/py.typed" in files_of(wheel)


def test_the_wheel_leaves_tests_and_benchmarks_out(wheel):
    roots = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert roots == {"onboard_vla", f"onboard_vla-{onboard_vla.__version__}.dist-info"}


def test_the_wheel_leaves_out_what_colcon_built(wheel):
    assert [
        name for name in files_of(wheel) if name.startswith(tuple(f"onboard_vla/ros_nodes/{x}/" for x in COLCON))
    ] == []


@pytest.mark.slow
def test_a_wheel_built_from_the_source_archive_holds_the_same(source, wheel, tmp_path):
    program = f"from scikit_build_core import build; print(build.build_sdist({str(tmp_path)!r}))"
    name = run(sys.executable, "-c", program, cwd=source).splitlines()[-1]
    with tarfile.open(tmp_path / name) as archive:
        archive.extractall(tmp_path, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(tmp_path)

    again = build_wheel(tmp_path / name.removesuffix(".tar.gz"), tmp_path / "again")

    assert files_of(again) == files_of(wheel)


def test_every_room_and_the_command_work_from_the_wheel(wheel, tmp_path):
    """In an environment that sees the packages of this one, but not this one's editable installation."""
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "packages-of-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    rooms = ", ".join(f"onboard_vla.{room}" for room in ROOMS)

    where = run(python, "-c", f"import {rooms}; print(onboard_vla.core.__file__)", cwd=tmp_path)
    version = run(environment / "bin" / "onboard-vla", "--version", cwd=tmp_path)

    assert Path(where.strip()).is_relative_to(environment)
    assert version.strip() == f"onboard-vla {onboard_vla.__version__}"
