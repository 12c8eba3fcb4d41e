"""One world, one variant: driven in closed loop and scored, planned along the expert's drive, drawn; as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from onboard_vla.app.campaign.planted import NeverIntervenes
from onboard_vla.app.closed_loop import Scene
from onboard_vla.app.closed_loop_figures import figures_of
from onboard_vla.app.closed_loop_json import compared_part, digest_of
from onboard_vla.app.closed_loop_record import RunRecord, RunSettings
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS
from onboard_vla.app.demo_bundle import PreparedBundle
from onboard_vla.app.demo_verdict import judge
from onboard_vla.app.evaluation.closed_loop_score import mean_time_to_collision_s, score_windows
from onboard_vla.app.evaluation.hidden_cameras import HiddenCameras
from onboard_vla.app.evaluation.open_loop import as_row, plan_along
from onboard_vla.app.evaluation.trace import Trace, TracingRecorder
from onboard_vla.app.evaluation.variant import Variant
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS, demo_faults
from onboard_vla.app.lockstep import BodyFactory, PlannerBodyLike, SupervisorLike, run_lockstep
from onboard_vla.app.lockstep_parts import MODEL, make_guard, make_supervisor, planner_with_model, planner_without_model
from onboard_vla.app.report.birdseye import draw_strip, strip_height
from onboard_vla.app.report.page import WIDTH_IN
from onboard_vla.app.report.style import inline_svg, new_figure
from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.plan import FAST
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.runtime.depth_policy import ADAPTIVE
from onboard_vla.world.looks import DAY, LOOKS
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

RESULT_FORMAT = 1


@dataclass(frozen=True)
class Job:
    """What one result depends on, beside the code. `core_hash`: of the bundle that plans, empty without one."""

    variant: Variant
    seed: int
    seconds: float
    profile: str
    latency_ms: float
    demo: bool
    open_loop: bool
    core_hash: str

    def key(self, commit: str) -> str:
        """Name of the result; a result made by other code or another bundle has another name."""
        asked = json.dumps([RESULT_FORMAT, commit, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()[:24]


def run_job(job: Job, prepared: PreparedBundle | None) -> dict[str, Any]:
    """Drive, score and draw one world."""
    factory, thresholds = _planner(prepared, job.variant.planner, job.variant.depth)
    trace, record, world = _drive(job, factory, thresholds)
    verdict = judge(record, complete=job.demo)
    return {
        "seed": job.seed,
        "sensor": job.variant.sensor,
        "variant": job.variant.name,
        "outcome": verdict.outcome,
        "reasons": list(verdict.reasons),
        "reactions": [reaction.reaction_ms for reaction in verdict.reactions],
        "digest": digest_of(compared_part(record)),
        "figures": dataclasses.asdict(figures_of(record)),
        "mean_ttc_s": mean_time_to_collision_s(trace),
        "windows": [dataclasses.asdict(window) for window in score_windows(trace, world)],
        "plans": plan_errors(trace),
        "open_loop": _open_loop(job, prepared),
        "violations": [dataclasses.asdict(violation) for violation in record.violations],
        "drawing": _drawing(record),
    }


def plan_errors(trace: Trace) -> list[dict[str, Any]]:
    """Each plan's doubt beside its mean distance from what the expert would have done from there and then."""
    expert = {instant.ego.stamp_ns: instant.expert.poses for instant in trace.instants}
    rows = []
    for plan in trace.plans:
        if (truth := expert.get(plan.stamp_ns)) is not None:
            error = np.hypot(*(np.asarray(plan.poses, np.float64) - truth)[:, :2].T)
            rows.append(
                {
                    "ade_m": float(error.mean()),
                    "spread_m": plan.spread_m,
                    "negative_log_likelihood": plan.negative_log_likelihood,
                    "slow_probability": plan.slow_probability,
                    "depth": plan.depth,
                }
            )
    return rows


def _drive(job: Job, factory: BodyFactory, thresholds: Thresholds) -> tuple[Trace, RunRecord, World]:
    run_ns = round(job.seconds * SECOND_NS)
    settings = RunSettings(
        seed=job.seed,
        profile=job.profile,
        sensor=job.variant.sensor,
        transport="lockstep",
        run_ns=run_ns,
        warmup_ns=DEFAULT_WARMUP_NS,
        planner=job.variant.planner,
        faults=demo_faults(run_ns) if job.demo else (),
        plan_latency_ns=round(job.latency_ms * MILLISECOND_NS),
    )
    scene = Scene.build(job.seed, job.profile, job.variant.sensor, renderer(job.variant.look))
    supervisor: SupervisorLike = make_supervisor(thresholds) if job.variant.supervised else NeverIntervenes()
    traces: list[TracingRecorder] = []

    def recorder(record: RunRecord) -> TracingRecorder:
        traces.append(TracingRecorder(record))
        return traces[-1]

    def planner(scene: Scene) -> PlannerBodyLike:
        body, cameras = factory(scene), job.variant.cameras
        return HiddenCameras(body, cameras) if len(cameras) < len(CAMERAS) else body

    record = run_lockstep(settings, planner, supervisor, make_guard(), scene, recorder=recorder)
    return traces[-1].trace, record, scene.world


def _open_loop(job: Job, prepared: PreparedBundle | None) -> list[dict[str, Any]]:
    if prepared is None or not job.open_loop:
        return []
    from onboard_vla.runtime.bundle import Bundle
    from onboard_vla.runtime.planner import Planner

    # Nobody supervises open loop, and without a supervisor the adaptive policy has fast plans alone.
    depth = FAST if job.variant.depth == ADAPTIVE else job.variant.depth
    planner = Planner(Bundle.open(prepared.path), depth=depth)
    world = World(job.seed, job.profile)
    scores = plan_along(world, planner, renderer(job.variant.look), job.seconds, (depth,), seen=job.variant.cameras)
    return [as_row(score) for score in scores]


def _drawing(record: RunRecord) -> str:
    """The episode from above, as an <svg> element."""
    if len(record.steps) < 2:
        return ""
    figure = new_figure(WIDTH_IN, strip_height(record, WIDTH_IN))
    draw_strip(figure.subplots(), record)
    return inline_svg(figure)


@lru_cache(maxsize=len(LOOKS))
def renderer(look: str = DAY) -> Renderer:
    """One a look for all episodes of a process: its rays are traced once."""
    return Renderer(default_rig(), look)


def _planner(prepared: PreparedBundle | None, planner: str, depth: str) -> tuple[BodyFactory, Thresholds]:
    if prepared is not None and planner == MODEL:
        return planner_with_model(prepared, depth)
    return planner_without_model(planner)
