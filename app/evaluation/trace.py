"""What an episode leaves behind for scoring: every 0.1 s the truth around the vehicle, and every plan's doubt."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.closed_loop_recorder import RunRecorder
from onboard_vla.app.faults import MILLISECOND_NS
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.objects import STATIC
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.wire import Message
from onboard_vla.world.actors import Actor
from onboard_vla.world.expert import Expert, ExpertPlan
from onboard_vla.world.world import World

SAMPLE_NS = 100 * MILLISECOND_NS
"""Sampling: 10 Hz, at the instants at which pictures are taken, so that plans and truth have equal stamps."""
REACH_M = 100.0
"""Road users within this distance along the road are kept."""


@dataclass(frozen=True, eq=False)
class Instant:
    """The truth at one moment. `users`: (N, 7) id, x, y, heading, length, width, speed; `agents`: (N,) bool."""

    ego: EgoState
    ego_s_m: float
    users: NDArray[np.float64]
    agents: NDArray[np.bool_]
    lead_gap_m: float
    lead_mps: float
    expert: ExpertPlan
    given: SafeTrajectory | None
    """What the vehicle was following."""


@dataclass(frozen=True, eq=False)
class Doubt:
    """One plan: `poses` (T, 3) float32 in the ego frame at `stamp_ns`; `spread_m`: mean over its steps."""

    stamp_ns: int
    poses: NDArray[np.float32]
    depth: str
    spread_m: float
    negative_log_likelihood: float
    slow_probability: float


@dataclass
class Trace:
    """`engaged`: index of the first instant at or after engagement."""

    instants: list[Instant] = field(default_factory=list)
    plans: list[Doubt] = field(default_factory=list)
    engaged: int | None = None


class TracingRecorder(RunRecorder):
    """Keeps a trace beside the run's record."""

    def __init__(self, record: RunRecord) -> None:
        super().__init__(record)
        self.trace = Trace()
        self._expert: Expert | None = None
        self._engaged = False

    def engaged(self, now: Now) -> None:
        """Note where the scored part begins."""
        super().engaged(now)
        self._engaged = True

    def message(self, message: Message, received: Now) -> None:
        """Keep each plan's doubt."""
        super().message(message, received)
        if self._engaged and isinstance(message, Plan):
            self.trace.plans.append(doubt_of(message))

    def step(self, due: Now, world: World, latest: SafeTrajectory | None, now: Now) -> None:
        """Sample the truth."""
        super().step(due, world, latest, now)
        if world.time_ns % SAMPLE_NS:
            return
        if self._expert is None:
            self._expert = Expert(world)
        if self._engaged and self.trace.engaged is None:
            self.trace.engaged = len(self.trace.instants)
        self.trace.instants.append(instant_of(world, self._expert, latest))


def instant_of(world: World, expert: Expert, given: SafeTrajectory | None) -> Instant:
    """The truth now."""
    actors = world.traffic.actors_near(world.ego_s_m, REACH_M)
    gap, speed = world.lead()
    users = np.array([_row(actor) for actor in actors], np.float64).reshape(-1, 7)
    agents = np.array([actor.kind != STATIC for actor in actors], bool)
    return Instant(world.ego, world.ego_s_m, users, agents, gap, speed, expert.plan(), given)


def doubt_of(plan: Plan) -> Doubt:
    """A plan's signals of doubt, each one figure."""
    return Doubt(
        plan.stamp_ns,
        plan.poses,
        plan.depth,
        float(plan.uncertainty.spread_m.mean()),
        plan.uncertainty.negative_log_likelihood,
        plan.slow_probability,
    )


def _row(actor: Actor) -> tuple[float, ...]:
    return (
        actor.actor_id, actor.x_m, actor.y_m, actor.heading_rad, actor.length_m, actor.width_m, abs(actor.speed_mps)
    )  # fmt: skip
