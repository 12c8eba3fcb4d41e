"""How a published trajectory moves the steering, and a supervisor that lets go of the wheel where the lane is lost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest

from onboard_vla.app.campaign import episode
from onboard_vla.app.campaign.episode import MONITOR_ON, StartKey, drive_on, kept_start, real_supervisor
from onboard_vla.app.campaign.jobs import Job, run_job
from onboard_vla.app.campaign.outcome import judge
from onboard_vla.app.campaign.steering import WHEELBASE_M, SteeringWatch
from onboard_vla.app.campaign.table import BY_KEY
from onboard_vla.app.lockstep import SupervisorLike
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.world.sensor_table import PERFECT

TICK_NS = 20_000_000
LANE_SILENT = "F20/lane silent"


def along(curvature_per_m: float, stamp_ns: int) -> SafeTrajectory:
    """A circle through the origin, at 5 m/s."""
    way = 0.5 * np.arange(51)
    heading = curvature_per_m * way
    x, y = (way, 0 * way) if not curvature_per_m else (
        np.sin(heading) / curvature_per_m, (1 - np.cos(heading)) / curvature_per_m
    )  # fmt: skip
    points = np.column_stack([0.1 * np.arange(51), x, y, heading, np.full(51, 5.0), np.zeros(51)])
    return SafeTrajectory(
        stamp_ns, 0, Engagement.ENGAGED, Mode.NOMINAL, "model", 0, (), points, False, Takeover.NONE, NO_STAMP, NO_STAMP,
        (), 0, "",
    )  # fmt: skip


def test_a_step_is_what_the_newest_trajectory_changes_for_the_same_state() -> None:
    watch = SteeringWatch()
    for tick, curvature in enumerate([0.03, 0.03, 0.0, 0.0]):
        now = Now(tick * TICK_NS, tick * TICK_NS)
        watch.follow(along(curvature, tick), now)
        watch.control(EgoState(0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0), now)

    steps = [rad for _, rad in watch.steps]
    assert steps[1] == steps[3] == 0.0
    assert steps[2] == pytest.approx(math.atan(WHEELBASE_M * 0.03), rel=0.01)


class LetsGo:
    """The real supervisor, but that its stops go straight on, as if the wheel were let go."""

    def __init__(self) -> None:
        self._inner = real_supervisor()

    def receive(self, message: object, now: Now) -> None:
        self._inner.receive(message, now)  # type: ignore[arg-type]

    def tick(self, now: Now) -> SafeTrajectory:
        said = self._inner.tick(now)
        if said.mode < Mode.IN_LANE_STOP or not len(said.points):
            return said
        points = said.points.copy()
        way = np.hypot(*(points[:, 1:3] - points[0, 1:3]).T)
        heading = points[0, 3]
        points[:, 1:4] = np.column_stack(
            [points[0, 1] + way * math.cos(heading), points[0, 2] + way * math.sin(heading), 0 * way + heading]
        )
        return dataclasses.replace(said, points=points)


@pytest.fixture
def _lets_go(monkeypatch) -> Iterator[None]:
    supervisors: dict[str, type[SupervisorLike]] = {MONITOR_ON: LetsGo}
    kept_start.cache_clear()
    monkeypatch.setattr(episode, "SUPERVISORS", supervisors)
    yield
    kept_start.cache_clear()


@pytest.mark.usefixtures("_lets_go")
def test_a_supervisor_that_lets_go_of_the_wheel_when_the_lane_is_lost_does_not_pass() -> None:
    case = BY_KEY[LANE_SILENT]
    stream, (injection,) = drive_on(kept_start(StartKey(5.0, 1, MONITOR_ON, PERFECT)), [case.tamper], 0)

    assert judge(case, stream, injection.first_effect_ns).outcome == "unsafe", "it leaves the road, too"
    stream.harms.clear()
    assert judge(case, stream, injection.first_effect_ns).outcome == "swerved"


def test_the_real_one_stays_on_its_path() -> None:
    assert run_job(Job(LANE_SILENT, MONITOR_ON, 5.0, 0, 0)).outcome == "handled"
