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


ARCHITECTURES = ("sm_87", "sm_90")


def figures(architecture: str, folder: Path, sources: Path = SOURCES) -> dict[str, tuple[int, ...]]:
    """Of each kernel, from the compiler's report: bytes of stack frame, spill stores, spill loads."""
    if NVCC is None:
        pytest.skip("no nvcc: the GPU code was not compiled")
    command = [NVCC, "-std=c++17", "-O3", "-fmad=false", "-cubin", f"-arch={architecture}", "-Xptxas", "-v"]
    done = subprocess.run(
        [*command, "-o", str(folder / "kernels.cubin"), str(sources / "device.cu")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    properties = r"for ovk_(\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    return {name: tuple(map(int, counts)) for name, *counts in re.findall(properties, done.stderr)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_without_spills_or_stack_frame(architecture, tmp_path):
    assert figures(architecture, tmp_path) == dict.fromkeys(KERNELS, (0, 0, 0))


def test_a_kernel_that_keeps_an_array_off_its_registers_shows_in_the_report(tmp_path):
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    compose = (sources / "compose.h").read_text()
    kept = "float pose[64];\nfor (int j = 0; j < 64; ++j) pose[j] = a.codebook[j];"
    changed = compose.replace("float pose[5];", kept).replace("+ k] = pose[k];", "+ k] = pose[(i + k) % 64];")
    (sources / "compose.h").write_text(changed)

    found = figures("sm_90", tmp_path, sources)

    assert found.pop("compose")[0] > 0
    assert set(found.values()) == {(0, 0, 0)}
