"""S14: PDMS and EPDMS of the fallback, driven on the world's roads: without thresholds nobody else may drive.

Windows of 4 s, as `evaluate` scores a drive: the world's truth, the expert's forecast as reference.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onboard_vla.app.campaign.golden import WORLD_ROADS, golden_scene
from onboard_vla.app.campaign.pictures import MomentPictures
from onboard_vla.app.campaign.stand_in import SeeingBody
from onboard_vla.app.campaign.statistics import clopper_pearson
from onboard_vla.app.closed_loop_record import RunRecord, RunSettings
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS
from onboard_vla.app.evaluation.closed_loop_score import score_windows
from onboard_vla.app.evaluation.trace import TracingRecorder
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS
from onboard_vla.app.lockstep import run_lockstep
from onboard_vla.app.lockstep_parts import NO_BUNDLE, make_guard
from onboard_vla.app.simulated_vehicle import SIMULATED_VEHICLE
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.supervisor import Supervisor

QUICK_S, ALL_S = 12.0, 30.0
QUICK_SEEDS, ALL_SEEDS = 1, 10
NO_LIMIT_S = 600.0
"""L2 may last as long as the drive does."""
TTC_SHARE = 0.99
"""Windows in which going straight on for 0.95 s never meets anybody: at least this share (safety basis 10.3)."""


@dataclass(frozen=True)
class ScoreJob:
    """One drive."""

    road: str
    seed: int
    seconds: float

    @property
    def key(self) -> str:
        """Name under which the result is kept."""
        return f"score|{self.road}|{self.seed}"


@dataclass(frozen=True)
class ScoreResult:
    """One drive's windows. `failed_*`: windows in which the sub-metric is below 1; `highest`: mode published."""

    key: str
    road: str
    seed: int
    windows: int
    failed_nc: int
    failed_dac: int
    failed_ttc: int
    pdms: float
    epdms: float
    highest: int

    def line(self) -> str:
        """As one line of a results file."""
        return json.dumps({"score": dataclasses.asdict(self)}, separators=(",", ":"))

    @staticmethod
    def of_content(content: dict[str, Any]) -> ScoreResult:
        """Read a line's content back."""
        return ScoreResult(**content)


@dataclass(frozen=True)
class ScoreRow:
    """All drives together: means over windows, and whether what S14 asks holds."""

    drives: int
    windows: int
    failed_nc: int
    failed_dac: int
    failed_ttc: int
    ttc_high: float
    pdms: float
    epdms: float
    held: bool


def score_jobs(*, quick: bool) -> list[ScoreJob]:
    """Every road of the world, on one seed or several."""
    seeds, seconds = (QUICK_SEEDS, QUICK_S) if quick else (ALL_SEEDS, ALL_S)
    return [ScoreJob(road, 1 + seed, seconds) for seed in range(seeds) for road in WORLD_ROADS]


def run_score(job: ScoreJob) -> ScoreResult:
    """Drive one road in L2 and score it."""
    scene = golden_scene(job.road, job.seed)
    pictures = scene.renderer
    assert isinstance(pictures, MomentPictures)
    config = dataclasses.replace(SIMULATED_VEHICLE, thresholds=None, ladder=LadderSettings(fallback_max_s=NO_LIMIT_S))
    settings = RunSettings(
        seed=job.seed,
        profile=job.road,
        sensor="modelled",
        transport="lockstep",
        run_ns=round(job.seconds * SECOND_NS),
        warmup_ns=DEFAULT_WARMUP_NS,
        planner="none",
        faults=(),
        plan_latency_ns=100 * MILLISECOND_NS,
    )
    recorders: list[TracingRecorder] = []

    def recorder(record: RunRecord) -> TracingRecorder:
        recorders.append(TracingRecorder(record))
        return recorders[-1]

    body = SeeingBody(pictures, NO_BUNDLE)
    run_lockstep(settings, lambda _: body, Supervisor(config), make_guard(), scene, recorder=recorder)
    trace = recorders[-1].trace
    windows = score_windows(trace, scene.world)
    given = [instant.given for instant in trace.instants[trace.engaged or 0 :] if instant.given is not None]
    return ScoreResult(
        key=job.key,
        road=job.road,
        seed=job.seed,
        windows=len(windows),
        failed_nc=sum(w.own.nc < 1.0 for w in windows),
        failed_dac=sum(w.own.dac < 1.0 for w in windows),
        failed_ttc=sum(w.own.ttc < 1.0 for w in windows),
        pdms=sum(w.pdms for w in windows) / max(len(windows), 1),
        epdms=sum(w.epdms for w in windows) / max(len(windows), 1),
        highest=max((int(message.mode) for message in given), default=int(Mode.STOPPED)),
    )


def score_row(results: Sequence[ScoreResult]) -> ScoreRow | None:
    """Everything added up; None without a window.

    The share of TTC fails when more windows fail than its limit lets expect (95 %).
    """
    windows = sum(r.windows for r in results)
    if not windows:
        return None
    nc, dac, ttc = (sum(getattr(r, name) for r in results) for name in ("failed_nc", "failed_dac", "failed_ttc"))
    low, high = clopper_pearson(ttc, windows)
    pdms, epdms = (sum(getattr(r, name) * r.windows for r in results) / windows for name in ("pdms", "epdms"))
    held = nc == 0 and dac == 0 and low <= 1.0 - TTC_SHARE
    return ScoreRow(len(results), windows, nc, dac, ttc, high, pdms, epdms, held)
