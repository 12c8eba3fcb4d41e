"""What counts as a failure on a machine that other work may starve, with graphs and lateness that are made up."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from onboard_vla.app.straight_road import graph as straight_road
from onboard_vla.app.straight_road.graph import Graph
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.process_graph import PROCESSES

from .conclusive import ATTEMPTS, ON_TIME_FAILURES, RealTimeRig

ON_TIME_S, LATE_S = 0.0, 1.0


class Starts:
    """Makes graphs, the first few of which do not come up."""

    def __init__(self, failing: int) -> None:
        self.failing, self.count = failing, 0

    def __call__(self, transport: str, directory: object) -> SimpleNamespace:
        self.count += 1
        if self.count <= self.failing:
            raise EnvironmentLacksError("not connected within 30 s: vla_planner: was not heard")
        road = SimpleNamespace(lateness_s=0.0, engage=lambda: None, drives=lambda: True)
        return SimpleNamespace(road=road, close=lambda: None)


@pytest.fixture
def rig_of():
    rigs = []

    def make(starts: Starts, late_s: float) -> RealTimeRig:
        rigs.append(RealTimeRig(starts, "zmq"))
        rigs[-1].watch_with(SimpleNamespace(since=lambda begin_ns: late_s, close=lambda: None))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.mark.parametrize("late_s", [ON_TIME_S, LATE_S])
def test_a_graph_that_does_not_come_up_is_begun_again(rig_of, late_s: float) -> None:
    starts = Starts(failing=1)

    with pytest.warns(UserWarning, match=r"begun again: .* was not heard"):
        assert rig_of(starts, late_s).run(lambda graph: "drove") == "drove"

    assert starts.count == 2


def test_a_graph_that_never_comes_up_on_a_machine_on_time_fails(rig_of) -> None:
    starts = Starts(failing=ATTEMPTS)

    with pytest.warns(UserWarning, match="begun again"), pytest.raises(EnvironmentLacksError, match="was not heard"):
        rig_of(starts, ON_TIME_S).run(lambda graph: "drove")

    assert starts.count == ON_TIME_FAILURES


def test_a_graph_that_a_late_machine_never_lets_come_up_is_inconclusive(rig_of) -> None:
    starts = Starts(failing=ATTEMPTS)

    with pytest.warns(UserWarning, match="begun again"), pytest.raises(pytest.skip.Exception, match="inconclusive"):
        rig_of(starts, LATE_S).run(lambda graph: "drove")

    assert starts.count == ATTEMPTS


def test_a_graph_that_does_not_come_up_leaves_no_process_behind(monkeypatch) -> None:
    begun = []

    class Silent(Graph):
        def command(self, name: str, options: dict[str, object]) -> tuple[str, ...]:
            begun.append(self)
            return ("sleep", "60")

    monkeypatch.setattr(straight_road, "LIMIT_S", 0.05)
    with (
        tempfile.TemporaryDirectory(prefix="ovla-") as directory,
        pytest.raises(EnvironmentLacksError, match="not con"),
    ):
        Silent("zmq", Path(directory))

    started = begun[0].processes
    try:
        assert [name for name in PROCESSES if started.pid(name) is not None] == []
    finally:
        started.close()
