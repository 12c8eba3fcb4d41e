"""Checks the kernels on a GPU: `python -m onboard_vla.kernels.gpu_check --json report.json`.

From a checkout that is not installed (its folder on PYTHONPATH), `--build FOLDER` builds the kernels first; that takes
CMake, a C++ compiler, nvcc and NumPy.

Every kernel on random shapes, to the bit what the host library gives, twice, with guard bands; the sanitizer's tools
where they are installed; times by events and by graph replay over the time that the bytes alone would take. Without a
GPU one line and status 3; a difference is status 1.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.kernels.device_form import DeviceForm
from onboard_vla.kernels.forms import FATBIN, kernel_form
from onboard_vla.kernels.gpu_cases import CASES, TIMED
from onboard_vla.kernels.gpu_timing import REPETITIONS, Timings
from onboard_vla.kernels.host_library import LIBRARY as LIBRARY_FILE
from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.launch import Device, FatBinary, GpuKernels
from onboard_vla.kernels.launch_driver import LIBRARY, DriverDevice
from onboard_vla.kernels.launch_pycuda import PycudaDevice
from onboard_vla.kernels.layouts import KernelForm

SHAPES = 50
DIFFERS, NO_GPU = 1, 3
"""Exit statuses."""
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZED_SHAPES = 2
UNDER_A_TOOL = ("--no-sanitizer", "--unguarded")
"""What the program is told that runs under a tool."""


def compare(kernel: str, host: KernelForm, device: KernelForm, shapes: int) -> dict[str, Any]:
    """Run random calls of a kernel in both forms; how many were equal to the bit, and the first that was not."""
    equal, first = 0, ""
    for seed in range(shapes):
        call = CASES[kernel](np.random.default_rng([seed, len(kernel)]))
        try:
            wanted, found, again = (call(form) for form in (host, device, device))
        except EngineError as error:
            return {"shapes": shapes, "equal": equal, "first_difference": f"shape {seed}: {error}"}
        pairs = zip(wanted, found, again, strict=True)
        wrong = [i for i, (a, b, c) in enumerate(pairs) if not a.tobytes() == b.tobytes() == c.tobytes()]
        equal += not wrong
        if wrong and not first:
            shape = wanted[wrong[0]].shape
            first = f"shape {seed}: result {wrong[0]} of shape {shape} differs from the host's or from itself"
    return {"shapes": shapes, "equal": equal, "first_difference": first}


def times(timings: Timings) -> dict[str, Any]:
    """Of each timed call, with the ratio to the time that its bytes take at the measured ceiling."""
    ceiling = timings.bytes_per_s()
    found: dict[str, Any] = {"copy_bytes_per_s": ceiling}
    for name, make in TIMED.items():
        make(np.random.default_rng(0))(timings)
        floor = timings.figures["bytes"] / ceiling * 1e6
        found[name] = {**timings.figures, "floor_us": floor, "graph_over_floor": timings.figures["graph_us"] / floor}
    return found


def examine(device: Device, gpu: GpuKernels, host: KernelForm, options: argparse.Namespace) -> dict[str, Any]:
    """What the report says of comparisons and times."""
    form = DeviceForm(gpu, guarded=not options.unguarded)
    report: dict[str, Any] = {
        "device": device.name,
        "capability": ".".join(map(str, device.capability)),
        "driver_cuda": ".".join(map(str, device.driver_cuda)),
        "back_end": options.back_end,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernels": {kernel: compare(kernel, host, form, options.shapes) for kernel in CASES},
    }
    if options.repetitions:
        report["times"] = times(Timings(gpu, options.driver, options.repetitions))
    return report


def build(folder: Path) -> tuple[Path, Path]:
    """Host library and fat binary of these sources, built in a folder.

    Raises:
        EnvironmentLacksError: a tool is missing, or the sources do not build with it.
    """
    sources = Path(__file__).resolve().parent
    for command in (["cmake", "-S", str(sources), "-B", str(folder)], ["cmake", "--build", str(folder)]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  fixed words
        except OSError as error:
            raise EnvironmentLacksError(f"GPU kernels: {error}; install CMake 3.22 or newer") from None
        if done.returncode:
            tail = " ".join((done.stdout + done.stderr).split()[-60:])
            raise EnvironmentLacksError(f"GPU kernels: {' '.join(command)} fails: {tail}")
    binary = folder / FATBIN
    if not binary.is_file():
        raise EnvironmentLacksError(f"GPU kernels: {folder} has no {FATBIN}: put nvcc on PATH, or see its ptxas.txt")
    return folder / LIBRARY_FILE, binary


def sanitize(command: Sequence[str]) -> dict[str, str]:
    """What each tool of compute-sanitizer says of a short comparison."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        return dict.fromkeys(TOOLS, "not run: no compute-sanitizer on PATH")
    found = {}
    for name in TOOLS:
        done = subprocess.run(  # noqa: S603  our own program under a tool from PATH
            [tool, "--tool", name, "--error-exitcode", "9", *command], capture_output=True, text=True, check=False
        )
        tail = " ".join((done.stdout + done.stderr).splitlines()[-3:])
        found[name] = "clean" if done.returncode == 0 else f"status {done.returncode}: {tail}"
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Check, print one line a kernel, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--back-end", choices=("driver", "pycuda"), default="driver")
    parser.add_argument("--driver", default=LIBRARY, help="driver library")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="build both from these sources, and use them")
    parser.add_argument("--host-library", type=Path, help="the installed one if not given")
    parser.add_argument("--fat-binary", type=Path, help="the installed one if not given; its manifest beside it")
    parser.add_argument("--shapes", type=int, default=SHAPES, help="random calls of each kernel")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="of each timing; 0: none are made")
    parser.add_argument("--no-sanitizer", action="store_true")
    parser.add_argument("--unguarded", action="store_true", help="arrays as the sanitizer wants them: no guard bands")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    try:
        if options.build is not None:
            options.host_library, options.fat_binary = build(options.build)
        with closing(
            PycudaDevice() if options.back_end == "pycuda" else DriverDevice(library=options.driver)
        ) as device:
            host = HostLibrary(options.host_library) if options.host_library else kernel_form("host")
            binary = FatBinary.read(options.fat_binary) if options.fat_binary else FatBinary.installed()
            report = examine(device, GpuKernels(device, binary), host, options)
    except EnvironmentLacksError as error:
        sys.stderr.write(f"gpu_check: {error}\n")
        return NO_GPU
    if not options.no_sanitizer:
        # The program again, short: the same arguments, few shapes, no timings.
        short = _without(list(sys.argv[1:] if given is None else given), "--json", "--build")
        if options.build is not None:
            short += ["--host-library", str(options.host_library), "--fat-binary", str(options.fat_binary)]
        short += ["--shapes", str(SANITIZED_SHAPES), "--repetitions", "0", *UNDER_A_TOOL]
        report["sanitizer"] = sanitize([sys.executable, "-m", __spec__.name, *short])
    show(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    sound = all(found["equal"] == found["shapes"] for found in report["kernels"].values())
    clean = not any(text.startswith("status") for text in report.get("sanitizer", {}).values())
    return 0 if sound and clean else DIFFERS


def show(report: dict[str, Any]) -> None:
    """One line a kernel, a tool and a time."""
    out = sys.stdout.write
    out(f"{report['device']}, compute capability {report['capability']}, driver's CUDA {report['driver_cuda']}, ")
    out(f"by {report['back_end']}\n")
    for kernel, found in report["kernels"].items():
        out(f"{kernel:20}{found['equal']} of {found['shapes']} shapes equal to the bit {found['first_difference']}\n")
    for tool, text in report.get("sanitizer", {}).items():
        out(f"{tool:20}{text}\n")
    for name, figures in report.get("times", {}).items():
        if isinstance(figures, dict):
            out(f"{name:34}launch {figures['launch_us']:9.2f} us, in a graph {figures['graph_us']:9.2f} us, ")
            out(f"floor {figures['floor_us']:8.3f} us, {figures['graph_over_floor']:7.1f} x\n")


def _without(arguments: list[str], *options: str) -> list[str]:
    """Arguments without some options that take a value."""
    for option in options:
        if option in arguments:
            del arguments[arguments.index(option) : arguments.index(option) + 2]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
