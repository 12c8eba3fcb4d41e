"""Real pycuda through a driver without a GPU: the host's bits. Runs where `build_pycuda.py` could build it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import C_COMPILER, FAKE_DRIVER

EXERCISE = Path(__file__).with_name("exercise.py")


def cuda_symbols(path: Path, which: str) -> set[str]:
    listed = subprocess.run(["nm", "-D", which, str(path)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in listed.splitlines() if line.split()[-1].startswith("cu")}


@pytest.fixture
def whole_driver(fake_driver, tmp_path) -> Path:
    """The fake driver, with every other function that pycuda links: those fail with CUDA_ERROR_NOT_SUPPORTED."""
    spec = importlib.util.find_spec("pycuda")
    if spec is None or shutil.which("nm") is None:
        pytest.skip("no pycuda: python tests/kernels/build_pycuda.py VENV builds it where there is a CUDA toolkit")
    (extension,) = Path(spec.submodule_search_locations[0]).glob("_driver*.so")
    missing = cuda_symbols(extension, "--undefined-only") - cuda_symbols(fake_driver, "--defined-only")
    stubs = "".join(f"int {name}(void) {{ return 801; }}\n" for name in sorted(missing))
    (tmp_path / "driver.c").write_text(FAKE_DRIVER.read_text() + stubs)
    out = tmp_path / "libcuda.so.1"
    command = [C_COMPILER, "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(out), str(tmp_path / "driver.c")]
    subprocess.run([*command, "-ldl"], check=True)
    return out


@pytest.mark.slow
def test_what_pycuda_refuses_is_an_error_of_the_engine(whole_driver, library):
    program = """
import atexit
from onboard_vla.core.errors import EngineError
from onboard_vla.kernels.launch_pycuda import PycudaDevice
device = PycudaDevice()
atexit.register(device.close)
for refused in (lambda: device.allocate(1 << 60), lambda: device.load(b"not GPU code")):
    try:
        refused()
    except EngineError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_PRELOAD": str(whole_driver), "FAKE_CUDA_HOST_LIBRARY": str(library.path)},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["cuMemAlloc", "cuModuleLoadDataEx"]


@pytest.mark.slow
def test_pycuda_gives_the_hosts_bits(whole_driver, library, binary):
    def digest(*arguments: str, **environment: str) -> str:
        command = [sys.executable, str(EXERCISE), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    through_pycuda = digest(
        str(binary.path), "--pycuda", LD_PRELOAD=str(whole_driver), FAKE_CUDA_HOST_LIBRARY=str(library.path)
    )

    assert through_pycuda == digest(str(library.path))
