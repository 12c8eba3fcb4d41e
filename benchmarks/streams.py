"""Throughput of several streams on one set of engines against batch: streams' passes joined, and one after the other.

Protocol: every stream is another drive, planning at the same instants; INT8, one engine thread, one token a pass unless
--look-ahead. For each number of streams, all plan once together (`Streams.plan_all`, joined) and once one after the
other (a `Planner` each), in turn; medians of processor time of the whole process, all threads, over --rounds. The
reference checkpoint's plans are its own and compared: tokens, and the largest difference of a spread. With `random` (42
million random weights) answers are forced, so plans cannot differ. "runs": of the language engine, a plan, in turn and
joined.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import random_checkpoint
from passes import instants
from plan_latency import WatchedEngine, answer_of

from onboard_vla.core.plan import FAST, SLOW, Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.streams import PlanRequest, Streams

STREAMS = (1, 2, 4, 8)
PLAN_EVERY, WARM_UP = 5, 2
"""Pictures from one plan to the next (0.5 s), and plans that are not counted."""
FIRST_SEED = 700_200


@dataclass
class Answer:
    """Makes a planner say given actions, where weights are random."""

    planner: Planner
    engine: WatchedEngine

    @classmethod
    def of(cls, planner: Planner) -> Answer:
        """Watch a planner's language engine."""
        engine = WatchedEngine(planner.language._engine)
        planner.language._engine = engine
        return cls(planner, engine)

    def prepare(self, request: PlanRequest) -> None:
        """The next plan says ten actions that depend on its id alone."""
        actions = self.planner.bundle.manifest.actions
        prompt = self.planner.prompt.write(request.ego, request.command)
        self.engine.start = len(prompt.ids) + len(answer_of(self.planner).fast_prefix)
        chosen = np.random.default_rng(request.plan_id).integers(0, actions.count, actions.per_answer)
        self.engine.ids = tuple(int(actions.first_id + action) for action in chosen)


def drives(cameras: tuple[str, ...], streams: int, rounds: int, depth: str) -> list[list[PlanRequest]]:
    """Per round one request of each stream."""
    found = []
    for stream in range(streams):
        seen = instants(cameras, "quiet_road", FIRST_SEED + stream, PLAN_EVERY * rounds)
        found.append([PlanRequest(*one, plan_id=n, depth=depth) for n, one in enumerate(seen) if n % PLAN_EVERY == 0])
    return [list(together) for together in zip(*found, strict=True)]


def spent(work: Callable[[], Sequence[Any]]) -> tuple[float, float, list[Plan]]:
    """Processor and wall time in ms, and plans; rejections end the benchmark."""
    cpu, wall = time.process_time(), time.perf_counter()
    made = list(work())
    cpu_ms, wall_ms = (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3
    if refused := [plan for plan in made if not isinstance(plan, Plan)]:
        raise SystemExit(f"a plan was refused: {refused[0]!r}")
    return cpu_ms, wall_ms, made


def measure(bundle: Bundle, rounds: list[list[PlanRequest]], count: int, forced: bool, look_ahead: bool) -> Any:  # noqa: ANN401
    """Figures of one number of streams."""
    streams = Streams(bundle, count, look_ahead=look_ahead)
    alone = [Planner(bundle, look_ahead=look_ahead) for _ in range(count)]
    answers = [Answer.of(planner) for planner in (*streams.planners, *alone)] if forced else []
    joined: list[tuple[float, float, list[Plan]]] = []
    single: list[tuple[float, float, list[Plan]]] = []
    runs = 0

    def together(requests: list[PlanRequest]) -> list[Any]:
        plans = streams.plan_all(dict(enumerate(requests)))
        return [plans[stream] for stream in range(count)]

    def in_turn(requests: list[PlanRequest]) -> list[Any]:
        asked = zip(alone, requests, strict=True)
        return [p.plan(r.frames, r.ego, r.command, r.plan_id, depth=r.depth) for p, r in asked]

    for number, requests in enumerate(rounds):
        requests = requests[:count]
        for answer, request in zip(answers, requests * 2, strict=bool(answers)):
            answer.prepare(request)
        before = streams.batch.runs
        order = (together, in_turn) if number % 2 else (in_turn, together)
        for work in order:
            result = spent(lambda work=work, requests=requests: work(requests))  # type: ignore[misc]
            if number >= WARM_UP:
                (joined if work is together else single).append(result)
        runs += streams.batch.runs - before if number >= WARM_UP else 0
    streams.close()
    pairs = [pair for a, b in zip(joined, single, strict=True) for pair in zip(a[2], b[2], strict=True)]
    cpu_joined, cpu_single = (statistics.median(r[0] for r in results) / count for results in (joined, single))
    return {
        "streams": count,
        "plans": len(pairs),
        "cpu_ms_a_plan_joined": round(cpu_joined, 2),
        "cpu_ms_a_plan_in_turn": round(cpu_single, 2),
        "plans_per_cpu_second_joined": round(1e3 / cpu_joined, 1),
        "throughput_ratio": round(cpu_single / cpu_joined, 3),
        "wall_ms_all_joined": round(statistics.median(r[1] for r in joined), 1),
        "wall_ms_all_in_turn": round(statistics.median(r[1] for r in single), 1),
        "runs_a_plan_joined": round(runs / len(pairs), 2),
        "runs_a_plan_in_turn": round(statistics.mean(b.passes.prefill + b.passes.decode for _, b in pairs), 2),
        "same_tokens": sum(a.action_tokens == b.action_tokens for a, b in pairs),
        "largest_spread_difference_m": max(
            float(np.abs(a.uncertainty.spread_m - b.uncertainty.spread_m).max()) for a, b in pairs
        ),
    }


def main() -> int:
    """Export, drive, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", default="reference", help="comma-separated: reference, random (needs torch)")
    parser.add_argument("--streams", default=",".join(map(str, STREAMS)), help="numbers of streams")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--depth", default=FAST, choices=(FAST, SLOW), help="of every plan; slow: reference alone")
    parser.add_argument("--look-ahead", action="store_true", help="guess tokens ahead, as planners do by default")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.streams.split(",")]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        for name in arguments.checkpoints.split(","):
            checkpoint = random_checkpoint.REFERENCE
            if name == "random":
                checkpoint = random_checkpoint.write(Path(folder) / name)
            bundle = Bundle.open(
                export_bundle(checkpoint, Path(folder) / f"{name}-int8", precision="int8", unjudged=True)
            )
            rounds = drives(bundle.cameras, max(counts), arguments.rounds + WARM_UP, arguments.depth)
            results[name] = [measure(bundle, rounds, count, name == "random", arguments.look_ahead) for count in counts]
    protocol = {
        "rounds": arguments.rounds,
        "depth": arguments.depth,
        "look_ahead": arguments.look_ahead,
        "onnxruntime": version("onnxruntime"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
    }
    if arguments.json:
        sys.stdout.write(json.dumps({"protocol": protocol, "results": results}, indent=2) + "\n")
        return 0
    sys.stdout.write(json.dumps(protocol) + "\n")
    for name, rows in results.items():
        sys.stdout.write(f"{name}\n")
        for row in rows:
            sys.stdout.write(f"  {row}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
