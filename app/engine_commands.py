"""`onboard-vla build-engine`: so far the compile check alone."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Annotated

import typer

from onboard_vla.core.errors import EnvironmentLacksError

JSON_FORMAT = 1
"""Version of the document that `--json` prints."""
BYTES_PER_MIB = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("build-engine", epilog="Example: `onboard-vla build-engine out/bundle --check`")(build_engine)


def build_engine(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    check: Annotated[bool, typer.Option("--check", help="Compile with TensorRT-RTX for SM86; no GPU needed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
) -> None:
    """Compile a bundle's graphs and read from the plans which layers are computed in integers.

    A check of the compiler's front end on a machine without a GPU; nothing is executed, and no engine is kept.
    """
    if not check:
        raise EnvironmentLacksError("engines for the vehicle cannot be built with this version: only --check works")
    compiled = importlib.import_module("onboard_vla.export.tensorrt_check").check_bundle(bundle)
    if as_json:
        graphs = [dataclasses.asdict(item) for item in compiled]
        typer.echo(json.dumps({"format": JSON_FORMAT, "bundle": str(bundle), "graphs": graphs}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("graph", "plan", "seconds", "layers in integers", title=f"{bundle}: compiled for SM86, not executed")
    for item in compiled:
        size = f"{item.plan_bytes / BYTES_PER_MIB:.1f} MiB"
        table.add_row(item.graph, size, f"{item.seconds:.1f}", f"{item.integer} of {item.expected}")
    Console().print(table)
