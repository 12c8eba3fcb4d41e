"""The same sources compile for both targets with NVRTC of CUDA 12.6, the line of JetPack 6; no GPU is needed."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from onboard_vla.kernels.layouts import KERNELS

SOURCES = Path(__file__).resolve().parents[2] / "kernels" / "src"
PACKAGE, VERSION = "nvidia-cuda-nvrtc-cu12", "12.6.85"


@pytest.fixture(scope="module")
def nvrtc(tmp_path_factory) -> ctypes.CDLL:
    """The compiler's library: installed, or fetched by pip into a folder of its own."""
    try:
        files = importlib.metadata.files(PACKAGE) if importlib.metadata.version(PACKAGE) == VERSION else []
        folder = next((Path(f.locate()).parent for f in files or [] if f.name == "libnvrtc.so.12"), None)
    except importlib.metadata.PackageNotFoundError:
        folder = None
    if folder is None:
        out = tmp_path_factory.mktemp("nvrtc")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(out), f"{PACKAGE}=={VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        if done.returncode:
            pytest.skip(f"{PACKAGE}=={VERSION} cannot be had: {done.stderr.strip().splitlines()[-1:]}")
        zipfile.ZipFile(next(out.glob("*.whl"))).extractall(out)
        folder = next(out.rglob("libnvrtc.so.12")).parent
    ctypes.CDLL(str(next(folder.glob("libnvrtc-builtins.so.*"))), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(folder / "libnvrtc.so.12"))


def compiled(nvrtc, architecture: str) -> tuple[bytes, str]:
    """A cubin and the log; every include is given by its name, as a vehicle without a CUDA toolkit would."""
    headers = sorted(SOURCES.glob("*.h"))
    texts = (ctypes.c_char_p * len(headers))(*(path.read_bytes() for path in headers))
    names = (ctypes.c_char_p * len(headers))(*(path.name.encode() for path in headers))
    program = ctypes.c_void_p()
    source = (SOURCES / "device.cu").read_bytes()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"device.cu", len(headers), texts, names) == 0
    flags = [f"--gpu-architecture={architecture}".encode(), b"--std=c++17", b"--fmad=false", b"--ptxas-options=-v"]
    status = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetCUBIN(program, cubin)
    return cubin.raw, log.value.decode()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_87", "sm_90"])
def test_every_kernel_compiles_with_cuda_12_6(nvrtc, architecture):
    version = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(version[0]), ctypes.byref(version[1]))

    cubin, log = compiled(nvrtc, architecture)

    assert (version[0].value, version[1].value) == (12, 6)
    assert cubin[:4] == b"\x7fELF"
    for kernel in KERNELS:
        assert f".text.ovk_{kernel}\0".encode() in cubin
    figures = r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    assert re.findall(figures, log) == [("0", "0", "0")] * len(KERNELS)


@pytest.mark.slow
def test_a_source_with_an_error_does_not_compile(nvrtc, monkeypatch, tmp_path):
    for path in SOURCES.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "compose.h").write_text((SOURCES / "compose.h").read_text().replace("float pose[5];", "float pose[5]"))
    monkeypatch.setattr(sys.modules[__name__], "SOURCES", tmp_path)
    with pytest.raises(AssertionError, match="expected a"):
        compiled(nvrtc, "sm_87")
