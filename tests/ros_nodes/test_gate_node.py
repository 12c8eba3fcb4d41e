"""The gate as a real node beside real processes: without a supervisor it stops, and it comes back latched."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64MultiArray

from onboard_vla.app.straight_road.graph import Graph
from onboard_vla.app.straight_road.road import NotSeenError
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.safe_trajectory import Engagement, SafeTrajectory
from onboard_vla.core.vehicle_gate import GATE_BRAKING_MPS2

from ..hil.conclusive import RealTimeRig
from .nodes import Client, NodeProcess

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
GATE = ("-m", "onboard_vla.ros_nodes.vehicle_gate")
POPEN = subprocess.Popen
STOP_LIMIT_S = 0.35
"""The gate's reaction of 220 ms, and room for the way through three processes on a machine that does other work."""
STEPS = 1000
"""Of 20 ms, at most, until something is seen."""


class GatedGraph(Graph):
    """The graph with a gate beside it, and what the gate says."""

    def __init__(self, transport: str, directory: Path) -> None:
        super().__init__(transport, directory)
        self.demands: list[tuple[Now, Float64MultiArray]] = []
        self.states: list[str] = []
        self._added: list[Client | NodeProcess] = []
        try:
            self._add_gate(directory)
        except BaseException:
            # Nobody else has this graph yet.
            self.close()
            raise

    def _add_gate(self, directory: Path) -> None:
        client = Client(self.link.domain_id)
        self._added.append(client)
        kept = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node, prefix = client.node, "onboard_vla/gate"
        node.create_subscription(
            Float64MultiArray, f"{prefix}_commands", lambda m: self.demands.append((system_now(), m)), 10
        )
        node.create_subscription(DiagnosticStatus, f"{prefix}_state", lambda m: self.states.append(m.message), kept)
        client.spin_beside()
        self._added.append(NodeProcess("kilted", directory, GATE))
        self.drive_until(lambda: self.states[-1:] == ["holding: standby"], "the gate sees standby")

    def drive_until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(STEPS):
            if condition():
                return
            self.road.step()
        raise AssertionError(f"not seen: {what}; states: {self.states}")

    def close(self) -> None:
        while self._added:
            self._added.pop().close()
        super().close()


def never_seen(graph: GatedGraph, condition: Callable[[], bool], what: str) -> None:
    """In place of driving until something is seen."""
    raise NotSeenError("never")


@pytest.fixture(scope="module")
def rig() -> Iterator[RealTimeRig]:
    rig = RealTimeRig(GatedGraph, "ros")
    yield rig
    rig.close()


def test_a_graph_whose_gate_never_stands_by_leaves_no_process_behind(tmp_path, monkeypatch, domain_id) -> None:
    started: list[subprocess.Popen] = []
    closed: list[Graph] = []

    def graph(self: GatedGraph, transport: str, directory: Path) -> None:
        self.link = SimpleNamespace(domain_id=domain_id)

    monkeypatch.setattr(Graph, "__init__", graph)
    monkeypatch.setattr(Graph, "close", lambda self: closed.append(self))
    monkeypatch.setattr(GatedGraph, "drive_until", never_seen)
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: started.append(POPEN(*a, **k)) or started[-1])

    with pytest.raises(NotSeenError, match="never"):
        GatedGraph("ros", tmp_path)

    assert len(started) == len(closed) == 1
    assert started[0].poll() is not None


def test_without_a_supervisor_the_vehicle_stops_and_comes_back_latched(rig, record_testsuite_property) -> None:
    def scenario(graph: GatedGraph) -> float:
        graph.drive_until(lambda: graph.states[-1] == "following", "the gate follows")
        assert [dim.label for dim in graph.demands[-1][1].layout.dim] == ["acceleration_mps2", "curvature_per_m"]

        killed = system_now()
        os.kill(graph.processes.pid(SUPERVISOR), signal.SIGKILL)

        def braking() -> list[Now]:
            return [
                n for n, m in graph.demands if n.monotonic_ns > killed.monotonic_ns and m.data[0] == -GATE_BRAKING_MPS2
            ]

        # State and demand come on two topics, in either order.
        graph.drive_until(lambda: bool(braking()), "the gate brakes")
        graph.drive_until(lambda: graph.states[-1] == "stopping: the supervisor is silent", "the gate says why")
        stopped = braking()[0]
        stop_s = (stopped.monotonic_ns - killed.monotonic_ns) / 1e9
        assert stop_s < STOP_LIMIT_S
        back, _ = graph.road.until(
            lambda m, n: isinstance(m, SafeTrajectory) and n.monotonic_ns > stopped.monotonic_ns,
            "the supervisor comes back",
        )
        assert back.engagement is Engagement.LATCHED
        graph.road.drive(0.5)
        assert graph.states[-1] == "stopping: the supervisor is silent"
        assert graph.demands[-1][1].data[0] == -GATE_BRAKING_MPS2
        return stop_s

    record_testsuite_property("kill_to_gate_stop_ms", round(rig.run(scenario) * 1e3, 1))
