"""Real processes on a straight road, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from onboard_vla.app.straight_road.graph import Graph

from .conclusive import RealTimeRig


@pytest.fixture
def make_graph() -> Callable[..., Graph]:
    """For tests that need a graph of their own."""
    return Graph


@pytest.fixture(scope="module", params=["zmq", pytest.param("ros", marks=pytest.mark.ros)])
def rig(request: pytest.FixtureRequest) -> Iterator[RealTimeRig]:
    """Three real processes that drive on a straight road; shared by a module's tests."""
    rig = RealTimeRig(Graph, request.param)
    yield rig
    rig.close()
