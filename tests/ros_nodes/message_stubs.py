"""Message classes made of the text of .msg files, for machines that cannot build the real ones.

Such a class has the fields, defaults and constants of the real one, and refuses fields that do not exist. Numbers keep
whatever type they are given; nothing is serialised.
"""

from __future__ import annotations

import re
import sys
from array import array
from pathlib import Path
from types import ModuleType

NUMBER = re.compile(r"u?int\d+|float\d+|byte|char")
CODES = {"float64": "d", "float32": "f", "int64": "q"}
CONSTANT = re.compile(r"^(\S+)\s+([A-Z][A-Z0-9_]*)\s*=\s*(\S+)")
FIELD = re.compile(r"^(\S+)\s+([a-z][a-z0-9_]*)")
STANDARD = {
    "builtin_interfaces": {"Time": "int32 sec\nuint32 nanosec", "Duration": "int32 sec\nuint32 nanosec"},
    "geometry_msgs": {
        "Point": "float64 x\nfloat64 y\nfloat64 z",
        "Quaternion": "float64 x\nfloat64 y\nfloat64 z\nfloat64 w",
        "Pose": "geometry_msgs/Point position\ngeometry_msgs/Quaternion orientation",
    },
    "std_msgs": {"Header": "builtin_interfaces/Time stamp\nstring frame_id"},
}
"""The parts of the common interfaces that ours are made of, as published in ros2/common_interfaces."""


def stub_package(package: str, texts: dict[str, str], modules: dict[str, ModuleType]) -> None:
    """Add `package` and `package.msg` with one class for each text to `modules`, which holds those they refer to."""
    message_module = ModuleType(f"{package}.msg")
    for name, text in texts.items():
        setattr(message_module, name, _message(name, text, package, modules))
    modules[f"{package}.msg"] = message_module
    modules[package] = ModuleType(package)
    modules[package].msg = message_module


def standard_stubs() -> dict[str, ModuleType]:
    """Those of the common interfaces that this environment has not."""
    modules: dict[str, ModuleType] = {}
    for package, texts in STANDARD.items():
        stub_package(package, texts, modules)
    return modules


def texts_of(folder: Path) -> dict[str, str]:
    """Text of each message definition of a package's folder."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((folder / "msg").glob("*.msg"))}


def constants_and_fields(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Constants as name and value, fields as name and type."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    constants = {match[2]: match[3] for line in lines if (match := CONSTANT.match(line))}
    fields = {match[2]: match[1] for line in lines if not CONSTANT.match(line) and (match := FIELD.match(line))}
    return constants, fields


def _message(name: str, text: str, package: str, modules: dict[str, ModuleType]) -> type:
    constants, fields = constants_and_fields(text)

    def default(kind: str) -> object:
        base, _, rest = kind.partition("[")
        if rest:
            return array(CODES[base]) if base in CODES else []
        if NUMBER.fullmatch(base):
            return 0.0 if base.startswith("float") else 0
        if base in ("bool", "string"):
            return False if base == "bool" else ""
        owner, _, what = base.rpartition("/")
        found = modules.get(f"{owner or package}.msg") or sys.modules[f"{owner or package}.msg"]
        return getattr(found, what)()

    def initialise(self: object, **given: object) -> None:
        for field, kind in fields.items():
            setattr(self, field, given.pop(field) if field in given else default(kind))
        if given:
            raise TypeError(f"{name} has no field {', '.join(given)}")

    def equal(self: object, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    numbers = {constant: int(value) for constant, value in constants.items()}
    return type(name, (), {"__init__": initialise, "__eq__": equal, "__hash__": None, "FIELDS": fields, **numbers})
