"""The planner process with a bundle, beside guard and supervisor: plans come, over either transport."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from onboard_vla.core.plan import Heartbeat, Plan
from onboard_vla.core.process_graph import PLANNER

pytest.importorskip("onnx", reason="writing a bundle needs onnx (extra `export`)")

from onboard_vla.export.bundle_writer import export_bundle

CHECKPOINT = Path(__file__).resolve().parents[2] / "world" / "reference"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return export_bundle(CHECKPOINT, tmp_path_factory.mktemp("b") / "bundle", precision="int8")


@pytest.mark.parametrize(
    ("transport", "options", "shed"),
    [
        ("zmq", {"depth.policy": "adaptive", "load.power_mode": "saving"}, ("depth",)),
        pytest.param("ros", {}, (), marks=pytest.mark.ros),
    ],
    ids=["zmq", "ros"],
)
def test_planner_with_a_bundle_plans_on_six_cameras(transport, options, shed, bundle, make_graph) -> None:
    with tempfile.TemporaryDirectory(prefix="ovla-") as directory:
        graph = make_graph(transport, Path(directory), bundle=bundle, planner=options)
        try:
            plan, _ = graph.road.until(lambda m, n: isinstance(m, Plan), "a plan")
            beat, _ = graph.road.until(
                lambda m, n: isinstance(m, Heartbeat) and m.process == PLANNER and m.work_done >= 3, "three results"
            )
        finally:
            graph.close()

    assert beat.ready
    assert plan.stamp_ns in graph.road.sent_ns, "a plan carries its anchor picture's stamp"
    assert plan.poses.shape == (10, 3)
    assert plan.passes.prefill == 1
    assert plan.passes.decode <= 9
    assert plan.shed == shed
    ended = {event.process: event.exit_code for event in graph.processes.events() if event.kind == "exited"}
    assert set(ended.values()) == {0}, ended
