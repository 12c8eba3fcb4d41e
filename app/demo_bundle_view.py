"""The bundle on the terminal: a progress bar while it is exported, then what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from onboard_vla.app.demo_bundle import PRECISION, REFERENCE_CHECKPOINT, PreparedBundle, given_bundle, prepare_bundle

GOLDEN = "golden/"
"""Folder of the scenes in a bundle that parity is measured on."""


def prepare_with_progress(
    checkpoint: Path | None, out: Path, console: Console, given: Path | None = None, precision: str = PRECISION
) -> PreparedBundle:
    """Export with a progress bar, or take the bundle in `given`, then show what came of it."""
    cache = out / "bundles"
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("bundle", total=1.0)

        def progress(words: str, share: float) -> None:
            bar.update(task, description=words, completed=share)

        if given is not None:
            prepared = given_bundle(given, cache, progress)
        else:
            prepared = prepare_bundle(
                checkpoint or REFERENCE_CHECKPOINT,
                cache,
                progress,
                lambda line: console.print(line, soft_wrap=True, markup=False),
                precision,
            )
    console.print(bundle_table(prepared))
    return prepared


def bundle_table(prepared: PreparedBundle) -> Table:
    """Precision, sizes and parity of a bundle."""
    title = f"bundle {prepared.core_hash[:12]}: {prepared.precision}, {prepared.origin}; parity measured now"
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("value")
    table.add_row("precision", ", ".join(f"{part} {kind}" for part, kind in prepared.precision_by_part.items()))
    for name, size in file_sizes(prepared.bytes_by_file):
        table.add_row(name, f"{size / 1e6:.2f} MB")
    for name, value in parity_rows(prepared.parity):
        table.add_row(f"parity, {name}", value)
    table.add_row("thresholds", "provisional: accepted by the simulation profile alone")
    if prepared.unjudged:
        table.add_row("UNJUDGED", "; ".join(prepared.unjudged))
    return table


def file_sizes(bytes_by_file: dict[str, int]) -> list[tuple[str, int]]:
    """Files with their bytes, largest first; all golden scenes as one row."""
    golden = [size for name, size in bytes_by_file.items() if name.startswith(GOLDEN)]
    rows = [(name, size) for name, size in bytes_by_file.items() if not name.startswith(GOLDEN)]
    if golden:
        rows.append((f"{len(golden)} golden scenes", sum(golden)))
    return sorted(rows, key=lambda row: -row[1])


def parity_rows(parity: dict[str, Any]) -> list[tuple[str, str]]:
    """Figures as text, each with its limit if it has one."""
    limits = parity.get("limits", {})
    rows = []
    for name, value in parity.items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if name in limits:
            text += f" (at most {limits[name]:.3g})"
        if not isinstance(value, dict):
            rows.append((name.replace("_", " "), text))
    return rows
