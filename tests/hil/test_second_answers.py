"""Slow second answers over the whole graph: real processes, the depth policy, and the supervisor's own word to it."""

from __future__ import annotations

from functools import partial

import pytest

from onboard_vla.app.straight_road.graph import Graph
from onboard_vla.core.plan import FAST, SLOW, Plan
from onboard_vla.core.safe_trajectory import Mode, SafeTrajectory
from onboard_vla.core.thresholds import SLOW_LATERAL

from .conclusive import RealTimeRig

ASIDE_M, LIMIT_M = 2.4, 0.75
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=["zmq", pytest.param("ros", marks=pytest.mark.ros)])
def rig(request):
    """A graph whose planner is in doubt about every plan, and changes its mind when it thinks."""
    make = partial(Graph, planner={"aside_m": ASIDE_M, "plan_period_s": 0.2}, limits={SLOW_LATERAL: LIMIT_M})
    rig = RealTimeRig(make, request.param)
    yield rig
    rig.close()


def test_a_slow_answer_reaches_the_supervisor_and_its_disagreement_ends_the_thinking(rig) -> None:
    def scenario(graph) -> None:
        disagreement, _ = graph.road.until(
            lambda m, n: isinstance(m, SafeTrajectory) and any(r.code == "SLOW_LATERAL" for r in m.reasons),
            "slow against fast",
        )
        reason = next(r for r in disagreement.reasons if r.code == "SLOW_LATERAL")
        # After 2 s from now, and the age of the stamp: 2.0 to 2.5 s of the five.
        assert ASIDE_M * 0.4 <= reason.measured <= ASIDE_M * 0.5
        assert reason.limit == LIMIT_M
        graph.road.until_mode(lambda mode: mode is Mode.REDUCED)

        before = len(graph.road.heard)
        graph.road.drive(0.3)  # what was on its way when the mode changed
        later = [m for m, _ in graph.road.drive(1.5) if isinstance(m, Plan)]
        plans = [m for m, _ in graph.road.heard[:before] if isinstance(m, Plan)]
        second = [place for place, plan in enumerate(plans) if plan.depth == SLOW]
        assert second
        for place in second:
            assert plans[place - 1].depth == FAST
            assert plans[place].stamp_ns == plans[place - 1].stamp_ns
            assert plans[place].plan_id > plans[place - 1].plan_id
        assert later
        assert {plan.depth for plan in later} == {FAST}, "in L1 nobody thinks"

    rig.run(scenario)
