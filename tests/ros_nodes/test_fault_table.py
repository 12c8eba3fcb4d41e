"""What breaks in a planner, on real processes over DDS: how long until the fallback drives, and whether output goes on.

What is measured, and how: app/straight_road/planner_faults.py. `python benchmarks/ros_faults.py` breaks the planner
several times in each way, on whichever distribution it runs with.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from onboard_vla.app.straight_road.graph import Graph
from onboard_vla.app.straight_road.hogs import hogs, may_schedule
from onboard_vla.app.straight_road.lateness import LatenessWatch
from onboard_vla.app.straight_road.planner_faults import (
    FALLBACK_LIMIT_S,
    FAULTS,
    GAP_LIMIT_S,
    Reaction,
    break_planner,
)

from ..hil.conclusive import RealTimeRig, conclusively
from .nodes import environment_of, python_of

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "ros_faults.py"
LIMIT_S = 120.0
"""Of one injection there, the start of its graph included."""
PRIORITY = 5
"""Of the rig itself (`schedule_this_rig`), too."""
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]


def assert_bounded(reaction: Reaction) -> None:
    assert reaction.fallback_s < FALLBACK_LIMIT_S, reaction
    assert reaction.gap_s < GAP_LIMIT_S, reaction


def report(record, fault: str, reaction: Reaction) -> None:
    """For the run's XML (`pytest --junitxml`)."""
    milliseconds = round(reaction.fallback_s * 1e3, 1), round(reaction.gap_s * 1e3, 1)
    record(fault, f"fallback {milliseconds[0]} ms, longest gap {milliseconds[1]} ms, {' '.join(reaction.codes)}")


@pytest.fixture(scope="module")
def rig() -> Iterator[RealTimeRig]:
    rig = RealTimeRig(Graph, "ros")
    yield rig
    rig.close()


@pytest.mark.parametrize("fault", list(FAULTS.values()), ids=list(FAULTS))
def test_fallback_takes_over_from_a_broken_planner_without_a_gap(rig, fault, record_testsuite_property) -> None:
    def scenario(graph: Graph) -> Reaction:
        reaction = break_planner(graph, fault)
        assert_bounded(reaction)
        return reaction

    report(record_testsuite_property, next(name for name in FAULTS if FAULTS[name] is fault), rig.run(scenario))


def test_on_jazzy_the_fallback_takes_over_from_a_killed_planner_too(
    tmp_path, late_since, record_testsuite_property
) -> None:
    command = [python_of("jazzy"), str(BENCHMARK), "--injections", "1", "--faults", "killed", "--json"]
    environment = environment_of("jazzy", tmp_path)

    def broken() -> dict[str, Any]:
        figures = Path(mkdtemp(dir=tmp_path)) / "faults.json"
        done = subprocess.run(
            [*command, str(figures)], env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert figures.exists(), done.stderr
        (row,) = json.loads(figures.read_text())["injections"]
        assert row["kept"], row
        return row

    row = conclusively(broken, late_since)
    reaction = Reaction(row["fallback_s"], row["gap_s"], tuple(row["codes"]))
    report(record_testsuite_property, "killed, on Jazzy", reaction)


class OwnLateness:
    """Beside hogs every ordinary process is late by intent: the rig's own clock says whether it measured well."""

    def since(self, begin_ns: int) -> float:
        return 0.0

    def close(self) -> None:
        """Nothing to end."""


def real_time_watch(directory: Path) -> LatenessWatch:
    """Scheduled as the nodes are: hogs do not make it late, a machine that stands still does."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    try:
        return LatenessWatch(directory)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def hogged_rig(watch: LatenessWatch | OwnLateness, ordinary: bool) -> RealTimeRig:
    def make(transport: str, directory: Path) -> Graph:
        return Graph(transport, directory, ordinary=ordinary)

    rig = RealTimeRig(make, "ros")
    rig.watch_with(watch)
    return rig


def test_beside_six_hogs_real_time_scheduling_keeps_the_bounds(tmp_path, record_testsuite_property) -> None:
    if not may_schedule():
        pytest.skip("SCHED_FIFO is not permitted here (rtprio of limits.conf, or CAP_SYS_NICE)")

    def scenario(graph: Graph) -> Reaction:
        with hogs():
            reaction = break_planner(graph, signal.SIGKILL)
        assert_bounded(reaction)
        return reaction

    rig = hogged_rig(real_time_watch(tmp_path), ordinary=False)
    try:
        reaction = rig.run(scenario)
    finally:
        rig.close()
    report(record_testsuite_property, "killed, six hogs, real-time scheduling", reaction)


def test_beside_six_hogs_without_it_the_fallback_still_comes(
    record_testsuite_property,
) -> None:
    def scenario(graph: Graph) -> Reaction:
        with hogs():
            return break_planner(graph, signal.SIGKILL)

    rig = hogged_rig(OwnLateness(), ordinary=True)
    try:
        reaction = rig.run(scenario)
    finally:
        rig.close()
    report(record_testsuite_property, "killed, six hogs, ordinary scheduling", reaction)
