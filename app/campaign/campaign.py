"""One campaign from arguments to exit status: plan the jobs, run them, add up, write JSON and HTML."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from onboard_vla.app.campaign.catalogue import as_lines, catalogue, catalogue_document
from onboard_vla.app.campaign.cells import CellResult, family_rows
from onboard_vla.app.campaign.document import document, provenance
from onboard_vla.app.campaign.fallback_scores import ScoreResult, score_row
from onboard_vla.app.campaign.fault_case import FAULTS
from onboard_vla.app.campaign.figures import EXIT_STATUS, FAIL, PASS, CampaignVerdict, case_rows, verdict_of
from onboard_vla.app.campaign.golden import GoldenDrive, figures_of
from onboard_vla.app.campaign.jobs import Result
from onboard_vla.app.campaign.outcome import OUTCOMES
from onboard_vla.app.campaign.page import page
from onboard_vla.app.campaign.real import RealJob, run_real
from onboard_vla.app.campaign.real_result import RealResult
from onboard_vla.app.campaign.recovery import RecoveryResult
from onboard_vla.app.campaign.request import (
    STARTS,
    CampaignRequest,
    check_request,
    missing,
    real_time_jobs,
    virtual_jobs,
)
from onboard_vla.app.campaign.runner import AnyJob, ResultStore, run_jobs
from onboard_vla.app.campaign.slow_drift import DriftResult
from onboard_vla.app.campaign.soak import as_document, parse_duration, soak, soak_figures
from onboard_vla.app.campaign.startup import start_ups
from onboard_vla.app.output_places import is_stream, require_folder, require_writable
from onboard_vla.world.source_commit import commit

SPEED_OVER_S = 60.0
"""The time left is estimated from what was done in this time."""


def run_campaign(request: CampaignRequest, console: Console) -> int:
    """Run, report, return the exit status.

    Raises:
        ArgumentError: a fault or part that there is not.
        ConfigurationError: results that cannot be read, or places that cannot be written.
    """
    check_request(request)
    index, count = request.shard
    require_folder("--resume", request.resume)
    require_writable("--json", request.json_path)
    require_writable("--json", _page_path(request.json_path))
    store = ResultStore(request.resume, f"shard-{index}-of-{count}", commit())
    jobs, wanted = virtual_jobs(request), real_time_jobs(request)
    try:
        _run(jobs, wanted, store, request.workers, console)
    except KeyboardInterrupt:
        kept = store.kept(job.key for job in (*jobs, *wanted))
        console.print(_interrupted(request.resume, kept, len(jobs) + len(wanted)), soft_wrap=True, highlight=False)
        raise
    return report(request, store, missing(request, store), console).exit_status


def _run(
    jobs: Sequence[AnyJob], wanted: Sequence[RealJob], store: ResultStore, workers: int | None, console: Console
) -> None:
    """What is kept already counts as done, and not as speed."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=SPEED_OVER_S,
    ) as bar:
        kept = store.kept(job.key for job in jobs)
        task = bar.add_task("drives in virtual time", total=len(jobs), completed=kept)
        run_jobs(jobs, store, lambda: bar.advance(task), workers)
        if wanted:
            open_jobs = [job for job in wanted if job.key not in store.results]
            kept = len(wanted) - len(open_jobs)
            task = bar.add_task("injections on real processes", total=len(wanted), completed=kept)
            for job in open_jobs:
                store.add(run_real(job))
                bar.advance(task)


def _interrupted(folder: Path | None, kept: int, wanted: int) -> str:
    """What an interrupt leaves, and how to go on."""
    if folder is None:
        return "interrupted: no result is kept; with --resume FOLDER each is, and the same command goes on from there"
    return f"interrupted: {kept} of {wanted} results are kept in {folder}; the same command goes on from there"


def run_soak(duration: str, json_path: Path, workers: int | None, console: Console) -> int:
    """F30; returns the exit status.

    Raises:
        ArgumentError: not a time.
        ConfigurationError: the result could not be written.
    """
    seconds = parse_duration(duration)
    require_writable("--json", json_path)
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("drives without a fault", total=None)
        try:
            drives = soak(seconds, workers, lambda drive: bar.advance(task))
        except KeyboardInterrupt:
            console.print("interrupted: nothing of a soak is kept; ask for a shorter one", highlight=False)
            raise
    figures = soak_figures(drives)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    content = {**as_document(drives, figures), "provenance": provenance()}
    json_path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for failure in figures.failures:
        console.print(f"  {failure}", highlight=False)
    outcome = FAIL if figures.failures else PASS
    console.print(f"{outcome}: {figures.drives} drives, {figures.hours:.2f} h driven in {duration}; {json_path}")
    return EXIT_STATUS[outcome]


