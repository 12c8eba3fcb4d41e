"""How long until the fallback drives when a planner breaks, on real nodes over DDS; several injections of each fault.

    python benchmarks/ros_faults.py [--injections 5] [--faults killed,stopped] [--hogs 6] [--ordinary] [--json FILE]
    .venv-jazzy/bin/python benchmarks/ros_faults.py     # the same nodes on the other distribution

Protocol: supervisor, camera guard and a stand-in planner are processes of the distribution that runs this file; this
process is the vehicle's end (six raw 448x252 cameras at 10 Hz, odometry at 50 Hz). Each injection gets a fresh graph in
which the model drives. Measured from just before the signal to the arrival of the first trajectory in FALLBACK or
beyond, and the longest gap between two trajectories from half a second before it to a second after. Guard and
supervisor run under SCHED_FIFO where that is permitted, and with `--ordinary` as any process; `--hogs` beside so many
processes that take all the time they get. A probe beside it says how late a 20 ms timer was meanwhile (beside hogs this
process's own lateness alone counts): where that is more than 100 ms, or the model never came to drive, the injection
says nothing and is counted apart.

FILE gets every injection as it is made, and what it holds already is not made again: an interrupted table goes on, and
one file takes the tables of several calls.

Exit status: 0 every injection on time kept the limits (350 ms, 120 ms; beside hogs with SCHED_FIFO alone), 1 not, 2
fewer than half were on time.
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
from onboard_vla.app.straight_road.hogs import hogs, may_schedule
from onboard_vla.app.straight_road.lateness import STARVED_S, LatenessWatch
from onboard_vla.app.straight_road.planner_faults import (
    FALLBACK_LIMIT_S,
    FAULTS,
    GAP_LIMIT_S,
    Reaction,
    break_planner,
)
from onboard_vla.app.straight_road.road import NotSeenError
from onboard_vla.core.whole_file import write_whole

RCLPY = {7: "jazzy", 9: "kilted"}
"""Major version of rclpy by distribution."""
REAL_TIME, ORDINARY = "SCHED_FIFO", "ordinary"
MS = 1e3


def main() -> int:
    """Break, measure, tell."""
    arguments = read_arguments()
    rows = read_rows(arguments.json)
    about = environment(arguments)
    wanted = [{**about, "fault": name} for name in FAULTS if name in (arguments.faults or FAULTS)]
    for case in wanted:
        for number in range(len([row for row in rows if is_of(row, case)]), arguments.injections):
            rows.append(case | {"load": round(os.getloadavg()[0], 1), **inject(case, number)})
            write_rows(arguments.json, rows)
    mine = [row for row in rows if any(is_of(row, case) for case in wanted)]
    sys.stdout.write(table(about, [summary(case, [row for row in mine if is_of(row, case)]) for case in wanted], mine))
    on_time = [row for row in mine if row["on_time"]]
    limited = about["scheduling"] == REAL_TIME or not about["hogs"]
    if limited and not all(row["kept"] for row in on_time):
        return 1
    return 2 if 2 * len(on_time) < len(mine) else 0


def is_of(row: dict[str, Any], case: dict[str, Any]) -> bool:
    """Whether an injection is one of this case."""
    return all(row.get(name) == value for name, value in case.items())


def read_rows(path: Path | None) -> list[dict[str, Any]]:
    """The injections that were made already."""
    if path is None or not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["injections"]
    return rows


def write_rows(path: Path | None, rows: list[dict[str, Any]]) -> None:
    """All of them; a kill while writing leaves the file as it was."""
    if path is not None:
        document = {"limits_s": [FALLBACK_LIMIT_S, GAP_LIMIT_S], "injections": rows}
        write_whole(path, json.dumps(document, indent=2) + "\n")


def inject(case: dict[str, Any], number: int) -> dict[str, Any]:
    """One fault in one fresh graph."""
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        watch = LatenessWatch(Path(folder))
        graph = Graph("ros", Path(folder), ordinary=case["scheduling"] != REAL_TIME)
        begin_ns, reaction = time.monotonic_ns(), Reaction(math.inf, math.inf, ("the model did not drive",))
        drives = False
        try:
            with contextlib.suppress(NotSeenError):
                graph.road.engage()
                drives, begin_ns, graph.road.lateness_s = True, time.monotonic_ns(), 0.0
                reaction = Reaction(math.inf, math.inf, ("no fallback",))
                with hogs(case["hogs"]):
                    reaction = break_planner(graph, FAULTS[case["fault"]])
            late_s = max(0.0 if case["hogs"] else watch.since(begin_ns), graph.road.lateness_s)
        finally:
            graph.close()
            watch.close()
    kept = reaction.fallback_s < FALLBACK_LIMIT_S and reaction.gap_s < GAP_LIMIT_S
    sys.stderr.write(
        f"{case['fault']} {number + 1}: fallback {reaction.fallback_s * MS:.0f} ms, longest gap "
        f"{reaction.gap_s * MS:.0f} ms, machine {late_s * MS:.0f} ms late, {' '.join(reaction.codes)}\n"
    )
    return {
        "fallback_s": None if math.isinf(reaction.fallback_s) else reaction.fallback_s,
        "gap_s": None if math.isinf(reaction.gap_s) else reaction.gap_s,
        "codes": list(reaction.codes),
        "machine_late_s": late_s,
        "on_time": drives and late_s <= STARVED_S,
        "kept": kept,
    }


def summary(case: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and maximum, ms, of the injections that were on time; no figures where none was."""
    on_time = [row for row in rows if row["on_time"]]
    found: dict[str, Any] = {"fault": case["fault"], "injections": len(rows), "on_time": len(on_time)}
    for what in ("fallback", "gap"):
        values = [math.inf if row[f"{what}_s"] is None else row[f"{what}_s"] * MS for row in on_time]
        found |= {f"{what}_median_ms": statistics.median(values), f"{what}_max_ms": max(values)} if values else {}
    return found


