"""CPU time of one sample of the safety indicators, taken ten times a second beside the supervisor's cycle.

Objects stand in rings around a vehicle that drives, half of them on its road; prints its protocol.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import VEHICLE, ObjectList, TrackedObject
from onboard_vla.core.road import RED, LaneObservation, Signal
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.indicator_record import PERIOD_S, IndicatorRecord
from onboard_vla.safety.indicators import measure
from onboard_vla.safety.object_memory import ObjectMemory

STAMP_NS = 1_000_000_000
LIST_NS = 100_000_000


def objects_around(count: int, stamp_ns: int) -> ObjectList:
    """Half of them drive along the road, the others across it."""
    rng, then_s = np.random.default_rng(1), (stamp_ns - STAMP_NS) / 1e9
    places, speeds = rng.uniform((-40.0, -9.0), (120.0, 9.0), (count, 2)), rng.uniform(-9.0, 9.0, count)
    rows = []
    for k in range(count):
        vx, vy = (speeds[k], 0.0) if k % 2 else (0.0, speeds[k])
        x, y = places[k, 0] + vx * then_s, places[k, 1] + vy * then_s
        rows.append(TrackedObject(k, VEHICLE, x, y, 0.0 if k % 2 else np.pi / 2, vx, vy, 4.5, 1.8))
    return ObjectList(stamp_ns, tuple(rows))


def sample_times(count: int, repetitions: int) -> list[float]:
    """Milliseconds of thread CPU time of each sample, taken and kept."""
    points = np.stack([np.arange(-50.0, 200.0), np.zeros(250)], axis=1)
    lane, wide = Polyline(points), np.full(250, 9.0)
    lanes = LaneObservation(STAMP_NS, points, wide, wide, 3.5, wide, (Signal(1, 90.0, 0.0, RED),))
    memory, record, vehicle = ObjectMemory(CollisionLimits()), IndicatorRecord(), VehicleGeometry()
    for stamp_ns in (STAMP_NS - LIST_NS, STAMP_NS):
        memory.add(objects_around(count, stamp_ns), lane)
    motion = Motion(0.0, 0.0, 0.0, 10.0, -0.5, 0.0)
    times = []
    for _ in range(repetitions):
        begin_ns = time.thread_time_ns()
        record.add(measure(motion, memory.confirmed.at(STAMP_NS), lane, lanes, vehicle, STAMP_NS, "0" * 64))
        times.append((time.thread_time_ns() - begin_ns) / 1e6)
    return times[repetitions // 10 :]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--repetitions", type=int, default=2000, help="samples; the first tenth is not counted")
    parser.add_argument("--json", type=Path, help="write the report there, too")
    options = parser.parse_args()
    times = sorted(sample_times(options.objects, options.repetitions))
    median, p99 = statistics.median(times), times[int(0.99 * len(times))]
    report = {
        "objects": options.objects,
        "samples": len(times),
        "median_ms": median,
        "p99_ms": p99,
        "share_of_a_core": median / 1e3 / PERIOD_S,
        "machine": {"python": platform.python_version(), "numpy": np.__version__, "load": os.getloadavg()[0]},
    }
    sys.stdout.write(
        f"safety indicators among {options.objects} objects, n = {len(times)}, thread CPU time\n"
        f"median {median:.3f} ms, p99 {p99:.3f} ms; at 10 Hz {median / 1e3 / PERIOD_S:.2%} of one core\n"
        f"{report['machine']}\n"
    )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
