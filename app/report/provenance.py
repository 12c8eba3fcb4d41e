"""What a run was made of: versions, machine, bundle; never a path, a host or a user name."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from onboard_vla import __version__
from onboard_vla.world.source_commit import commit

PACKAGES = ("numpy", "onnxruntime", "numba", "pyzmq", "rclpy", "matplotlib")
CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")


def machine_summary() -> dict[str, str]:
    """Processor, cores, memory and system in a few words."""
    memory = _field(MEMINFO, "MemTotal")
    gibibytes = f"{int(memory.split()[0]) / 2**20:.0f} GiB" if memory else "unknown"
    return {
        "processor": _field(CPUINFO, "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": gibibytes,
        "system": f"{platform.system()} {platform.machine()}",
        "load average when this was written": f"{os.getloadavg()[0]:.2f}",
    }


def versions() -> dict[str, str]:
    """This package, the interpreter, and what the run stands on."""
    found = {"onboard-vla": __version__, "commit": commit(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def provenance_of(bundle: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Everything for the report's last table and the JSON."""
    return {"run": run, "bundle": bundle, "versions": versions(), "machine": machine_summary()}


def _field(path: Path, name: str) -> str:
    if not path.exists():
        return ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
