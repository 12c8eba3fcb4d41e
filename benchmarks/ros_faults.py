"""How long until the fallback drives when a planner breaks, on real nodes over DDS; several injections of each fault.

    python benchmarks/ros_faults.py [--injections 5] [--faults killed,stopped] [--json FILE]
    .venv-jazzy/bin/python benchmarks/ros_faults.py     # the same nodes on the other distribution

Protocol: supervisor, camera guard and a stand-in planner are processes of the distribution that runs this file; this
process is the vehicle's end (six raw 448x252 cameras at 10 Hz, odometry at 50 Hz). Each injection gets a fresh graph in
which the model drives. Measured from just before the signal to the arrival of the first trajectory in FALLBACK or
beyond, and the longest gap between two trajectories from half a second before it to a second after. A probe beside it
says how late a 20 ms timer was meanwhile: where that is more than 100 ms, or the model never came to drive, the
injection says nothing and is counted apart.

Exit status: 0 every injection on time kept the limits (350 ms, 120 ms), 1 not, 2 fewer than half were on time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from onboard_vla.app.straight_road.graph import Graph
from onboard_vla.app.straight_road.lateness import STARVED_S, LatenessWatch
from onboard_vla.app.straight_road.planner_faults import (
    FALLBACK_LIMIT_S,
    FAULTS,
    GAP_LIMIT_S,
    Reaction,
    break_planner,
)
from onboard_vla.app.straight_road.road import NotSeenError

RCLPY = {7: "jazzy", 9: "kilted"}
"""Major version of rclpy by distribution."""
MS = 1e3


def main() -> int:
    """Break, measure, tell."""
    arguments = read_arguments()
    names = [name for name in FAULTS if name in (arguments.faults or FAULTS)]
    rows: list[dict[str, Any]] = []
    for name in names:
        rows += [inject(name, number) for number in range(arguments.injections)]
    document = {"environment": environment(), "limits_s": [FALLBACK_LIMIT_S, GAP_LIMIT_S], "injections": rows}
    document["faults"] = [summary(name, [row for row in rows if row["fault"] == name]) for name in names]
    sys.stdout.write(table(document))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
    on_time = [row for row in rows if row["on_time"]]
    if not all(row["kept"] for row in on_time):
        return 1
    return 2 if 2 * len(on_time) < len(rows) else 0


def inject(name: str, number: int) -> dict[str, Any]:
    """One fault in one fresh graph."""
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        watch = LatenessWatch(Path(folder))
        graph = Graph("ros", Path(folder))
        begin_ns, reaction = time.monotonic_ns(), Reaction(math.inf, math.inf, ("the model did not drive",))
        drives = False
        try:
            with contextlib.suppress(NotSeenError):
                graph.road.engage()
                drives, begin_ns, graph.road.lateness_s = True, time.monotonic_ns(), 0.0
                reaction = Reaction(math.inf, math.inf, ("no fallback",))
                reaction = break_planner(graph, FAULTS[name])
            late_s = max(watch.since(begin_ns), graph.road.lateness_s)
        finally:
            graph.close()
            watch.close()
    kept = reaction.fallback_s < FALLBACK_LIMIT_S and reaction.gap_s < GAP_LIMIT_S
    sys.stderr.write(
        f"{name} {number + 1}: fallback {reaction.fallback_s * MS:.0f} ms, longest gap {reaction.gap_s * MS:.0f} ms, "
        f"machine {late_s * MS:.0f} ms late, {' '.join(reaction.codes)}\n"
    )
    return {
        "fault": name,
        "fallback_s": reaction.fallback_s,
        "gap_s": reaction.gap_s,
        "codes": reaction.codes,
        "machine_late_s": late_s,
        "on_time": drives and late_s <= STARVED_S,
        "kept": kept,
    }


def summary(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and maximum, ms, of the injections that were on time; None where none was."""
    on_time = [row for row in rows if row["on_time"]]
    found: dict[str, Any] = {"fault": name, "injections": len(rows), "on_time": len(on_time)}
    for what in ("fallback", "gap"):
        values = [row[f"{what}_s"] * MS for row in on_time]
        found |= {f"{what}_median_ms": statistics.median(values), f"{what}_max_ms": max(values)} if values else {}
    return found


def table(document: dict[str, Any]) -> str:
    """For people and documents."""
    about = document["environment"]
    lines = [
        f"{about['distribution']} (rclpy {about['rclpy']}), Python {about['python']}, {about['cores']} cores, load "
        f"{about['load']:.1f}; limits: fallback {FALLBACK_LIMIT_S * MS:.0f} ms, gap {GAP_LIMIT_S * MS:.0f} ms",
        "| fault | on time of injections | fallback, median / max | longest gap, median / max |",
        "|---|---|---|---|",
    ]
    for row in document["faults"]:
        cells = [row["fault"], f"{row['on_time']} of {row['injections']}"]
        for what in ("fallback", "gap"):
            known = row["on_time"] > 0
            cells.append(
                f"{row[f'{what}_median_ms']:.0f} / {row[f'{what}_max_ms']:.0f} ms" if known else "not measured"
            )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def environment() -> dict[str, Any]:
    """What it ran on."""
    number = version("ros-rclpy") if _installed("ros-rclpy") else version("rclpy")
    return {
        "distribution": RCLPY.get(int(number.split(".")[0]), "unknown"),
        "rclpy": number,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--injections", type=int, default=5, help="of each fault")
    parser.add_argument("--faults", type=lambda text: text.split(","), help=f"of {', '.join(FAULTS)}; all by default")
    parser.add_argument("--json", type=Path, help="also write the figures of every injection")
    arguments = parser.parse_args()
    if unknown := set(arguments.faults or ()) - set(FAULTS):
        parser.error(f"no fault {', '.join(sorted(unknown))}: expected of {', '.join(FAULTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
