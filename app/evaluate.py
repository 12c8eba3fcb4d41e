"""Lock-step evaluation: episodes under both sensor kinds side by side, or the demo's drive on many seeds."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from onboard_vla.app.closed_loop import Scene, require_known
from onboard_vla.app.closed_loop_figures import ForkChoice, RunFigures, figures_of
from onboard_vla.app.closed_loop_json import compared_part, digest_of, write_json
from onboard_vla.app.closed_loop_record import RunSettings
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS
from onboard_vla.app.demo_bundle_view import prepare_with_progress
from onboard_vla.app.demo_cameras import require_cameras
from onboard_vla.app.demo_verdict import PASS, RunVerdict, judge
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS, demo_faults
from onboard_vla.app.indicator_figures import IndicatorFigures, indicator_rows
from onboard_vla.app.lockstep import BodyFactory, run_lockstep
from onboard_vla.app.lockstep_parts import MODEL, make_guard, make_supervisor, planner_with_model, planner_without_model
from onboard_vla.app.report.provenance import provenance_of
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig

EVALUATION_FORMAT = 1
DEMO_SECONDS = 60.0


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
    checkpoint: Path | None
    out: Path
    json_path: Path | None


@dataclass(frozen=True)
class Episode:
    """One lock-step run: what it amounts to, how it was judged, and the digest that a repetition must show again."""

    seed: int
    sensor: str
    figures: RunFigures
    verdict: RunVerdict
    digest: str


@dataclass(frozen=True)
class Summary:
    """All episodes of one sensor kind. `progress_share`: metres of all episodes over the expert's metres."""

    sensor: str
    n: int
    progress_share: float
    interventions: int
    intervention_reasons: dict[str, int]
    collisions_at_fault: int
    collisions_other: int
    off_road: int
    red_lights: int
    model_share: float
    fork: ForkChoice | None
    indicators: IndicatorFigures | None
    clean: int
    passed: int


def run_evaluation(request: EvaluateRequest, console: Console) -> int:
    """Run all episodes, print the comparison, write JSON; 0 unless something could not run.

    Raises:
        OnboardVlaError: no checkpoint, no such profile, sensors or planner: one line that says what to do.
    """
    require_known(request.profile, request.sensors)
    prepared = None
    if request.planner == MODEL:
        prepared = prepare_with_progress(request.checkpoint, request.out, console)
        require_cameras(prepared.path, default_rig())
    planner, thresholds = planner_with_model(prepared) if prepared else planner_without_model(request.planner)
    jobs = [(sensor, seed) for sensor in request.sensors for seed in request.seeds]
    renderer = Renderer(default_rig())
    episodes = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("episodes in virtual time", total=len(jobs))
        for sensor, seed in jobs:
            episodes.append(run_episode(request, sensor, seed, planner, thresholds, renderer))
            bar.advance(task)
    summaries = [summarise(sensor, [e for e in episodes if e.sensor == sensor]) for sensor in request.sensors]
    console.print(comparison(request, summaries))
    if request.demo:
        console.print(demo_table(episodes))
    if request.json_path:
        bundle = prepared.summary() if prepared else {}
        write_json(request.json_path, evaluation_json(request, episodes, summaries, bundle))
    return 0


def run_episode(
    request: EvaluateRequest,
    sensor: str,
    seed: int,
    planner: BodyFactory,
    thresholds: Thresholds,
    renderer: Renderer,
) -> Episode:
    """One run with a fresh supervisor, guard and planner."""
    run_ns = round((DEMO_SECONDS if request.demo else request.seconds) * SECOND_NS)
    settings = RunSettings(
        seed=seed,
        profile=request.profile,
        sensor=sensor,
        transport="lockstep",
        run_ns=run_ns,
        warmup_ns=DEFAULT_WARMUP_NS,
        planner=request.planner,
        faults=demo_faults(run_ns) if request.demo else (),
        plan_latency_ns=round(request.latency_ms * MILLISECOND_NS),
    )
    scene = Scene.build(seed, request.profile, sensor, renderer)
    record = run_lockstep(settings, planner, make_supervisor(thresholds), make_guard(), scene)
    verdict = judge(record, complete=request.demo)
    return Episode(seed, sensor, figures_of(record), verdict, digest_of(compared_part(record)))


