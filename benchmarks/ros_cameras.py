"""Six 1600 x 900 JPEG cameras at 10 Hz into the running planner node, and the supervisor node's cycle.

    python benchmarks/ros_cameras.py [--seconds 30] [--json [FILE]] [--only planner|guard|supervisor] [--compare]

Protocol: pictures are drawn by the world's renderer with sensor noise (sigma 2), JPEG quality 90; all six are sent at
once, ten times a second, over DDS with the shipped profile, by this process; beside them an ego state at 50 Hz and a
route. The node is the shipped one with the reference bundle (INT8), one inference thread; a stopwatch runs round its
callbacks (benchmarks/ros_stopwatch.py). "Beside inference" is the process's processor time less that of `Planner.plan`,
plus the decoding therein. The planner is judged as shipped; without `cameras.share_decoding` five plans a second use
every picture of a 10 Hz camera. `--compare` measures that, too, and planner and supervisor on rclpy's executor. The
supervisor gets what a full graph sends it (50 objects) from this process; a cycle is the processor time of its
executor's thread from tick to tick: deserialisation, callbacks, tick, publication.

Exit status: 0 all limits kept, 1 not, 2 inconclusive: other load on this machine (see LOAD_LIMIT).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT, PreparedBundle, prepare_bundle
from onboard_vla.core.cameras import CAMERAS, CameraFrame, CompressedFrame
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Heartbeat, Plan
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR
from onboard_vla.core.realtime import request_realtime_thread
from onboard_vla.core.road import Route
from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink
from onboard_vla.runtime.jpeg import encode_frame
from onboard_vla.world.expert import Expert
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

SIZE, NOISE_SIGMA, MOMENTS = (1600, 900), 2.0, 6
SPEED_MPS, TICK_S, CAMERA_TICKS = 8.0, 0.02, 5
WARM_UP_S, READY_LIMIT_S = 4.0, 120.0
CALLBACK_P99_MS, BESIDE_SHARE, CYCLE_P99_MS = 5.0, 0.15, 10.0
DRIVEN_SHARE = 0.9
"""Of the supervisor's cycles that must be of the kind that drives; the others are cheaper."""
LOAD_LIMIT = 2.5
"""One-minute load average above which a missed limit says nothing: sender and node alone make about one."""
SENDER_PRIORITY = 5
STOPWATCH = Path(__file__).with_name("ros_stopwatch.py")
PARTS = ("planner", "guard", "supervisor")
RCLPY = ("--rclpy",)
"""Word of the stopwatch: on rclpy's executor."""


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path, nargs="?", const=Path("out/ros_cameras/report.json"))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--compare", action="store_true")
    arguments = parser.parse_args()
    out = Path("out") / "ros_cameras"
    out.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    report: dict[str, Any] = {
        "protocol": {
            "seconds": arguments.seconds,
            "pictures": f"{SIZE[0]}x{SIZE[1]} JPEG",
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load_average_before": round(load, 2),
        }
    }
    wanted = [arguments.only] if arguments.only else list(PARTS)
    prepared = prepare_bundle(REFERENCE_CHECKPOINT, Path("out") / "bundles", lambda *_: None, say)
    pictures = [] if wanted == ["supervisor"] else compressed_pictures()
    seconds, compressed = arguments.seconds, {"cameras.transport": "compressed"}
    if "planner" in wanted:
        shipped = {"bundle": prepared.path, **compressed}
        report["planner"] = planner_figures(*measure(PLANNER, shipped, pictures, seconds, out))
        if arguments.compare:
            every = shipped | {"cameras.share_decoding": False}
            compared = {
                "every plan decodes": planner_figures(*measure(PLANNER, every, pictures, seconds, out)),
                "and rclpy's executor": planner_figures(*measure(PLANNER, every, pictures, seconds, out, RCLPY)),
            }
            report["planner"]["compared"] = compared
    if "guard" in wanted:
        report["guard"] = guard_figures(*measure(CAMERA_GUARD, compressed, pictures, seconds, out))
    if "supervisor" in wanted:
        report["supervisor"] = supervisor_figures(*measure_supervisor(prepared, seconds, out))
        if arguments.compare:
            rclpys = supervisor_figures(*measure_supervisor(prepared, seconds, out, RCLPY))
            report["supervisor"]["compared"] = {"rclpy's executor": rclpys}
    report["protocol"]["load_average_after"] = round(os.getloadavg()[0], 2)
    say(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    missed = [name for part in wanted for name, kept in report[part]["limits"].items() if not kept]
    busy = max(load, report["protocol"]["load_average_after"]) > LOAD_LIMIT
    say("limits kept" if not missed else f"{'inconclusive, machine busy' if busy else 'MISSED'}: {', '.join(missed)}")
    return 0 if not missed else 2 if busy else 1


def say(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def compressed_pictures() -> list[list[CompressedFrame]]:
    """`MOMENTS` times six pictures of a drive."""
    world, renderer = World(7, next(iter(PROFILES))), Renderer(default_rig(*SIZE))
    driver, rng, moments = Expert(world), np.random.default_rng(0), []
    for moment in range(MOMENTS):
        frames = []
        for camera, image in renderer.render(world).items():
            noisy = image + rng.normal(0, NOISE_SIGMA, image.shape)
            frames.append(encode_frame(CameraFrame(camera, 0, moment, np.clip(noisy, 0, 255).astype(np.uint8))))
        moments.append(frames)
        for _ in range(20):
            world.step(driver.control(), TICK_S)
    return moments


def start(
    process: str, values: dict[str, object], out: Path, words: tuple[str, ...]
) -> tuple[subprocess.Popen[bytes], Path]:
    """The node with its stopwatch."""
    result = out / f"{process}.json"
    result.unlink(missing_ok=True)
    parameters = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    command = [sys.executable, str(STOPWATCH), str(result), process, *words, "--ros-args", *parameters]
    environment = {k: v for k, v in os.environ.items() if k != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    with (out / f"{process}.log").open("wb") as log:
        # Our own interpreter and file.
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
    return node, result


def finish(node: subprocess.Popen[bytes], result: Path) -> dict[str, Any]:
    """End the node and read what its stopwatch wrote."""
    node.send_signal(signal.SIGINT)
    status = node.wait(30)
    if not result.exists():
        raise SystemExit(f"the node ended with status {status} before its stopwatch wrote: see {result.parent}/*.log")
    document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return document


def measure(
    process: str,
    values: dict[str, object],
    pictures: list[list[CompressedFrame]],
    seconds: float,
    out: Path,
    words: tuple[str, ...] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send pictures to one node; what its stopwatch saw, and what was sent while it counted."""
    with RosVehicleLink(pictures="compressed") as link:
        node, result = start(process, values, out, words)
        try:
            link.wait_ready(READY_LIMIT_S, (process,))
            link.publish(Route("r", np.array([[0.0, 0.0], [1e5, 0.0]]), np.full(2, 10.0), ()))
            await_ready(link, process)
            sent: dict[str, Any] = {"stamps": {camera: [] for camera in CAMERAS}}

            def tick(number: int, counted: bool) -> None:
                stamp_ns = time.time_ns()
                link.publish(EgoState(stamp_ns, SPEED_MPS * number * TICK_S, 0.0, 0.0, SPEED_MPS, 0.0, 0.0))
                if number % CAMERA_TICKS == 0:
                    for frame in pictures[number // CAMERA_TICKS % len(pictures)]:
                        link.publish(CompressedFrame(frame.camera, stamp_ns, number, frame.format, frame.data))
                        if counted:
                            sent["stamps"][frame.camera].append(stamp_ns)

            sent["begin_ns"], sent["end_ns"] = run_schedule(tick, seconds)
            time.sleep(0.5)  # what is still under way
            heard = [m for m, now in link.poll() if isinstance(m, Plan) and now.monotonic_ns >= sent["begin_ns"]]
            sent["plan_ms"] = [plan.stage_ms["total"] for plan in heard]
            sent["anchors_ns"] = [plan.stamp_ns for plan in heard]
            return finish(node, result), sent
        finally:
            if node.poll() is None:
                node.kill()


def await_ready(link: RosVehicleLink, process: str) -> None:
    """Until the node's heartbeat says that it is warm."""
    end = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < end:
        beats = [m for m, _ in link.poll() if isinstance(m, Heartbeat) and m.process == process]
        if any(beat.ready for beat in beats):
            return
        time.sleep(0.05)
    raise SystemExit(f"{process} did not become ready within {READY_LIMIT_S:g} s: see out/ros_cameras/{process}.log")


def run_schedule(tick: Callable[[int, bool], None], seconds: float) -> tuple[int, int]:
    """Ticks at 50 Hz, open loop: warm-up, then the counted stretch; its beginning and end, monotonic."""
    # Where it is permitted: a sender that is late would be measured as a vehicle that is.
    request_realtime_thread("benchmark", SENDER_PRIORITY)
    origin_ns, begin_ns = time.monotonic_ns(), 0
    first, last = round(WARM_UP_S / TICK_S), round((WARM_UP_S + seconds) / TICK_S)
    for number in range(last):
        due_ns = origin_ns + number * nanoseconds(TICK_S)
        time.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
        if number == first:
            begin_ns = time.monotonic_ns()
        tick(number, number >= first)
    return begin_ns, time.monotonic_ns()


def planner_figures(seen: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Frames, callbacks, processor time beside inference."""
    common = picture_figures(seen, sent)
    first, last = window(seen, sent)
    span_s = (last[0] - first[0]) / 1e9
    process_s, inference_s, decode_s = (last[i] - first[i] for i in (1, 2, 3))
    beside = (process_s - inference_s + decode_s) / span_s
    plans = last[4] - first[4]
    figures = {
        **common,
        "plans": plans,
        "plan, wall ms": quantiles(sent["plan_ms"]),
        "plan to plan, anchors' ms": quantiles(list(np.diff(sent["anchors_ns"]) / 1e6)),
        "processor share, all": round(process_s / span_s, 4),
        "processor share, beside inference": round(beside, 4),
        "processor share, decoding therein": round(decode_s / span_s, 4),
        "processor share by thread": by_thread(first, last),
        "decoding, ms a plan": round(decode_s / max(plans, 1) * 1e3, 2),
        "pictures decoded a second": round((last[6] - first[6]) / span_s, 2),
    }
    figures["limits"] = {
        "all frames": common["received"] == common["sent"],
        f"callback p99 <= {CALLBACK_P99_MS:g} ms": common["picture callback ms"]["p99"] <= CALLBACK_P99_MS,
        f"beside inference <= {BESIDE_SHARE:.0%} of a core": beside <= BESIDE_SHARE,
        "plans were made": plans > 0,
    }
    return figures


def by_thread(first: list[Any], last: list[Any]) -> dict[str, float]:
    """Processor shares between two samples, the largest first, above 0.1 % of a core."""
    span_s = (last[0] - first[0]) / 1e9
    shares = {name: (spent - first[5].get(name, 0.0)) / span_s for name, spent in last[5].items()}
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return {name: round(share, 4) for name, share in ordered if share > 0.001}


def guard_figures(seen: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Frames and processor time; the guard decodes every picture."""
    first, last = window(seen, sent)
    share = (last[1] - first[1]) / ((last[0] - first[0]) / 1e9)
    common = picture_figures(seen, sent)
    kept = {"all frames": common["received"] == common["sent"]}
    return {**common, "processor share, all": round(share, 4), "limits": kept}


def picture_figures(seen: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Sent and received frames of each camera, callbacks and ages."""
    rows = [row for row in seen["callbacks"] if row[3] and row[0] >= sent["begin_ns"]]
    got = {camera: {row[3] for row in rows if f"/{camera}/" in row[2]} for camera in CAMERAS}
    counted = {camera: set(stamps) for camera, stamps in sent["stamps"].items()}
    return {
        "sent": {camera: len(stamps) for camera, stamps in counted.items()},
        "received": {camera: len(got[camera] & counted[camera]) for camera in CAMERAS},
        "picture callback ms": quantiles([row[1] for row in rows]),
        "picture age on arrival ms": quantiles([row[4] / 1e6 for row in rows]),
    }


def window(seen: dict[str, Any], sent: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """First and last of the stopwatch's samples while pictures were counted."""
    inside = [row for row in seen["samples"] if sent["begin_ns"] <= row[0] <= sent["end_ns"]]
    return inside[0], inside[-1]


def measure_supervisor(
    prepared: PreparedBundle, seconds: float, out: Path, words: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send the supervisor what a whole graph would."""
    import ros_graph_feed  # beside this file

    values = {"profile": "simulation", "bundle": prepared.path, "thresholds": prepared.thresholds}
    with RosVehicleLink() as link:
        node, result = start(SUPERVISOR, values, out, words)
        try:
            feed = ros_graph_feed.GraphFeed(link, prepared.core_hash)
            link.wait_ready(READY_LIMIT_S, (SUPERVISOR,))
            feed.begin()
            begin_ns, end_ns = run_schedule(feed.tick, seconds)
            sent = {"begin_ns": begin_ns, "end_ns": end_ns, "modes": feed.modes(), "reasons": feed.reasons()}
            return finish(node, result), sent
        finally:
            if node.poll() is None:
                node.kill()


def supervisor_figures(seen: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Cycles with deserialisation."""
    rows = [row for row in seen["ticks"] if sent["begin_ns"] <= row[0] <= sent["end_ns"]]
    cycles = quantiles([row[1] for row in rows])
    gaps = quantiles([(b[0] - a[0]) / 1e6 for a, b in itertools.pairwise(rows)])
    callbacks = [row for row in seen["callbacks"] if sent["begin_ns"] <= row[0] <= sent["end_ns"]]
    first, last = window(seen, sent)
    driven = sum(count for mode, count in sent["modes"].items() if mode.endswith("engaged, by model"))
    return {
        "cycle with deserialisation, processor ms": cycles,
        "of which the tick, processor ms": quantiles([row[2] for row in rows]),
        "processor share, all": round((last[1] - first[1]) / ((last[0] - first[0]) / 1e9), 4),
        "processor share by thread": by_thread(first, last),
        "tick to tick ms": gaps,
        "messages a second": round(len(callbacks) / ((sent["end_ns"] - sent["begin_ns"]) / 1e9), 1),
        "modes published": sent["modes"],
        "reasons given": sent["reasons"],
        "limits": {
            f"cycle p99 <= {CYCLE_P99_MS:g} ms": cycles["p99"] <= CYCLE_P99_MS,
            f"the model drives in {DRIVEN_SHARE:.0%} of them": driven >= DRIVEN_SHARE * sum(sent["modes"].values()),
        },
    }


def quantiles(values: list[float]) -> dict[str, float]:
    """n, median, 99th percentile and greatest."""
    if not values:
        raise SystemExit("nothing was measured: see the node's log in out/ros_cameras")
    ordered = np.sort(values)
    at = {f"p{q}": round(float(np.percentile(ordered, q, method="inverted_cdf")), 3) for q in (50, 99)}
    return {"n": len(values), **at, "max": round(float(ordered[-1]), 3)}


if __name__ == "__main__":
    sys.exit(main())