def report(request: CampaignRequest, store: ResultStore, lacking: int, console: Console) -> CampaignVerdict:
    """Write JSON, and HTML beside it where it is a file; print the table."""
    results = [r for r in store.results.values() if isinstance(r, Result)]
    results.sort(key=lambda r: r.key)
    golden = sorted((r for r in store.results.values() if isinstance(r, GoldenDrive)), key=lambda d: (d.road, d.seed))
    real = sorted((r for r in store.results.values() if isinstance(r, RealResult)), key=lambda r: r.key)
    cells = [r for r in store.results.values() if isinstance(r, CellResult)]
    recoveries = sorted((r for r in store.results.values() if isinstance(r, RecoveryResult)), key=lambda r: r.key)
    drifts = sorted((r for r in store.results.values() if isinstance(r, DriftResult)), key=lambda r: r.key)
    scores = score_row([r for r in store.results.values() if isinstance(r, ScoreResult)])
    start_up = start_ups() if request.has(STARTS) and (not request.faults or "F25" in request.faults) else []
    figures = figures_of(golden) if golden else None
    families, foreign = family_rows(cells), store.foreign
    verdict = verdict_of(results, figures, real, lacking, families, start_up, recoveries, drifts, scores, foreign)
    asked = {
        "campaign": "all" if request.everything else "quick",
        "faults": ", ".join(request.faults) or "all",
        "parts": ", ".join(request.parts) or "all",
        "shard": f"{request.shard[0]} of {request.shard[1]}",
        "jobs missing": lacking,
        "results of another state of the code": foreign,
    }
    content = document(results, golden, figures, real, verdict, asked, cells, start_up, recoveries, drifts, scores)
    request.json_path.parent.mkdir(parents=True, exist_ok=True)
    request.json_path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    html_path = _page_path(request.json_path)
    if html_path is not None:
        html_path.write_text(page(content), encoding="utf-8")
    console.print(outcome_table(results))
    for reason in verdict.reasons:
        console.print(f"  {reason}", highlight=False)
    injected, off = content["counts"]["virtual_injections"], content["counts"]["virtual_injections_monitor_off"]
    console.print(
        f"{verdict.outcome}: {injected} injections in virtual time, {len(real)} on real processes, {off} with the "
        f"monitor off, {len(recoveries)} recoveries, {len(cells)} scenario cells, {len(golden)} golden drives; "
        f"{', '.join(str(path) for path in (request.json_path, html_path) if path is not None)}"
    )
    return verdict


def _page_path(json_path: Path) -> Path | None:
    """Where the page goes: beside the JSON, and nowhere if that goes to a device or a pipe."""
    return None if is_stream(json_path) else json_path.with_suffix(".html")


def outcome_table(results: list[Result]) -> Table:
    """One row a fault, its variants added up."""
    table = Table(title="outcomes with the monitor on", title_justify="left")
    columns = [o for o in OUTCOMES if any(r.outcomes.get(o) for r in case_rows(results))]
    for column in ("fault", "", "injections", *columns, "FHTI max, ms"):
        table.add_column(column)
    rows = case_rows(results)
    for fault in dict.fromkeys(row.case.fault for row in rows):
        mine = [row for row in rows if row.case.fault == fault]
        longest = max((row.handling.largest for row in mine if row.handling and row.case.asks == "reach"), default=None)
        table.add_row(
            fault,
            FAULTS[fault],
            str(sum(row.injections for row in mine)),
            *(str(sum(row.outcomes.get(o, 0) for row in mine) or "") for o in columns),
            "" if longest is None else f"{longest:.0f}",
        )
    return table


def list_faults(console: Console, json_path: Path | None) -> None:
    """The catalogue: paragraphs for eyes, in a pipe one line a row, and as JSON where that is asked for."""
    rows = catalogue()
    if json_path is not None:
        require_writable("--json", json_path)
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(catalogue_document(rows), indent=1) + "\n", encoding="utf-8")
        return
    if not console.is_terminal:
        for line in as_lines(rows):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        return
    for fault, mine in itertools.groupby(rows, key=lambda row: row.fault):
        console.print(f"[bold]{fault} {FAULTS[fault]}[/bold]", highlight=False)
        for row in mine:
            words = f"{row.injected}: [bold]{row.asked_in_time}[/bold] ({row.met or row.where})"
            console.print(Padding(words, (0, 0, 0, 4)), highlight=False)