def summarise(sensor: str, episodes: Sequence[Episode]) -> Summary:
    """Add episodes up. Clean: no collision of its own making, never off the road, no red light."""
    figures = [episode.figures for episode in episodes]
    expert_m = sum(f.expert_progress_m for f in figures)
    reasons: Counter[str] = Counter()
    for f in figures:
        reasons.update(f.intervention_reasons)
    return Summary(
        sensor=sensor,
        n=len(episodes),
        progress_share=sum(f.progress_m for f in figures) / expert_m if expert_m else 0.0,
        interventions=sum(f.interventions for f in figures),
        intervention_reasons=dict(reasons.most_common()),
        collisions_at_fault=sum(f.collisions_at_fault for f in figures),
        collisions_other=sum(f.collisions_other for f in figures),
        off_road=sum(f.off_road for f in figures),
        red_lights=sum(f.red_lights for f in figures),
        model_share=sum(f.model_share for f in figures) / len(figures) if figures else 0.0,
        fork=ForkChoice.total([f.fork for f in figures]),
        indicators=IndicatorFigures.total([f.indicators for f in figures]),
        clean=sum(not (f.collisions_at_fault or f.off_road or f.red_lights) for f in figures),
        passed=sum(episode.verdict.outcome == PASS for episode in episodes),
    )


def comparison(request: EvaluateRequest, summaries: Sequence[Summary]) -> Table:
    """Sensor kinds side by side."""
    seconds = DEMO_SECONDS if request.demo else request.seconds
    title = f"{request.planner} on {request.profile}, {seconds:g} s each, lock-step"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for summary in summaries:
        table.add_column(f"{summary.sensor} sensors (n = {summary.n})")
    for name, values in summary_rows(summaries):
        table.add_row(name, *values)
    return table


def summary_rows(summaries: Sequence[Summary]) -> list[tuple[str, list[str]]]:
    """Name and one value per summary."""
    return [
        ("progress of the expert's", [f"{s.progress_share:.1%}" for s in summaries]),
        ("entries into L2 or above", [f"{s.interventions} ({_words(s.intervention_reasons)})" for s in summaries]),
        ("collisions of its own making", [str(s.collisions_at_fault) for s in summaries]),
        ("other collisions", [str(s.collisions_other) for s in summaries]),
        ("left the drivable area", [str(s.off_road) for s in summaries]),
        ("red lights", [str(s.red_lights) for s in summaries]),
        ("trajectories made by the model", [f"{s.model_share:.1%}" for s in summaries]),
        ("fork would have picked fast (depth forced)", [str(s.fork) if s.fork else "no fork" for s in summaries]),
        ("clean episodes", [f"{s.clean} of {s.n}" for s in summaries]),
        *indicator_rows([s.indicators for s in summaries]),
    ]


def demo_table(episodes: Sequence[Episode]) -> Table:
    """Verdict per seed, and the share that passed."""
    passed = sum(episode.verdict.outcome == PASS for episode in episodes)
    table = Table(title=f"the demo's verdict in lock-step: {passed} of {len(episodes)} pass", title_justify="left")
    for column in ("seed", "sensors", "verdict", "black front camera", "killed planner", "progress", "why not"):
        table.add_column(column)
    for episode in episodes:
        reactions = [f"{r.reaction_ms:.0f} ms" if r.reaction_ms is not None else "-" for r in episode.verdict.reactions]
        table.add_row(
            str(episode.seed),
            episode.sensor,
            episode.verdict.outcome,
            *[*reactions, "-", "-"][:2],
            f"{episode.figures.progress_share:.0%}",
            "; ".join(episode.verdict.reasons),
        )
    return table


def evaluation_json(
    request: EvaluateRequest, episodes: Sequence[Episode], summaries: Sequence[Summary], bundle: dict[str, Any]
) -> dict[str, Any]:
    """Everything as JSON."""
    run = {
        "profile": request.profile,
        "planner": request.planner,
        "seconds": DEMO_SECONDS if request.demo else request.seconds,
        "seeds": list(request.seeds),
        "with the demo's faults": request.demo,
        "declared plan latency ms": request.latency_ms,
    }
    return {
        "format": EVALUATION_FORMAT,
        "summaries": [dataclasses.asdict(summary) for summary in summaries],
        "episodes": [
            {
                "seed": episode.seed,
                "sensor": episode.sensor,
                "outcome": episode.verdict.outcome,
                "reasons": list(episode.verdict.reasons),
                "digest": episode.digest,
                "figures": dataclasses.asdict(episode.figures),
            }
            for episode in episodes
        ],
        "provenance": provenance_of(bundle, run),
    }


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in counts.items()) or "none"
