"""Probes of what computes: interpreter, packages, engines, CUDA, compilers."""

from __future__ import annotations

import re

from onboard_vla.app.doctor.finding import Finding, absent, fine, poor
from onboard_vla.app.doctor.machine import Machine
from onboard_vla.core.installation import installation
from onboard_vla.runtime.processor import products_saturate

OLDEST_PYTHON = (3, 10)
NEWEST_TESTED_PYTHON = (3, 13)
BASE_PACKAGES = ("numpy", "tokenizers", "pillow", "jsonschema", "pyyaml", "pyzmq", "typer", "rich")
EXPORT_PACKAGES = ("onnx", "safetensors", "ml_dtypes")
WORLD_PACKAGES = ("numba", "matplotlib", "psutil")
TRAINING_PACKAGES = ("torch", "transformers")
TENSORRT_PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
TENSORRT_RTX_PACKAGES = ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12")
GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
REFERENCE_FILES = ("config.json", "model.safetensors", "tokenizer.json", "codebook.npz", "prompt.json", "cameras.json")
BYTES_PER_MB = 1_000_000
NOT_USED = "with or without it, this version computes with ONNX Runtime on the processor"


def python(machine: Machine) -> Finding:
    """The interpreter."""
    version = machine.python_version()
    found = f"{'.'.join(map(str, version))} on {machine.architecture()}"
    if version[:2] < OLDEST_PYTHON:
        remedy = "use Python 3.10 or newer"
        return absent("python", found, "nothing here is tested on it", remedy)
    if version[:2] > NEWEST_TESTED_PYTHON:
        remedy = "use Python 3.10 to 3.13 for ROS 2 wheels and the pinned versions"
        return poor("python", found, "newer than what is tested; no ROS 2 wheels", remedy)
    return fine("python", found)


def packages(machine: Machine) -> Finding:
    """What every installation needs, except ONNX Runtime, which has its own row."""
    have, lack = _installed(machine, BASE_PACKAGES)
    if lack:
        remedy = f"pip install {' '.join(lack)}"
        return absent("packages", f"lacks {', '.join(lack)}", "parts of the chain cannot load", remedy)
    return fine("packages", have)


def onnxruntime(machine: Machine) -> Finding:
    """The inference engine of the default configuration, loaded in a process of its own."""
    cpu, gpu = machine.package_version("onnxruntime"), machine.package_version("onnxruntime-gpu")
    if not machine.has_module("onnxruntime"):
        consequence = "the default configuration has no inference engine"
        return absent("onnxruntime", "not installed", consequence, "pip install onnxruntime")
    program = "import onnxruntime as o; print(o.__version__, *o.get_available_providers())"
    try:
        version, *providers = machine.python_output(program).split()
    except (OSError, ValueError) as error:
        consequence = "the default configuration has no inference engine"
        remedy = "pip install --force-reinstall onnxruntime"
        return absent("onnxruntime", f"does not load: {error}", consequence, remedy)
    found = f"{version}: {', '.join(providers)}"
    if cpu and gpu:
        remedy = "pip uninstall onnxruntime onnxruntime-gpu, then install the one that you want"
        consequence = "both packages share one folder; which one loads depends on the order of installation"
        return poor("onnxruntime", f"{found}; onnxruntime {cpu} and onnxruntime-gpu {gpu}", consequence, remedy)
    if gpu and not any(provider in providers for provider in GPU_PROVIDERS):
        remedy = "match the CUDA and cuDNN versions that this onnxruntime-gpu was built for"
        return poor("onnxruntime", found, "the GPU build finds no GPU and computes on the processor", remedy)
    return fine("onnxruntime", found)


def int8(machine: Machine) -> Finding:
    """How this processor adds up products of 8 bits."""
    architecture = machine.architecture()
    if products_saturate(architecture, machine.read("/proc/cpuinfo")):
        consequence = "INT8 bundles run in ONNX Runtime's slower products without overflow; plans there: not measured"
        remedy = "hold the bundle against its golden scenes here (onboard-vla verify BUNDLE)"
        return poor("int8", f"{architecture} without VNNI or AMX", consequence, remedy)
    return fine("int8", f"{architecture}, 8-bit products without overflow")


def tensorrt(machine: Machine) -> Finding:
    """The engine of a vehicle."""
    version = _first_version(machine, TENSORRT_PACKAGES)
    if version or machine.has_module("tensorrt"):
        return fine("tensorrt", version or "present, version unknown", NOT_USED)
    remedy = "on Jetson it is part of JetPack (apt install nvidia-jetpack; let the environment see system packages)"
    if machine.architecture() == "x86_64":
        remedy = f"on a machine with a GPU: {installation('trt')}"
    return absent("tensorrt", "not installed", f"no TensorRT engines; {NOT_USED}", remedy)


def tensorrt_rtx(machine: Machine) -> Finding:
    """TensorRT's compiler front end that needs no GPU."""
    version = _first_version(machine, TENSORRT_RTX_PACKAGES)
    if version:
        return fine("tensorrt_rtx", version, NOT_USED)
    consequence = f"the graphs are not checked against TensorRT's compiler; {NOT_USED}"
    return absent("tensorrt_rtx", "not installed", consequence, f"x86-64 only: {installation('rtx')}")


def cuda_driver(machine: Machine) -> Finding:
    """Whether libcuda opens; nothing is initialised."""
    tegra = (machine.read("/etc/nv_tegra_release") or "").split("\n")[0].strip("# ")
    if not machine.loads_library("libcuda.so.1"):
        found = f"libcuda.so.1 does not load{f' ({tegra})' if tegra else ''}"
        remedy = "needs an NVIDIA GPU with its driver; on Jetson, JetPack"
        return absent("cuda_driver", found, f"no GPU; {NOT_USED}", remedy)
    version = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\S+)", machine.read("/proc/driver/nvidia/version") or "")
    driver = tegra or (f"driver {version[1]}" if version else "version unknown")
    return fine("cuda_driver", f"libcuda.so.1, {driver}", NOT_USED)


def cuda_compiler(machine: Machine) -> Finding:
    """The compiler of the GPU kernels."""
    path = machine.which("nvcc")
    if path is None:
        consequence = "GPU kernels cannot be compiled here"
        remedy = "install the CUDA toolkit of the driver's major version and put its bin folder on PATH"
        return absent("cuda_compiler", "no nvcc on PATH", consequence, remedy)
    try:
        release = re.search(r"release (\S+),", machine.output(path, "--version"))
    except OSError as error:
        remedy = "repair or remove it from PATH"
        return poor("cuda_compiler", f"{path}: {error}", "GPU kernels cannot be compiled here", remedy)
    return fine("cuda_compiler", f"{path}, {release[1] if release else 'release unknown'}")


def cxx_compiler(machine: Machine) -> Finding:
    """The compiler of the host build of the kernels."""
    named = machine.environment().get("CXX")
    for command in (named,) if named else ("c++", "g++", "clang++"):
        path = machine.which(command)
        if path:
            return fine("cxx_compiler", f"{path}, {machine.output(path, '--version').splitlines()[0]}")
    found = f"CXX={named} is not a command" if named else "no c++, g++ or clang++ on PATH"
    consequence = "kernels run in their NumPy form, same results"
    return absent("cxx_compiler", found, consequence, "Debian and Ubuntu: apt install g++")


def kernels(machine: Machine) -> Finding:
    """Which form of the kernels runs, and whether GPU code was built; loaded in a process of its own."""
    asked = machine.environment().get("ONBOARD_VLA_KERNELS")
    program = "import onboard_vla.kernels.forms as f; print(f.kernel_form().name, f.fat_binary() or '', sep='\\n')"
    try:
        form, fat_binary = (machine.python_output(program) + "\n").splitlines()[:2]
    except (OSError, ValueError) as error:
        return poor("kernels", f"do not load: {error}", "no picture can be prepared", "pip install again")
    found = f"{form}{' as asked for' if asked else ''}; "
    found += f"GPU code in {fat_binary}" if fat_binary else "no GPU code"
    if form == "NumPy" and not asked:
        remedy = "install a C++ compiler, then this package again"
        return poor("kernels", found, "same results, pictures take several times as long", remedy)
    return fine("kernels", found)


def export(machine: Machine) -> Finding:
    """What writes bundles."""
    have, lack = _installed(machine, EXPORT_PACKAGES)
    if lack:
        consequence = "no bundle can be exported here: no demo"
        remedy = installation("export")
        return absent("export", f"lacks {', '.join(lack)}", consequence, remedy)
    return fine("export", have)


def world(machine: Machine) -> Finding:
    """What the driving world and the reports need."""
    have, lack = _installed(machine, WORLD_PACKAGES)
    if lack:
        consequence, remedy = "no driving world: no demo, no evaluation", installation("world")
        return absent("world", f"lacks {', '.join(lack)}", consequence, remedy)
    return fine("world", have)


def training(machine: Machine) -> Finding:
    """What trains and what parity is measured against; from metadata, nothing is imported."""
    have, lack = _installed(machine, TRAINING_PACKAGES)
    if lack:
        consequence = "no training and no parity tests against transformers; the vehicle needs neither"
        return absent("training", f"lacks {', '.join(lack)}", consequence, installation("train"))
    return fine("training", have)


def reference_checkpoint(machine: Machine) -> Finding:
    """The small model that the demo drives with."""
    folder = machine.package_folder() / "world" / "reference"
    sizes = {name: machine.file_size(folder / name) for name in REFERENCE_FILES}
    lack = [name for name, size in sizes.items() if not size]
    if lack:
        remedy = "reinstall or check out the repository whole; or train it: onboard-vla train --help"
        found = f"lacks {', '.join(lack)} in {folder}"
        return absent("reference_checkpoint", found, "no demo", remedy)
    return fine("reference_checkpoint", f"{(sizes['model.safetensors'] or 0) / BYTES_PER_MB:.1f} MB of weights")


def _installed(machine: Machine, names: tuple[str, ...]) -> tuple[str, list[str]]:
    """The installed of these distributions with their versions, as text, and the missing ones."""
    versions = {name: machine.package_version(name) for name in names}
    have = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return have, [name for name, version in versions.items() if version is None]


def _first_version(machine: Machine, names: tuple[str, ...]) -> str | None:
    return next((version for name in names if (version := machine.package_version(name))), None)
