"""The GPU code compiles for both targets without spills or stack frames; no GPU is needed, and none has run it here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from onboard_vla.kernels.layouts import KERNELS

SOURCES = Path(__file__).resolve().parents[2] / "kernels" / "src"
NVCC = shutil.which("nvcc")


@pytest.fixture(scope="module", params=["sm_87", "sm_90"])
def report(request, tmp_path_factory) -> str:
    if NVCC is None:
        pytest.skip("no nvcc: the GPU code was not compiled")
    out = tmp_path_factory.mktemp(request.param) / "kernels.cubin"
    command = [NVCC, "-std=c++17", "-O3", "-fmad=false", "-cubin", f"-arch={request.param}", "-Xptxas", "-v"]
    done = subprocess.run(
        [*command, "-o", str(out), str(SOURCES / "device.cu")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_every_kernel_compiles_without_spills_or_stack_frame(report):
    properties = r"for ovk_(\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    entries = re.findall(properties, report)

    assert {name for name, *_ in entries} == set(KERNELS)
    assert {name: tuple(map(int, counts)) for name, *counts in entries} == {name: (0, 0, 0) for name in KERNELS}
