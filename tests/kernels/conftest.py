"""The forms of the kernels: the host library, built here from the sources of this folder, and NumPy."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.numpy_forms import NumpyForms

SOURCES = Path(__file__).resolve().parents[2] / "kernels" / "src"
COMPILER = shutil.which("c++") or shutil.which("g++")
MARCH = "-march=armv8.2-a+fp16" if platform.machine() == "aarch64" else "-march=x86-64-v3"
"""As kernels/CMakeLists.txt has it."""
ALWAYS = ("-std=c++17", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="session")
def build(tmp_path_factory) -> Callable[..., Path]:
    """Compile a host library with the given flags; the path."""
    if COMPILER is None:
        pytest.skip("no C++ compiler: the NumPy forms are what runs here, and what the other tests run")

    def compile_with(name: str, *flags: str) -> Path:
        out = tmp_path_factory.mktemp(name) / "library.so"
        done = subprocess.run(
            [COMPILER, *ALWAYS, *flags, "-o", str(out), str(SOURCES / "host_library.cpp")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return out

    return compile_with


@pytest.fixture(scope="session")
def library(build) -> HostLibrary:
    return HostLibrary(build("released", "-O3", MARCH))


@pytest.fixture(scope="session", params=["host", "numpy"])
def form(request) -> KernelForm:
    """What passes the same tests."""
    return request.getfixturevalue("library") if request.param == "host" else NumpyForms()
