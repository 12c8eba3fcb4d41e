"""What one closed-loop run leaves behind: plain facts, from which verdict, tables, JSON and report are made.

All times are integer nanoseconds on the run's own timeline, which begins at the first engage command.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.faults import Fault
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.safe_trajectory import Engagement
from onboard_vla.core.verdict import Reason

NO_MODE = -1
"""Stands in a step for: the supervisor does not drive yet."""


@dataclass(frozen=True)
class RunSettings:
    """What a run was asked to be. `transport`: "lockstep", "ros" or "zmq"; `sensor`: "perfect" or "modelled"."""

    seed: int
    profile: str
    sensor: str
    transport: str
    run_ns: int
    warmup_ns: int
    planner: str
    faults: tuple[Fault, ...]
    plan_latency_ns: int = 0


@dataclass(frozen=True)
class StepRecord:
    """The vehicle's truth at one 20 ms step, and the mode last received."""

    time_ns: int
    x_m: float
    y_m: float
    heading_rad: float
    speed_mps: float
    progress_m: float
    mode: int
    engaged: bool


@dataclass(frozen=True)
class PublishedRecord:
    """One SafeTrajectory: when it says it was published, when it arrived, what it says."""

    stamp_ns: int
    received_ns: int
    sequence: int
    engagement: str
    mode: int
    source: str
    plan_id: int
    shadow_passes: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, eq=False)
class PlanRecord:
    """One plan as it left the planner. `age_ns`: arrival (in virtual time: delivery) minus the oldest picture used.

    `spread_m`: of the actions, at the worst step; `vision_ood`: of the farthest camera, None where nobody can tell.
    """

    plan_id: int
    stamp_ns: int
    received_ns: int
    age_ns: int
    tokens: tuple[int, ...]
    depth: str
    slow_probability: float
    passes: tuple[int, int, int]
    stage_ms: dict[str, float]
    poses: NDArray[np.float32]
    spread_m: float
    vision_ood: float | None

    @property
    def latency_ms(self) -> float:
        """Wall time of all stages together."""
        return self.stage_ms["total"] if "total" in self.stage_ms else sum(self.stage_ms.values())


@dataclass(frozen=True)
class RejectionRecord:
    """The planner's structured "no plan"."""

    plan_id: int
    stamp_ns: int
    received_ns: int
    code: str
    detail: str


@dataclass(frozen=True)
class FaultRecord:
    """A fault as it really happened: `start_ns` is the first black frame's stamp, or the moment of the kill."""

    fault: Fault
    start_ns: int


@dataclass(frozen=True)
class ViolationRecord:
    """Something the world saw the vehicle do wrong."""

    time_ns: int
    kind: str
    at_fault: bool
    detail: str


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One moment for the report: pictures as the processes got them, and what stood around."""

    time_ns: int
    title: str
    pose: tuple[float, float, float]
    images: dict[str, NDArray[np.uint8]]
    objects: ObjectList
    plan: PlanRecord | None
    driven_points: NDArray[np.float64]
    mode: int


@dataclass(frozen=True, eq=False)
class Traffic:
    """Where everything stood at one time. `states`: (N, 7) as ObjectList.states."""

    time_ns: int
    states: NDArray[np.float64]


@dataclass
class RunRecord:
    """Everything one run leaves behind; filled while it runs, only read afterwards."""

    settings: RunSettings
    steps: list[StepRecord] = field(default_factory=list)
    published: list[PublishedRecord] = field(default_factory=list)
    indicators: list[SafetyIndicators] = field(default_factory=list)
    """As published, stamps on the run's own timeline; those of the time in which the system was engaged."""
    plans: list[PlanRecord] = field(default_factory=list)
    rejections: list[RejectionRecord] = field(default_factory=list)
    faults: list[FaultRecord] = field(default_factory=list)
    violations: list[ViolationRecord] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)
    route_points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    lane_edges: list[NDArray[np.float64]] = field(default_factory=list)
    config_hash: str = ""
    """Of the supervisor's settings, as its newest message says."""
    probe: list[tuple[int, float]] = field(default_factory=list)
    """Probe timer: (time_ns it was due, lateness in ms)."""
    loop_lateness_ms: list[float] = field(default_factory=list)
    """How late each step of the world began, ms."""
    cpu_percent: dict[str, float] = field(default_factory=dict)
    """Mean processor share per process over the run, percent of one core."""
    realtime_scheduling: bool = False
    """Whether world and probe ran under real-time scheduling, as supervisor and camera guard do where permitted."""
    expert_progress_m: float = 0.0
    stopped_early: str = ""
    """Why the run ended before its time; empty for a run of full length."""
    too_busy: bool = False
    """The run ended because the world could not keep up with real time on this machine."""
    restarts: list[tuple[int, str]] = field(default_factory=list)
    """Processes that came back: (time_ns at which they reported ready, name)."""

    @property
    def progress_m(self) -> float:
        """Metres made along the route since engagement."""
        engaged = [step for step in self.steps if step.time_ns >= 0]
        return engaged[-1].progress_m - engaged[0].progress_m if engaged else 0.0

    def driving(self) -> list[PublishedRecord]:
        """What was published from the first answer to the engage command on; empty if there was none."""
        standby = Engagement.STANDBY.value
        first = next((i for i, item in enumerate(self.published) if item.engagement != standby), len(self.published))
        return self.published[first:]
