"""Slow second answers behind fast plans on the reference checkpoint: what they cost, and how fast they are given up.

Protocol: drives of the world at 10 Hz; at each instant a fast plan, and behind it a slow answer on the same pictures.
Every other one is told to stop at a random token, and the time from there to its return is taken. Those that may end
are held against a slow plan that another planner makes from the pictures on: tokens and text must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from passes import CHECKPOINT, instants

from onboard_vla.core.plan import SLOW, Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

LAST_TOKEN = 30
"""Answers are told to stop before one of so many tokens; what has ended by then was not stopped."""


class Stop:
    """Says stop from a given token on, and remembers when it said so first."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.said_s: float | None = None

    def __call__(self) -> bool:
        """Asked before every token."""
        self._left -= 1
        if self._left < 0 and self.said_s is None:
            self.said_s = time.perf_counter()
        return self.said_s is not None


class SecondAnswerTimes:
    """Times in ms, and what became of the answers."""

    def __init__(self, bundle: Bundle, seed: int) -> None:
        self.planner, self.alone = Planner(bundle), Planner(bundle, depth=SLOW)
        self._random = random.Random(seed)
        self.fast: list[float] = []
        self.slow: list[float] = []
        self.stopped: list[float] = []
        self.words: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.unequal = 0
        for planner in (self.planner, self.alone):
            planner.warm_up()

    def see(self, instant: Any, number: int) -> None:  # noqa: ANN401
        """Plan twice on what there is to be seen."""
        begin_s = time.perf_counter()
        first = self.planner.plan(*instant, number)
        self.fast.append((time.perf_counter() - begin_s) * 1e3)
        if not isinstance(first, Plan):
            self.outcomes[f"fast: {first.code}"] += 1
            return
        stop = Stop(self._random.randrange(LAST_TOKEN) if number % 2 else 10**9)
        begin_s = time.perf_counter()
        second = self.planner.plan_further(first, number, 10**9, stop)
        end_s = time.perf_counter()
        if stop.said_s is not None:
            self.stopped.append((end_s - stop.said_s) * 1e3)
            return
        self.outcomes["answered" if isinstance(second, Plan) else second.code] += 1
        if number % 2:
            return
        alone = self.alone.plan(*instant, number)
        if isinstance(second, Plan) and isinstance(alone, Plan):
            self.slow.append((end_s - begin_s) * 1e3)
            self.words[second.scene.code or "read"] += 1
            self.unequal += (second.action_tokens, second.text) != (alone.action_tokens, alone.text)
        else:
            self.unequal += getattr(second, "code", "") != getattr(alone, "code", "")

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "fast_ms": summary(self.fast),
            "second_ms": summary(self.slow),
            "from_stop_to_return_ms": summary(self.stopped),
            "outcomes": dict(self.outcomes),
            "texts": dict(self.words),
            "unequal_to_slow_alone": self.unequal,
        }


def summary(values: list[float]) -> dict[str, float]:
    """Count, median, 99th percentile and most."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {"n": len(ordered), "median": statistics.median(ordered), "p99": p99, "most": ordered[-1]}


def main() -> int:
    """Export, drive, plan, print; 1 if a second answer is another than the slow plan alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--bundle", type=Path, help="an exported bundle instead")
    parser.add_argument("--drives", type=int, default=2, help="drives of quiet_road, and as many of urban")
    parser.add_argument("--plans", type=int, default=100, help="instants of a drive, 0.1 s apart")
    parser.add_argument("--first-seed", type=int, default=700_200)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        path = arguments.bundle or export_bundle(
            arguments.checkpoint, Path(folder) / "bundle", precision="int8", unjudged=True
        )
        bundle = Bundle.open(path)
        times = SecondAnswerTimes(bundle, arguments.first_seed)
        for drive in range(2 * arguments.drives):
            profile = ("quiet_road", "urban")[drive % 2]
            for number, instant in enumerate(
                instants(bundle.cameras, profile, arguments.first_seed + drive, arguments.plans)
            ):
                times.see(instant, number)
    result = {
        "protocol": {
            "drives": 2 * arguments.drives,
            "plans_per_drive": arguments.plans,
            "first_seed": arguments.first_seed,
            "bundle": bundle.core_hash,
            "python": platform.python_version(),
            "onnxruntime": version("onnxruntime"),
            "machine": platform.machine(),
            "load_average": [load_before, os.getloadavg()],
        },
        "results": times.report(),
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n" if arguments.json else table(result["results"]))
    return int(times.unequal > 0)


def table(report: dict[str, Any]) -> str:
    """One line a kind of time, then the counts."""
    lines = [f"{'':26}{'n':>6}{'median':>9}{'p99':>9}{'most':>9}  ms"]
    for name in ("fast_ms", "second_ms", "from_stop_to_return_ms"):
        figures = report[name]
        cells = "".join(f"{figures[part]:9.1f}" for part in ("median", "p99", "most")) if figures["n"] else ""
        lines.append(f"{name.removesuffix('_ms').replace('_', ' '):26}{figures['n']:6}{cells}")
    lines.append(f"answers that were not stopped: {report['outcomes']}; texts: {report['texts']}")
    lines.append(f"not equal to the slow plan alone: {report['unequal_to_slow_alone']}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
