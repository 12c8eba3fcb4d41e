"""The forms of the kernels: the host library, built here from its sources, and NumPy; a CUDA driver without a GPU."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.launch import FatBinary, GpuKernels
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.numpy_forms import NumpyForms

SOURCES = Path(__file__).resolve().parents[2] / "kernels" / "src"
FAKE_DRIVER = Path(__file__).with_name("fake_driver.c")
FAT_BINARY_MAGIC = b"\x50\xed\x55\xba"
C_COMPILER = shutil.which("cc") or shutil.which("gcc")
COMPILER = shutil.which("c++") or shutil.which("g++")
MARCH = "-march=armv8.2-a+fp16" if platform.machine() == "aarch64" else "-march=x86-64-v3"
"""As kernels/CMakeLists.txt has it."""
ALWAYS = ("-std=c++17", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="session")
def build(tmp_path_factory) -> Callable[..., Path]:
    """Compile a host library with the given flags; the path."""
    if COMPILER is None:
        pytest.skip("no C++ compiler: the NumPy forms are what runs here, and what the other tests run")

    def compile_with(name: str, *flags: str, sources: Path = SOURCES) -> Path:
        out = tmp_path_factory.mktemp(name) / "library.so"
        done = subprocess.run(
            [COMPILER, *ALWAYS, *flags, "-o", str(out), str(sources / "host_library.cpp")],
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


FIELDS = ["memory", "streams", "modules", "contexts", "launches"]


@pytest.fixture(scope="session")
def fake_driver(tmp_path_factory) -> Path:
    if C_COMPILER is None:
        pytest.skip("no C compiler for the fake driver")
    out = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    command = [C_COMPILER, *flags, "-o", str(out), str(FAKE_DRIVER), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def fake(fake_driver, library, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_HOST_LIBRARY", str(library.path))
    return str(fake_driver)


@pytest.fixture
def binary(tmp_path) -> FatBinary:
    path = tmp_path / "kernels.fatbin"
    path.write_bytes(FAT_BINARY_MAGIC + bytes(60))
    path.with_suffix(".json").write_text(json.dumps({"cuda": "13.0", "architectures": ["8.7", "9.0"]}))
    return FatBinary.read(path)


@pytest.fixture
def device(fake):
    opened = DriverDevice(library=fake)
    yield opened
    opened.close()


@pytest.fixture
def gpu(device, binary) -> GpuKernels:
    return GpuKernels(device, binary)
