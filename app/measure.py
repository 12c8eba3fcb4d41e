"""`onboard-vla measure`: questions about a checkpoint, answered on unseen worlds with bounds; plans are made once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from onboard_vla.app.closed_loop import require_known
from onboard_vla.app.closed_loop_json import write_json
from onboard_vla.app.demo_bundle_view import prepare_with_progress
from onboard_vla.app.demo_cameras import require_cameras
from onboard_vla.app.evaluation.variant import PRECISIONS
from onboard_vla.app.measures.collect import Job, collect
from onboard_vla.app.measures.conditions import BLIND, PHOTOS, photographs
from onboard_vla.app.measures.figures import CONDITIONS_OF, MEASURES, PROBES, SIGNALS, Figure
from onboard_vla.app.output_places import require_folder, require_writable
from onboard_vla.app.report.provenance import provenance_of
from onboard_vla.core.errors import ArgumentError, ConfigurationError
from onboard_vla.world.rig import default_rig

MEASURE_FORMAT = 1


@dataclass(frozen=True)
class MeasureRequest:
    """The command's arguments; see `measure_commands`."""

    whats: tuple[str, ...]
    seeds: tuple[int, ...]
    seconds: float
    profile: str
    precision: str
    checkpoint: Path | None
    blind: Path | None
    photos: Path | None
    out: Path
    json_path: Path | None
    workers: int | None


def run_measure(request: MeasureRequest, console: Console) -> int:
    """Collect, work out, print and write; 0 unless something could not run.

    Raises:
        OnboardVlaError: no such measure, profile, precision or checkpoint, or a photograph is missing.
    """
    _require(request)
    prepared = prepare_with_progress(request.checkpoint, request.out, console, precision=request.precision)
    require_cameras(prepared.path, default_rig())
    blind = None
    wanted = dict.fromkeys(condition for what in request.whats for condition in CONDITIONS_OF[what])
    if request.blind is not None and BLIND in wanted:
        blind = prepare_with_progress(request.blind, request.out, console, precision=request.precision)
    missing = {BLIND if blind is None else "", PHOTOS if request.photos is None else ""}
    conditions = tuple(condition for condition in wanted if condition not in missing)
    jobs = [
        Job(
            seed=seed,
            profile=request.profile,
            seconds=request.seconds,
            conditions=conditions,
            bundle=prepared.path,
            blind=blind.path if blind else None,
            photos=request.photos,
            features=PROBES in request.whats or SIGNALS in request.whats,
            staged=SIGNALS in request.whats,
        )
        for seed in request.seeds
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("worlds", total=len(jobs))
        rows = collect(jobs, lambda: bar.advance(task), request.workers)
    if not rows:
        without = f"{request.profile} has no signals: --profile urban has" if SIGNALS in request.whats else ""
        raise ConfigurationError(f"no world gave a sample: {without or 'more --seconds or other seeds'}")
    figures = {what: MEASURES[what](rows) for what in request.whats}
    for what, found in figures.items():
        console.print(table_of(request, what, found, len(rows)))
    if request.json_path:
        bundles = {"model": prepared.summary(), **({"blind": blind.summary()} if blind else {})}
        write_json(request.json_path, document(request, figures, len(rows), bundles))
    return 0


def table_of(request: MeasureRequest, what: str, figures: Sequence[Figure], samples: int) -> Table:
    """Figures with bounds and aims."""
    title = f"{what}: {samples} samples of {len(request.seeds)} unseen worlds, {request.precision}"
    table = Table(title=title, title_justify="left")
    for column in ("", "value [95 % bounds]", "n", "aim"):
        table.add_column(column)
    for figure in figures:
        found = figure.estimate
        table.add_row(figure.name, str(found) if found else "-", str(found.n) if found else "-", figure.aim)
    return table


def document(
    request: MeasureRequest, figures: dict[str, list[Figure]], samples: int, bundles: dict[str, Any]
) -> dict[str, Any]:
    """Everything as JSON."""
    run = {
        "profile": request.profile,
        "seconds": request.seconds,
        "seeds": list(request.seeds),
        "precision": request.precision,
        "samples": samples,
        "with photographs": request.photos is not None,
    }
    return {
        "format": MEASURE_FORMAT,
        "measures": {what: [dataclasses.asdict(figure) for figure in found] for what, found in figures.items()},
        "provenance": provenance_of(bundles, run),
    }


def _require(request: MeasureRequest) -> None:
    if unknown := [what for what in request.whats if what not in MEASURES]:
        raise ArgumentError(f"measure {unknown[0]!r}: expected one of {', '.join(MEASURES)}")
    if SIGNALS in request.whats and len(request.whats) > 1:
        raise ArgumentError(f"measure {SIGNALS}: ask it alone; its samples are placed before signals, not driven")
    if request.precision not in PRECISIONS:
        raise ArgumentError(f"--precision {request.precision!r}: expected one of {', '.join(PRECISIONS)}")
    require_known(request.profile, ())
    if request.photos is not None:
        photographs(request.photos)
    require_folder("--out", request.out)
    require_writable("--json", request.json_path)
