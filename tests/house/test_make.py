"""`make` on a machine that lacks something: one line that says what to do, before anything is installed."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="needs make")


def make_host(folder, *variables, **environment):
    """Run the checks of a copy of the Makefile; the links lead nowhere unless the test lays the folder."""
    shutil.copy(ROOT / "Makefile", folder)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = [MAKE, "--no-print-directory", "host", *variables]
    return subprocess.run(
        command, cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def pretend_python(folder, version, refuses):
    """An interpreter that says its version and fails for programs that contain `refuses`."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$*" in --version) echo "Python {version}";; *{refuses}*) exit 1;; esac\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"PYTHON={path}"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "onboard_vla" / "core").mkdir(parents=True)
    (tmp_path / "onboard_vla" / "core" / "__init__.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("version", "refuses", "says"),
    [
        ("3.9.1", "version_info", "Python 3.9.1 is too old: 3.10 or newer"),
        ("3.12.1", "ensurepip", "apt install python3-venv"),
    ],
)
def test_an_unfit_python_is_one_line(folder, version, refuses, says):
    result = make_host(folder, pretend_python(folder, version, refuses))

    assert result.returncode != 0
    assert result.stdout.count("\n") == 1
    assert says in result.stdout


def test_no_python_is_one_line(folder):
    result = make_host(folder, "PYTHON=/nowhere/python3")

    assert result.returncode != 0
    assert "no /nowhere/python3: install Python 3.10 or newer" in result.stdout


def test_links_that_were_not_checked_out_are_one_line(folder):
    shutil.rmtree(folder / "onboard_vla" / "core")

    result = make_host(folder)

    assert result.returncode != 0
    assert "symbolic links" in result.stdout


def test_no_compiler_is_said_and_nothing_stops(folder):
    tools = folder / "bin"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")

    result = make_host(folder, pretend_python(folder, "3.12.1", "nothing"), PATH=str(tools))

    assert result.returncode == 0, result.stderr
    assert "no C++ compiler" in result.stdout


def test_a_fit_machine_is_told_nothing(folder):
    compiler = folder / "c++"
    compiler.symlink_to("/bin/true")

    result = make_host(folder, pretend_python(folder, "3.12.1", "nothing"), PATH=f"{folder}:{os.environ['PATH']}")

    assert (result.returncode, result.stdout.strip()) == (0, "")
