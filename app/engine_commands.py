"""`onboard-vla build-engine`: TensorRT engines on the machine that is to run them, or the compile check anywhere."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

JSON_FORMAT = 2
"""Version of the document that `--json` prints."""
BYTES_PER_MIB = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("build-engine", epilog="Example: `onboard-vla build-engine out/bundle --check`")(build_engine)


def build_engine(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the engines, BUNDLE.engines if not given.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Compile with TensorRT-RTX for SM86; no GPU needed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
) -> None:
    """Build a bundle's TensorRT engines on this machine and judge them on its golden scenes; no GPU has run it yet.

    The planner takes engines that passed, on the machine that built them (option `engine: tensorrt`). With --check: a
    check of the compiler's front end on a machine without a GPU, which reads from the plans what layers are computed in
    integers; nothing is executed, and no engine is kept.
    """
    if check:
        _check(bundle, as_json)
    else:
        _build(bundle, out, as_json)


def _build(bundle: Path, out: Path | None, as_json: bool) -> None:
    from rich.console import Console

    from onboard_vla.app import export_progress

    choice = importlib.import_module("onboard_vla.runtime.engine_choice")
    trt = importlib.import_module("onboard_vla.runtime.tensorrt_module").import_tensorrt()
    load_manifest = importlib.import_module("onboard_vla.core.bundle_manifest").load_manifest
    gate = importlib.import_module("onboard_vla.runtime.engine_gate")
    device = importlib.import_module("onboard_vla.kernels.launch_driver").DriverDevice()
    building = importlib.import_module("onboard_vla.export.engine_build")
    folder = out or choice.engines_folder(bundle)
    with export_progress.ExportProgress(Console(stderr=True)) as progress:
        figures = building.build_engines(trt, bundle, folder, device, progress.show)
    document: dict[str, Any] = {"format": JSON_FORMAT, "bundle": str(bundle), "engines": str(folder)}
    document["figures"] = figures.as_table()
    unjudged = gate.gate_unjudged(load_manifest(bundle))
    document["unjudged"] = list(unjudged)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{folder}: engines of {bundle} passed the parity gate over {figures.scenes} scenes")
    if unjudged:
        typer.echo(f"UNJUDGED, so no vehicle takes them: {'; '.join(unjudged)}")


def _check(bundle: Path, as_json: bool) -> None:
    compiled = importlib.import_module("onboard_vla.export.tensorrt_check").check_bundle(bundle)
    if as_json:
        graphs = [dataclasses.asdict(item) for item in compiled]
        typer.echo(json.dumps({"format": JSON_FORMAT, "bundle": str(bundle), "graphs": graphs}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "graph", "plan", "seconds", "layers in their type", title=f"{bundle}: compiled for SM86, not executed"
    )
    for item in compiled:
        size = f"{item.plan_bytes / BYTES_PER_MIB:.1f} MiB"
        table.add_row(item.graph, size, f"{item.seconds:.1f}", f"{item.found} of {item.expected} {item.kind}")
    Console().print(table)