def table(about: dict[str, Any], faults: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """For people and documents."""
    loads = [row["load"] for row in rows] or [math.nan]
    lines = [
        f"{about['distribution']} (rclpy {about['rclpy']}), Python {about['python']}, {about['cores']} cores, load "
        f"{min(loads):.1f} to {max(loads):.1f}, {about['hogs']} hogs, {about['scheduling']} scheduling; limits: "
        f"fallback {FALLBACK_LIMIT_S * MS:.0f} ms, gap {GAP_LIMIT_S * MS:.0f} ms",
        "| fault | on time of injections | fallback, median / max | longest gap, median / max |",
        "|---|---|---|---|",
    ]
    for row in faults:
        cells = [row["fault"], f"{row['on_time']} of {row['injections']}"]
        for what in ("fallback", "gap"):
            known = row["on_time"] > 0
            cells.append(
                f"{row[f'{what}_median_ms']:.0f} / {row[f'{what}_max_ms']:.0f} ms" if known else "not measured"
            )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def environment(arguments: argparse.Namespace) -> dict[str, Any]:
    """What it runs on, which tells one table's injections from another's."""
    number = version("ros-rclpy") if _installed("ros-rclpy") else version("rclpy")
    return {
        "distribution": RCLPY.get(int(number.split(".")[0]), "unknown"),
        "rclpy": number,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "hogs": arguments.hogs,
        "scheduling": ORDINARY if arguments.ordinary or not may_schedule() else REAL_TIME,
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
    parser.add_argument("--hogs", type=int, default=0, help="processes beside it that take all the time they get")
    parser.add_argument("--ordinary", action="store_true", help="no SCHED_FIFO for guard and supervisor")
    parser.add_argument("--json", type=Path, help="keeps every injection; those that it holds are not made again")
    arguments = parser.parse_args()
    if unknown := set(arguments.faults or ()) - set(FAULTS):
        parser.error(f"no fault {', '.join(sorted(unknown))}: expected of {', '.join(FAULTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
