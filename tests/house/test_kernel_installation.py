"""The kernels in an installation: built within a minute where there is a compiler, left out where there is none."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .test_packaging import NOT_SOURCES, ROOT

INSTALL_LIMIT_S = 60.0
"""Of processor time, on one core: wall time where the machine has nothing else to do."""
SAME_TESTS = ("test_actions.py", "test_motion_groups.py", "test_images.py", "test_forms.py")


@pytest.fixture
def source(tmp_path):
    copy = tmp_path / "onboard-vla"
    shutil.copytree(
        ROOT, copy, symlinks=True, ignore=lambda folder, names: {*NOT_SOURCES(folder, names), *({"_bin"} & set(names))}
    )
    return copy


def wheel_of(source, out, **environment):
    """A wheel and the processor time that building it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, source]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (wheel,) = out.glob("*.whl")
    return wheel, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def built_files(wheel):
    return {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "/kernels/_bin/" in name}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler: nothing is built here")
def test_everything_that_this_machine_can_build_is_built_within_a_minute(source, tmp_path):
    wheel, spent_s = wheel_of(source, tmp_path / "out")

    wanted = {"libonboard_vla_kernels.so"}
    if shutil.which("nvcc"):
        wanted |= {f"onboard_vla_kernels.{suffix}" for suffix in ("fatbin", "json", "ptxas.txt")}
    assert built_files(wheel) == wanted
    assert spent_s < INSTALL_LIMIT_S, f"{spent_s:.0f} s of processor time"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_any_compiler_the_same_package_passes_the_same_tests_by_numpy(source, tmp_path):
    wheel, _ = wheel_of(source, tmp_path / "out", CXX="/bin/false", CC="/bin/false")

    assert wheel.name.endswith("-py3-none-any.whl")
    assert built_files(wheel) == set()
    installed, no_commands = tmp_path / "installed", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(installed)
    no_commands.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", "--import-mode=importlib"]
    done = subprocess.run(
        [*command, *(str(ROOT / "tests" / "kernels" / name) for name in SAME_TESTS)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PATH": str(no_commands)},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    summary = done.stdout.splitlines()[-1]
    assert int(summary.split(" passed")[0].split()[-1]) > 100, summary
    assert "no C++ compiler: the NumPy forms" in done.stdout  # the host library's half of them says why it did not run
