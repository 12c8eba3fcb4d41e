"""Builds pycuda into a virtual environment, for the tests: `python tests/kernels/build_pycuda.py VENV`.

On PyPI it is a source archive that guesses the CUDA toolkit from where `nvcc` lies and links the driver's library,
which a machine without a GPU lacks. Here the toolkit is the one that nvcc names itself, and the library an empty one:
the tests bring their own. No toolkit: one line, and status 0; the test then says that it did not run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
DEPENDENCIES = ("pytools", "mako", "platformdirs", "setuptools", "numpy")


def toolkit() -> Path | None:
    """The folder whose `include` has cuda.h."""
    if shutil.which("nvcc") is None or shutil.which("c++") is None:
        return None
    said = subprocess.run(["nvcc", "--dryrun", "none.cu"], capture_output=True, text=True, check=False).stderr
    top = re.search(r"TOP=(\S+)", said)
    found = Path(top[1]).resolve() if top else None
    return found if found is not None and (found / "include" / "cuda.h").exists() else None


def build(environment: Path, root: Path, work: Path) -> None:
    """Fetch, configure, build, install."""
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
    pinned = ["--constraint", str(CONSTRAINTS)]

    def run(*command: str, folder: Path = work) -> None:
        subprocess.run(command, check=True, cwd=folder)

    run(*pip, "install", *pinned, *DEPENDENCIES)
    archive_only = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:"]
    run(*pip, "download", *pinned, *archive_only, "-d", str(work), "pycuda")
    with tarfile.open(next(work.glob("pycuda-*.tar.gz"))) as archive:
        archive.extractall(work, filter="data")
    source = next(path for path in work.glob("pycuda-*") if path.is_dir())
    (work / "empty.c").write_text("")
    run("c++", "-shared", "-fPIC", "-x", "c", "empty.c", "-o", "libcuda.so", "-Wl,-soname,libcuda.so.1")
    options = [f"--cuda-root={root}", f"--cuda-inc-dir={root / 'include'}", f"--cudadrv-lib-dir={work}"]
    run(str(python), "configure.py", *options, "--no-cuda-enable-curand", folder=source)
    run(*pip, "install", "--no-build-isolation", "--no-deps", str(source))


def main() -> None:
    """Build, or say what is lacking."""
    root = toolkit()
    if root is None:
        sys.stdout.write("pycuda is not built: no nvcc with its headers, or no C++ compiler; its test will say so\n")
        return
    with tempfile.TemporaryDirectory() as work:
        build(Path(sys.argv[1]).absolute(), root, Path(work))


if __name__ == "__main__":
    main()
