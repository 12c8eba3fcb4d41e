"""A made-up run on a gentle curve, for tests of tables, JSON and report."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.app.closed_loop_record import (
    FaultRecord,
    PlanRecord,
    PublishedRecord,
    RunRecord,
    RunSettings,
    Snapshot,
    StepRecord,
    Traffic,
)
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS, demo_faults
from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.objects import VEHICLE, ObjectList, TrackedObject
from onboard_vla.core.verdict import Reason

STEP = 20 * MILLISECOND_NS
SPEED_MPS, RADIUS_M = 8.0, 300.0


def on_curve(time_s: float) -> tuple[float, float, float]:
    """x, y, heading after so many seconds at constant speed on a left curve."""
    angle = SPEED_MPS * time_s / RADIUS_M
    return RADIUS_M * np.sin(angle), RADIUS_M * (1 - np.cos(angle)), angle


def plan_record(number: int, stamp_ns: int) -> PlanRecord:
    """A plan that follows the curve."""
    poses = np.array([on_curve(0.5 * (k + 1)) for k in range(10)], np.float32)
    return PlanRecord(
        plan_id=number,
        stamp_ns=stamp_ns,
        received_ns=stamp_ns + 90 * MILLISECOND_NS,
        age_ns=90 * MILLISECOND_NS,
        tokens=tuple(range(10)),
        depth="fast",
        slow_probability=0.1,
        passes=(6, 1, 9),
        stage_ms={"vision": 30.0, "prefill": 20.0 + number % 7, "decode": 25.0},
        poses=poses,
        spread_m=0.2 + 0.001 * (number % 50),
        vision_ood=0.5 + 0.01 * (number % 50),
    )


def curve_run(run_s: int = 60) -> RunRecord:
    """A run with both faults in which everything went as it should."""
    run_ns = run_s * SECOND_NS
    faults = demo_faults(run_ns)
    record = RunRecord(RunSettings(7, "quiet_road", "modelled", "zmq", run_ns, 0, "made up", faults))
    record.faults = [FaultRecord(fault, fault.start_ns) for fault in faults]
    for time_ns in range(0, run_ns, STEP):
        fault = next((f for f in faults if 0 <= time_ns - f.start_ns - 120 * MILLISECOND_NS < 8 * SECOND_NS), None)
        black = fault is not None and fault.kind == "black_camera"
        code = (
            Reason("IMAGE_BLACK", 0.0, 8.0, "front: mean grey")
            if black
            else Reason("PLANNER_SILENT", 0.2, 0.15, "heartbeat's age, s")
        )
        mode = 2 if fault else 0
        reasons = (code,) if fault else ()
        record.published.append(
            PublishedRecord(time_ns, time_ns, time_ns // STEP, "engaged", mode, "model", 1, 0, reasons)
        )
        x, y, heading = on_curve(time_ns / SECOND_NS)
        metres = SPEED_MPS * time_ns / SECOND_NS
        record.steps.append(StepRecord(time_ns, x, y, heading, SPEED_MPS, metres, mode, True))
        record.probe.append((time_ns, float(np.random.default_rng(time_ns).exponential(2.0))))
        record.loop_lateness_ms.append(0.3)
    record.plans = [plan_record(k, k * 200 * MILLISECOND_NS) for k in range(run_s * 5)]
    record.expert_progress_m = run_s * SPEED_MPS * 1.1
    record.route_points = np.array([on_curve(t)[:2] for t in np.arange(-2, run_s + 8, 1.0)])
    for second in range(0, run_s, 1):
        centre = np.array([on_curve(second + ahead) for ahead in np.arange(-1, 8, 0.5)])
        normal = np.stack([-np.sin(centre[:, 2]), np.cos(centre[:, 2])], axis=1)
        record.lane_edges.append(np.stack([centre[:, :2] + normal * 5.0, centre[:, :2] - normal * 3.0]))
        x, y, heading = on_curve(second + 4)
        record.traffic.append(Traffic(second * SECOND_NS, np.array([[x, y, heading, 8.0, 0.0, 4.6, 1.9]])))
    for at_s, title, mode in ((14, "before the camera fault", 0), (16, "front camera black", 2)):
        if at_s < run_s:
            record.snapshots.append(snapshot(record, at_s, title, mode))
    return record


def snapshot(record: RunRecord, at_s: int, title: str, mode: int) -> Snapshot:
    """Pictures that are grey ramps, one object ahead."""
    x, y, heading = on_curve(at_s)
    ramp = np.repeat(np.linspace(40, 220, 252, dtype=np.uint8)[:, None, None], 448, axis=1).repeat(3, axis=2)
    ox, oy, oh = on_curve(at_s + 3)
    ahead = np.array([on_curve(at_s + dt) for dt in np.arange(0, 4, 0.1)])
    points = np.column_stack([np.arange(0, 4, 0.1), ahead, np.full(40, SPEED_MPS), np.zeros(40)])
    return Snapshot(
        time_ns=at_s * SECOND_NS,
        title=title,
        pose=(x, y, heading),
        images={camera: ramp for camera in CAMERAS},
        objects=ObjectList(0, (TrackedObject(1, VEHICLE, ox, oy, oh, 8.0, 0.0, 4.6, 1.9),)),
        plan=record.plans[at_s * 5] if record.plans else None,
        driven_points=points,
        mode=mode,
    )


@pytest.fixture(scope="session")
def record() -> RunRecord:
    """A run of 60 s with both faults; tests must not change it."""
    return curve_run()
