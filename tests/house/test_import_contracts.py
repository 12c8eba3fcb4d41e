"""Who may call whom: DESIGN's table of rooms, held against every import statement of the package.

Read from the syntax tree, so that imports inside functions count and nothing has to be installed. An import under
`if TYPE_CHECKING` counts like any other: a type that crosses a wall belongs to core.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import onboard_vla

PACKAGE = Path(onboard_vla.__file__).parent
STANDARD = frozenset(sys.stdlib_module_names)
ROS_MESSAGES = frozenset(
    f"{name}_msgs"
    for name in (
        "diagnostic",
        "geometry",
        "lifecycle",
        "nav",
        "onboard_vla",
        "rosgraph",
        "sensor",
        "std",
        "trajectory",
        "visualization",
    )
) | {"autoware_adapi_v1_msgs", "autoware_planning_msgs", "builtin_interfaces", "rcl_interfaces", "std_srvs"}
TRAINING = frozenset({"torch", "transformers"})


@dataclass(frozen=True)
class Rules:
    """What a room's modules may import; `lazy` names are allowed inside functions only."""

    rooms: frozenset[str]
    packages: frozenset[str]
    lazy: frozenset[str] = frozenset()


def rules(rooms: str = "", packages: str = "", lazy: str = "") -> Rules:
    return Rules(frozenset(rooms.split()), frozenset(packages.split()) | {"numpy"}, frozenset(lazy.split()))


EVERY_ROOM = "core kernels runtime safety export calibration ros_nodes hil world"
ROOMS = {
    "core": rules(),
    "kernels": rules("core", lazy="pycuda PIL"),
    "runtime": rules("core kernels", "onnxruntime tokenizers PIL simplejpeg", lazy="tensorrt"),
    "safety": rules("core"),
    "export": rules(
        "core kernels runtime",
        "onnx onnxruntime safetensors ml_dtypes tokenizers PIL jsonschema",
        lazy="tensorrt tensorrt_rtx torch transformers",
    ),
    "calibration": rules("core runtime safety export", "onnxruntime"),
    "ros_nodes": rules(
        "core runtime safety", f"rclpy rpyutils ament_index_python yaml rosbags PIL {' '.join(ROS_MESSAGES)}"
    ),
    "hil": rules("core runtime safety", "zmq yaml"),
    "world": rules("core", "numba"),
    "app": rules(EVERY_ROOM, "typer click rich yaml jsonschema PIL matplotlib psutil", lazy="onnxruntime zmq rclpy"),
}
TORCH_FILES = ("onboard_vla.export.lightning_store", "onboard_vla.export.transformers_oracle")
"""The one reads a format of torch's own through nothing but `torch.load(weights_only=True)`, the other is the oracle of
`verify --checkpoint`; both lazily."""
TRAINING_MODULES = tuple(f"onboard_vla.world.{name}" for name in ("train", "model", "dataset", "card"))
"""Module name prefixes: the reference checkpoint's training, an extra of the world."""
TRAINING_RULES = Rules(
    frozenset({"core", "runtime"}),
    frozenset({"numpy", "numba", "tokenizers", "safetensors", "PIL", "typer", "rich", "matplotlib"}) | TRAINING,
)


DISTILLATION = ("onboard_vla.export.distillation", "onboard_vla.export.make_student")
"""Training of students; the command loads it when it runs."""
DISTILLATION_RULES = Rules(ROOMS["export"].rooms, ROOMS["export"].packages | TRAINING)


LAUNCH_MODULES = "onboard_vla.ros_nodes.onboard_vla_bringup.launch."
LAUNCH_RULES = rules(packages="launch launch_ros")
"""Files that `ros2 launch` runs; they are no modules of the package, but lie where it finds them."""


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    target: str
    in_function: bool


def modules() -> Iterator[tuple[str, Path]]:
    for room in sorted(ROOMS):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            inside = path.relative_to(PACKAGE).with_suffix("").parts
            name = ".".join(("onboard_vla", *inside))
            yield name.removesuffix(".__init__"), path


