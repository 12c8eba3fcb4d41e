"""Reads which members the published TensorRT bindings have, without TensorRT: `tensorrt_members.json` beside this file.

    python tests/runtime/read_tensorrt_bindings.py        # needs pip, a C compiler and Python 3.11

The wheels `tensorrt-cu12-bindings` of the named versions are NVIDIA's Python bindings alone, without the libraries.
They import where libraries with the nine C functions stand in that they ask for; every class then tells its members.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSIONS = ("10.3.0", "11.4.0.106")
CLASSES = (
    "Builder",
    "BuilderFlag",
    "DataType",
    "ExecutionContextAllocationStrategy",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "ITensor",
    "ITimingCache",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "Runtime",
    "TensorIOMode",
)
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
READ = """
import json, sys
import tensorrt_bindings as trt
members = {name: [m for m in dir(getattr(trt, name)) if not m.startswith("_")] for name in sys.argv[1:]}
members["module"] = [name for name in dir(trt) if not name.startswith("_")]
print(json.dumps(members))
"""


def members(version: str, folder: Path) -> dict[str, list[str]]:
    """Members of each class, and of the module, in one version."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    subprocess.run([*pip, f"tensorrt-cu12-bindings=={version}"], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    source, major = folder / "stand_in.c", version.split(".")[0]
    source.write_text("".join(f"void* {name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        name = f"lib{library}.so.{major}"
        command = ["cc", "-shared", "-fPIC", "-o", str(folder / name), f"-Wl,-soname,{name}", str(source)]
        subprocess.run(command, check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    read = [sys.executable, "-c", READ, *CLASSES]
    found = subprocess.run(read, env=environment, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(found.stdout))


def main() -> None:
    """Write the file."""
    found = {}
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            found[version] = members(version, Path(folder))
    text = _text(found)
    Path(__file__).with_name("tensorrt_members.json").write_text(text + "\n")


def _text(found: dict[str, dict[str, list[str]]]) -> str:
    """One line a class."""
    versions = [
        f'"{version}": {{\n' + ",\n".join(f'"{name}": {json.dumps(list_)}' for name, list_ in classes.items()) + "\n}"
        for version, classes in found.items()
    ]
    return '{"source": "tensorrt-cu12-bindings on PyPI", "versions": {\n' + ",\n".join(versions) + "\n}}"


if __name__ == "__main__":
    main()
