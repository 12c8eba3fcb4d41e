"""The build file: the host library comes whatever nvcc does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onboard_vla.kernels.host_library import LIBRARY, X86_64_V3, HostLibrary, lacking

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
CMAKE = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
FATBIN = "onboard_vla_kernels.fatbin"


@pytest.mark.skipif(CMAKE is None or shutil.which("c++") is None, reason="needs cmake and a C++ compiler")
def test_an_nvcc_that_fails_costs_the_gpu_code_and_not_the_host_library(tmp_path):
    options = ["-DONBOARD_VLA_NVCC=/bin/false", "-DCMAKE_BUILD_TYPE=Release"]
    configured = subprocess.run(
        [CMAKE, "-S", str(KERNELS), "-B", str(tmp_path), *options], capture_output=True, text=True, check=False
    )
    assert configured.returncode == 0, configured.stderr
    assert "cannot build the GPU code" in configured.stderr

    subprocess.run([CMAKE, "--build", str(tmp_path)], check=True, capture_output=True)
    subprocess.run(
        [CMAKE, "--install", str(tmp_path), "--prefix", str(tmp_path / "out")], check=True, capture_output=True
    )

    installed = tmp_path / "out" / "onboard_vla" / "kernels" / "_bin"
    assert HostLibrary(installed / LIBRARY)
    assert not (installed / FATBIN).exists()


def test_a_processor_without_the_librarys_instructions_is_told_by_name(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("processor : 0\nflags\t: fpu " + " ".join(X86_64_V3) + "\n")
    old.write_text("processor : 0\nflags\t: fpu sse2 avx\n")

    assert lacking(new, "x86_64") == ()
    assert set(lacking(old, "x86_64")) == set(X86_64_V3) - {"avx"}
    assert lacking(old, "aarch64") == ()
