"""How a benchmark whose result is one table says it: with the machine's state and the versions that made it."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version


def show(result: Mapping[str, object], *, as_json: bool) -> None:
    """Print the table, or one JSON document."""
    state = {
        "onnxruntime": version("onnxruntime"),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }
    table = {**result, **state}
    if as_json:
        sys.stdout.write(json.dumps(table, indent=2) + "\n")
        return
    width = max(map(len, table))
    for name, value in table.items():
        sys.stdout.write(f"{name:{width}} {value}\n")
