"""The demo from beginning to end: bundle, processes, 60 s of driving with two faults, tables, report, exit status."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from onboard_vla.app.closed_loop import Scene, require_known
from onboard_vla.app.closed_loop_figures import figures_of
from onboard_vla.app.closed_loop_json import compared_part, digest_of, run_json, write_json
from onboard_vla.app.closed_loop_record import RunRecord, RunSettings
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS, TooBusyError
from onboard_vla.app.demo_bundle import PreparedBundle
from onboard_vla.app.demo_bundle_view import prepare_with_progress
from onboard_vla.app.demo_cameras import require_cameras
from onboard_vla.app.demo_run import run_realtime
from onboard_vla.app.demo_tables import end_tables, verdict_line
from onboard_vla.app.demo_transport import AUTO, choose_transport, start_processes
from onboard_vla.app.demo_verdict import EXIT_STATUS, INCONCLUSIVE, LOCKSTEP, PRECONDITION_MISSED, judge
from onboard_vla.app.demo_view import LiveView
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS, demo_faults
from onboard_vla.app.lockstep import DEFAULT_PLAN_LATENCY_NS, run_lockstep
from onboard_vla.app.lockstep_parts import MODEL, make_guard, make_supervisor, planner_with_model, planner_without_model
from onboard_vla.app.report.page import write_report
from onboard_vla.app.report.picture import write_picture
from onboard_vla.app.report.provenance import provenance_of
from onboard_vla.core.errors import ArgumentError, ConfigurationError, EnvironmentLacksError
from onboard_vla.world.rig import default_rig


class NotDrivenError(EnvironmentLacksError):
    """The drive never began: a process did not come up, the planner was never ready, or this machine is too busy."""

    def __init__(self, cause: EnvironmentLacksError) -> None:
        super().__init__(str(cause))
        self.too_busy = isinstance(cause, TooBusyError)


@dataclass(frozen=True)
class DemoRequest:
    """The command's arguments; see `demo_commands.demo`."""

    seconds: float
    seed: int
    profile: str
    sensor: str
    transport: str
    lockstep: bool
    planner: str
    latency_ms: float
    faults: bool
    checkpoint: Path | None
    bundle: Path | None
    out: Path
    json_path: Path | None
    picture: Path | None
    report: bool


def run_demo(request: DemoRequest, console: Console) -> int:
    """Run the demo and return the exit status.

    Raises:
        OnboardVlaError: no checkpoint, no such transport or profile: one line that says what to do.
    """
    _check(request)
    transport = LOCKSTEP if request.lockstep else choose_transport(request.transport, console.print)
    prepared = None
    if request.planner == MODEL:
        prepared = prepare_with_progress(request.checkpoint, request.out, console, given=request.bundle)
    if prepared is not None:
        require_cameras(prepared.path, default_rig())
    drive = _in_lockstep if request.lockstep else _in_real_time
    try:
        record = drive(request, run_settings(request, transport), prepared, console)
    except NotDrivenError as error:
        outcome = INCONCLUSIVE if error.too_busy else PRECONDITION_MISSED
        console.print(f"{outcome} (exit {EXIT_STATUS[outcome]}): {error}", soft_wrap=True)
        return EXIT_STATUS[outcome]
    verdict = judge(record, complete=not request.lockstep)
    for table in end_tables(record, figures_of(record), verdict):
        console.print(table)
    provenance = provenance_of(prepared.summary() if prepared else {}, _run_summary(request, record))
    if request.json_path:
        write_json(request.json_path, run_json(record, verdict, provenance))
    if request.report and record.steps:
        page = request.out / f"demo-{record.settings.transport}-seed{request.seed}.html"
        write_report(page, record, verdict, provenance, default_rig())
        console.print(f"report: {page}")
    if request.picture:
        write_picture(request.picture, record, default_rig())
        console.print(f"picture: {request.picture}")
    if request.lockstep:
        console.print(f"digest of plans, modes and violations: {digest_of(compared_part(record))}")
    console.print(verdict_line(verdict), soft_wrap=True)
    return verdict.exit_status


def run_settings(request: DemoRequest, transport: str) -> RunSettings:
    """The record's settings for this request."""
    run_ns = round(request.seconds * SECOND_NS)
    return RunSettings(
        seed=request.seed,
        profile=request.profile,
        sensor=request.sensor,
        transport=transport,
        run_ns=run_ns,
        warmup_ns=DEFAULT_WARMUP_NS,
        planner=request.planner,
        faults=demo_faults(run_ns) if request.faults else (),
        plan_latency_ns=round(request.latency_ms * MILLISECOND_NS) if transport == LOCKSTEP else 0,
    )


def _check(request: DemoRequest) -> None:
    require_known(request.profile, (request.sensor,))
    if request.bundle and request.checkpoint:
        raise ArgumentError("--bundle and --checkpoint exclude each other: a given bundle is used as it is")
    if request.bundle and request.planner != MODEL:
        raise ArgumentError(f"--bundle is of no use with --planner {request.planner}: leave one of them out")
    if request.planner != MODEL and not request.lockstep:
        raise ArgumentError(f"--planner {request.planner} runs in lock-step only: add --lockstep")
    if request.lockstep and request.transport != AUTO:
        raise ArgumentError(f"--transport {request.transport} is of no use with --lockstep: leave one of them out")
    if not request.lockstep and request.latency_ms * MILLISECOND_NS != DEFAULT_PLAN_LATENCY_NS:
        raise ArgumentError("--latency-ms is for lock-step; in real time latency is what it is: add --lockstep")


def _in_lockstep(
    request: DemoRequest, settings: RunSettings, prepared: PreparedBundle | None, console: Console
) -> RunRecord:
    planner, thresholds = planner_with_model(prepared) if prepared else planner_without_model(request.planner)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("driving in virtual time", total=1.0)
        return run_lockstep(
            settings,
            planner,
            make_supervisor(thresholds),
            make_guard(),
            progress=lambda share: bar.update(task, completed=share),
        )


def _in_real_time(
    request: DemoRequest, settings: RunSettings, prepared: PreparedBundle | None, console: Console
) -> RunRecord:
    if prepared is None:
        raise ConfigurationError("a run in real time needs a bundle")
    console.print(f"building the world: {request.profile}, seed {request.seed}")
    scene = Scene.build(request.seed, request.profile, request.sensor)
    console.print(f"starting planner, camera guard and supervisor over {settings.transport}")
    try:
        running = start_processes(settings.transport, prepared.path, prepared.thresholds, request.out / "logs")
        try:
            with LiveView(console, settings.run_ns) as view:
                return run_realtime(settings, scene, running, view, console.print)
        finally:
            running.close()
    except EnvironmentLacksError as error:
        raise NotDrivenError(error) from None


def _run_summary(request: DemoRequest, record: RunRecord) -> dict[str, Any]:
    settings = record.settings
    return {
        "profile": settings.profile,
        "seed": settings.seed,
        "sensors": settings.sensor,
        "planner": settings.planner,
        "supervisor's settings (config_hash)": record.config_hash,
        "clock and transport": "virtual time" if settings.transport == LOCKSTEP else settings.transport,
        "declared plan latency": f"{settings.plan_latency_ns / MILLISECOND_NS:g} ms" if request.lockstep else "real",
        "length": f"{settings.run_ns / SECOND_NS:g} s",
        "scheduling of world and probe": "SCHED_FIFO" if record.realtime_scheduling else "ordinary",
    }