def imports(module: str, source: str, is_package: bool = False) -> Iterator[Import]:
    """All imports of a module, targets absolute and as deep as the statement names them."""
    tree = ast.parse(source)
    within = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, alias.name, id(node) in within)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".") if is_package else module.split(".")[:-1]
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            start = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield Import(module, node.lineno, f"{start}.{alias.name}", id(node) in within)


def rules_of(module: str) -> Rules:
    if module.startswith(TRAINING_MODULES):
        return TRAINING_RULES
    if module.startswith(DISTILLATION):
        return DISTILLATION_RULES
    if module.startswith(LAUNCH_MODULES):
        return LAUNCH_RULES
    return ROOMS[module.split(".")[1]]


def breach(found: Import) -> str | None:
    """Why this import is not allowed, or None."""
    allowed = rules_of(found.module)
    parts = found.target.split(".")
    where = f"{found.module}:{found.line} imports {found.target}"
    if parts[0] == "onboard_vla":
        own = found.module.split(".")[1]
        target = parts[1] if len(parts) > 1 else ""
        if target in ("", "__version__", "*") or target == own:
            return None
        return None if target in allowed.rooms else f"{where}: {own} may import {sorted(allowed.rooms) or 'no room'}"
    if parts[0] in STANDARD or parts[0] in allowed.packages:
        return None
    if parts[0] in allowed.lazy:
        return None if found.in_function else f"{where} at module level: allowed inside functions only"
    return f"{where}: allowed packages are {sorted(allowed.packages | allowed.lazy)}"


@pytest.fixture(scope="module")
def found():
    """Every import of every module of the package."""
    every = [i for name, path in modules() for i in imports(name, path.read_text("utf-8"), path.name == "__init__.py")]
    assert every, "no imports found: is the package installed with its links?"
    return every


def test_every_room_keeps_to_its_imports(found):
    assert [reason for i in found if (reason := breach(i))] == []


def test_training_a_reader_and_an_oracle_import_torch_and_nothing_else_imports_training(found):
    outside = [
        f"{i.module}:{i.line} imports {i.target}"
        for i in found
        if not i.module.startswith((*TRAINING_MODULES, "onboard_vla.app", *TORCH_FILES, *DISTILLATION))
        and (i.target.split(".")[0] in TRAINING or i.target.startswith(("onboard_vla.world.train", *DISTILLATION)))
    ]

    assert outside == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("onboard_vla.safety.supervisor", "from onboard_vla.runtime.planner import Planner"),
        ("onboard_vla.safety.supervisor", "from onboard_vla import runtime"),
        ("onboard_vla.safety.guards.road", "from ...runtime import planner"),
        ("onboard_vla.safety.ladder", "def f():\n    import onnxruntime"),
        ("onboard_vla.core.wire", "import yaml"),
        ("onboard_vla.core.wire", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import onboard_vla.safety"),
        ("onboard_vla.kernels.launch", "import pycuda.driver"),
        ("onboard_vla.world.render", "import torch"),
        ("onboard_vla.ros_nodes.vla_planner", "from onboard_vla.world.world import World"),
    ],
)
def test_a_forbidden_import_is_found(module, source):
    assert any(breach(i) for i in imports(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("onboard_vla.safety.guards.road", "import math\nimport numpy as np\nfrom ...core import geometry"),
        ("onboard_vla.safety.guards.road", "from .worst import worst\nfrom ..ladder import Ladder"),
        ("onboard_vla.kernels.launch", "def load():\n    import pycuda.driver"),
        ("onboard_vla.world.train", "import torch\nfrom onboard_vla.runtime.planner import Planner"),
        ("onboard_vla.app.cli", "from onboard_vla import __version__"),
    ],
)
def test_an_allowed_import_passes(module, source):
    assert [breach(i) for i in imports(module, source) if breach(i)] == []


def test_runtime_and_safety_load_without_torch_and_transformers():
    program = (
        "import pkgutil, sys, importlib, onboard_vla.runtime, onboard_vla.safety\n"
        "for room in (onboard_vla.runtime, onboard_vla.safety):\n"
        "    for module in pkgutil.walk_packages(room.__path__, room.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print(sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr
