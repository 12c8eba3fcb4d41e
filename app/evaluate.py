"""`onboard-vla evaluate`: worlds in lock-step, scored with bounds; variants side by side, or the demo on many seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from onboard_vla.app.closed_loop import require_known
from onboard_vla.app.closed_loop_json import write_json
from onboard_vla.app.demo_bundle import PreparedBundle
from onboard_vla.app.demo_bundle_view import prepare_with_progress
from onboard_vla.app.demo_cameras import require_cameras
from onboard_vla.app.evaluation.episode import Job
from onboard_vla.app.evaluation.page import write_page
from onboard_vla.app.evaluation.summary import Summary, as_document, summarise
from onboard_vla.app.evaluation.tables import comparison, demo_table
from onboard_vla.app.evaluation.variant import DEPTHS, SEEN, Variant, with_ablation
from onboard_vla.app.evaluation.work import Result, run_jobs
from onboard_vla.app.lockstep_parts import MODEL, planner_without_model
from onboard_vla.app.output_places import require_folder, require_writable
from onboard_vla.app.report.provenance import provenance_of
from onboard_vla.core.errors import ArgumentError
from onboard_vla.world.looks import require_look
from onboard_vla.world.rig import default_rig

EVALUATION_FORMAT = 2
SCHEMA = Path(__file__).with_name("evaluation") / "report.schema.json"
DEMO_SECONDS = 60.0
DEFAULT_BUNDLE = "default"
"""Stands for the bundle that the reference checkpoint is exported to."""


@dataclass(frozen=True)
class EvaluateRequest:
    """The command's arguments; see `demo_commands.evaluate`."""

    seeds: tuple[int, ...]
    seconds: float
    sensors: tuple[str, ...]
    profile: str
    planner: str
    latency_ms: float
    demo: bool
    supervised: bool
    depth: str
    sees: str
    look: str
    ablations: tuple[str, ...]
    open_loop: bool
    bundle: str
    checkpoint: Path | None
    out: Path
    json_path: Path | None
    html_path: Path | None
    resume: Path | None
    workers: int | None


def run_evaluation(request: EvaluateRequest, console: Console) -> int:
    """Run all episodes, print the comparison, write JSON and page; 0 unless something could not run.

    Raises:
        OnboardVlaError: no checkpoint, no such profile, sensors, planner or ablation: one line that says what to do.
    """
    require_known(request.profile, request.sensors)
    wanted = variants(request)
    _require(request)
    bundles = _bundles(request, wanted, console)
    jobs = [_job(request, variant, seed, bundles) for variant in wanted for seed in request.seeds]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("episodes in virtual time", total=len(jobs))
        results = run_jobs(jobs, bundles, request.resume, lambda: bar.advance(task), request.workers)
    of = {variant: [r for r in results if r["variant"] == variant.name] for variant in wanted}
    first = wanted[0]
    summaries = [summarise(v.name, v.sensor, of[v], of[first] if v != first else ()) for v in wanted]
    title = f"{request.planner} on {request.profile}, {_seconds(request):g} s each, lock-step"
    console.print(comparison(title, summaries))
    if request.demo:
        console.print(demo_table(results))
    bundle = bundles[wanted[0].precision].summary() if bundles else {}
    content = evaluation_json(request, results, summaries, bundle)
    if request.json_path:
        write_json(request.json_path, content)
    page = request.html_path or request.out / "evaluation.html"
    write_page(page, f"Onboard VLA: {title}", summaries, results, content["provenance"])
    console.print(f"report: {page}", soft_wrap=True, markup=False)
    return 0


def variants(request: EvaluateRequest) -> list[Variant]:
    """What is driven, side by side: a variant per sensor kind, and the other side of each ablation.

    Raises:
        ArgumentError: no such depth, cameras, look or ablation.
    """
    if request.depth not in DEPTHS:
        raise ArgumentError(f"--depth {request.depth!r}: expected one of {', '.join(DEPTHS)}")
    if request.sees not in SEEN:
        raise ArgumentError(f"--sees {request.sees!r}: expected one of {', '.join(SEEN)}")
    require_look(request.look)
    base = Variant("", request.supervised, request.planner, request.depth, sees=request.sees, look=request.look)
    found = [replace(base, sensor=sensor) for sensor in request.sensors]
    found += [with_ablation(found[0], name) for name in request.ablations]
    return list(dict.fromkeys(found))


def evaluation_json(
    request: EvaluateRequest, results: Sequence[Result], summaries: Sequence[Summary], bundle: dict[str, Any]
) -> dict[str, Any]:
    """Everything as JSON, held against its schema."""
    run = {
        "profile": request.profile,
        "planner": request.planner,
        "seconds": _seconds(request),
        "seeds": list(request.seeds),
        "with the demo's faults": request.demo,
        "declared plan latency ms": request.latency_ms,
    }
    content = {
        "format": EVALUATION_FORMAT,
        "summaries": [as_document(summary) for summary in summaries],
        "episodes": [{name: value for name, value in result.items() if name != "drawing"} for result in results],
        "provenance": provenance_of(bundle, run),
    }
    # Tuples and infinities as JSON has them: a first contact that never came is null.
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    jsonschema.validate(plain, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return dict(plain)


def _require(request: EvaluateRequest) -> None:
    """What can be known before any world is driven."""
    given = [option for option, value in _MODEL_OPTIONS.items() if value(request)]
    if request.planner != MODEL and given:
        raise ArgumentError(f"{given[0]}: the planner {request.planner!r} has no model; leave it out")
    if len(given) > 1:
        raise ArgumentError("--bundle and --checkpoint: expected one of them, a bundle is not exported again")
    require_folder("--out", request.out)
    require_folder("--resume", request.resume)
    require_writable("--json", request.json_path)
    require_writable("--html", request.html_path)


_MODEL_OPTIONS: dict[str, Callable[[EvaluateRequest], bool]] = {
    "--bundle": lambda request: request.bundle != DEFAULT_BUNDLE,
    "--checkpoint": lambda request: request.checkpoint is not None,
}


def _bundles(request: EvaluateRequest, wanted: Sequence[Variant], console: Console) -> dict[str, PreparedBundle]:
    if request.planner != MODEL:
        planner_without_model(request.planner)
        return {}
    given = None if request.bundle == DEFAULT_BUNDLE else Path(request.bundle)
    precisions = list(dict.fromkeys(variant.precision for variant in wanted))
    if given is not None and len(precisions) > 1:
        raise ArgumentError("--ablation precision needs a checkpoint to export: leave --bundle out")
    prepared = {
        precision: prepare_with_progress(request.checkpoint, request.out, console, given, precision)
        for precision in precisions
    }
    for bundle in prepared.values():
        require_cameras(bundle.path, default_rig())
    return prepared


def _job(request: EvaluateRequest, variant: Variant, seed: int, bundles: dict[str, PreparedBundle]) -> Job:
    bundle = bundles.get(variant.precision)
    return Job(
        variant=variant,
        seed=seed,
        seconds=_seconds(request),
        profile=request.profile,
        latency_ms=request.latency_ms,
        demo=request.demo,
        open_loop=request.open_loop and not request.demo,
        core_hash=bundle.core_hash if bundle is not None else "",
    )


def _seconds(request: EvaluateRequest) -> float:
    return DEMO_SECONDS if request.demo else request.seconds
