"""Six cameras at 10 Hz from one process to another, over ROS 2 DDS and over ZeroMQ: frames lost, latency, CPU.

Protocol: open-loop schedule; all six pictures of a cycle carry the cycle's intended send time as their stamp, so
latency includes the five pictures sent before. The receiver is the camera-guard process with a probe in the guard's
place: its time is taken when the body is called with a decoded core message. The transports run one after the other.
Beside other load, `chrt -f 5 python benchmarks/transport.py` gives both processes priority; the protocol line says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from onboard_vla.app.processes import ProcessSet, ProcessSpec
from onboard_vla.core.cameras import CAMERAS, CameraFrame
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.process_graph import CAMERA_GUARD
from onboard_vla.core.vehicle_link import VehicleLink
from onboard_vla.core.verdict import Verdict

PROBE = Path(__file__).with_name("transport_probe.py")
WIDTH, HEIGHT, RATE_HZ = 448, 252, 10.0
READY_S, DRAIN_S = 30.0, 1.0
WARM_UP_CYCLES = 10


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(transport: str, cycles: int) -> dict[str, Any]:
    """Run one transport."""
    with tempfile.TemporaryDirectory(prefix="ovla-") as name:
        directory = Path(name)
        link: VehicleLink
        words: tuple[str, ...] = ()
        if transport == "zmq":
            from onboard_vla.hil.vehicle_link import ZmqVehicleLink

            link, words = ZmqVehicleLink(directory), ("--endpoints", name)
        else:
            from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

            link = RosVehicleLink()
        command = (sys.executable, str(PROBE), transport, *words)
        processes = ProcessSet([ProcessSpec(CAMERA_GUARD, command, dict(os.environ), restart=False)], directory)
        try:
            processes.start()
            link.wait_ready(READY_S, (CAMERA_GUARD,))
            return {"transport": transport, **_drive(link, processes, cycles)}
        finally:
            processes.close()
            link.close()


def _drive(link: VehicleLink, processes: ProcessSet, cycles: int) -> dict[str, Any]:
    pid = processes.pid(CAMERA_GUARD)
    assert pid is not None
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    never, received, late_ms = threading.Event(), [], []
    begin_ns, cpu, own = time.time_ns() + 50_000_000, 0.0, 0.0
    for cycle in range(cycles + WARM_UP_CYCLES):
        if cycle == WARM_UP_CYCLES:
            cpu, own = cpu_seconds(pid), cpu_seconds(os.getpid())
        stamp_ns = begin_ns + int(cycle * 1e9 / RATE_HZ)
        never.wait(max(0.0, (stamp_ns - time.time_ns()) / 1e9))
        late_ms.append((time.time_ns() - stamp_ns) / 1e6)
        for camera in CAMERAS:
            link.publish(CameraFrame(camera, stamp_ns, cycle, image))
        received += link.poll()
    span_s = cycles / RATE_HZ
    cpu, own = cpu_seconds(pid) - cpu, cpu_seconds(os.getpid()) - own
    never.wait(DRAIN_S)
    received += link.poll()
    first_ns = begin_ns + int(WARM_UP_CYCLES * 1e9 / RATE_HZ)
    verdicts = [m for m, _ in received if isinstance(m, Verdict) and m.stamp_ns >= first_ns]
    latencies = np.array([verdict.reasons[0].measured for verdict in verdicts])
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) if len(latencies) else (np.nan,) * 3
    return {
        "sent": cycles * len(CAMERAS),
        "received": len(verdicts),
        "lost": cycles * len(CAMERAS) - len(verdicts),
        "latency_ms": {"p50": p50, "p95": p95, "p99": p99, "max": float(latencies.max(initial=0)), "n": len(verdicts)},
        "receiver_cpu_percent": 100 * cpu / span_s,
        "sender_cpu_percent": 100 * own / span_s,
        "sender_lateness_ms_p99": float(np.percentile(late_ms, 99)),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> int:
    """Measure both, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--transports", nargs="+", default=["ros", "zmq"], choices=["ros", "zmq"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    protocol = {
        "pictures": f"{len(CAMERAS)} x {WIDTH}x{HEIGHT} rgb8 at {RATE_HZ:g} Hz",
        "seconds": arguments.seconds,
        "python": platform.python_version(),
        "rclpy": _version("rclpy"),
        "pyzmq": _version("pyzmq"),
        "cpus": os.cpu_count(),
        "scheduling": "SCHED_FIFO" if os.sched_getscheduler(0) == os.SCHED_FIFO else "ordinary",
        "load_average": os.getloadavg(),
    }
    rows = []
    for transport in arguments.transports:
        try:
            rows.append(measure(transport, round(arguments.seconds * RATE_HZ)))
        except EnvironmentLacksError as error:
            sys.stdout.write(f"{transport}: skipped: {error}\n")
    protocol["load_average_after"] = os.getloadavg()
    sys.stdout.write(json.dumps(protocol) + "\n")
    sys.stdout.write("transport  received/sent   p50 ms   p95 ms   p99 ms   max ms   receiver CPU  sender CPU\n")
    for row in rows:
        latency = row["latency_ms"]
        times = "".join(f"{latency[key]:9.2f}" for key in ("p50", "p95", "p99", "max"))
        cpu = f"{row['receiver_cpu_percent']:11.1f} % {row['sender_cpu_percent']:9.1f} %"
        sys.stdout.write(f"{row['transport']:9}{row['received']:8}/{row['sent']:<6}{times}{cpu}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"protocol": protocol, "results": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
