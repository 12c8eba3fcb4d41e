"""Latency of the planner on the reference checkpoint's bundles, side by side.

Compared: forced fast prefix and plain greedy decoding of the whole answer; fp32 and INT8; vision cache on and off.
Protocol: six pictures of a driven world at 10 Hz, one plan every 0.2 s of that drive; at each instant every variant
plans once on the same frame set, in turn, so that all see the same load. Times are wall times inside `Planner.plan`,
warm, from the pictures in memory to the finished plan; transport is not part of it. With one thread the CPU time of a
plan is measured too: on a busy machine it is the figure to compare, and ratios are those of CPU time. Only valid plans
are timed; how many were valid is printed. Passes are counted by the engines.
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
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import FAST, Plan, PlanRejection
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.decoding import FREE
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner import STAGES, Planner

CHECKPOINT = Path(__file__).parents[1] / "world" / "reference"
CAMERA_PERIOD_S, PLAN_EVERY = 0.1, 2
STEP_S = 0.02
WARM_UP_PLANS = 5
"""Instants that are planned and not counted; also fills the vision cache."""


@dataclass
class Variant:
    """One way to plan, and what it took."""

    name: str
    planner: Planner
    depth: str
    plans: list[Plan] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    rejections: dict[str, int] = field(default_factory=dict)
    results: list[Plan | PlanRejection] = field(default_factory=list)

    def plan(self, instant: Instant, plan_id: int, counted: bool) -> None:
        """Plan once."""
        start = time.thread_time()
        result = self.planner.plan(instant.frames, instant.ego, instant.command, plan_id, depth=self.depth)
        cpu_ms = (time.thread_time() - start) * 1e3
        if not counted:
            return
        self.results.append(result)
        if isinstance(result, Plan):
            self.plans.append(result)
            self.cpu_ms.append(cpu_ms)
        else:
            self.rejections[result.code] = self.rejections.get(result.code, 0) + 1

    def report(self) -> dict[str, Any]:
        """Figures over the valid plans."""
        totals = [plan.stage_ms["total"] for plan in self.plans]
        report: dict[str, Any] = {
            "variant": self.name,
            "plans": len(self.results),
            "valid": len(self.plans),
            "rejections": self.rejections,
        }
        if totals:
            report["passes_median"] = {
                part: statistics.median(getattr(plan.passes, part) for plan in self.plans)
                for part in ("vision", "prefill", "decode")
            }
            report["stage_ms_median"] = {s: statistics.median(p.stage_ms[s] for p in self.plans) for s in STAGES}
            report["total_ms"] = {
                "n": len(totals),
                "median": statistics.median(totals),
                "p90": float(np.percentile(totals, 90)),
                "max": max(totals),
            }
            report["cpu_ms_median"] = statistics.median(self.cpu_ms)
        return report


@dataclass(frozen=True, eq=False)
class Instant:
    """What a plan is made from."""

    frames: FrameSet
    ego: EgoState
    command: str


def drive(bundle: Bundle, seconds: float, seed: int, profile: str) -> list[Instant]:
    """Let the expert drive and keep what the planner would see every 0.2 s."""
    from onboard_vla.core.cameras import CameraFrame
    from onboard_vla.world.expert import Expert
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    world = World(seed, profile)
    expert, renderer = Expert(world), Renderer(default_rig())
    frames = bundle.manifest.frames
    ingest = CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s)
    instants = []
    for tick in range(round(seconds / CAMERA_PERIOD_S)):
        for camera, view in renderer.render(world).items():
            picture: NDArray[np.uint8] = view.copy()
            picture.flags.writeable = False
            ingest.add(CameraFrame(camera, world.time_ns, tick, picture))
        chosen = ingest.frame_set()
        if chosen is not None and tick % PLAN_EVERY == 0:
            instants.append(Instant(chosen, world.ego, world.command))
        for _ in range(round(CAMERA_PERIOD_S / STEP_S)):
            world.step(expert.control(), STEP_S)
    return instants


def agreement(forced: Variant, free: Variant) -> dict[str, int]:
    """How often plain greedy decoding chose the fast answer by itself, and then gave the forced plan's tokens."""
    pairs = [(a, b) for a, b in zip(forced.results, free.results, strict=True) if isinstance(b, Plan)]
    fast = [(a, b) for a, b in pairs if b.depth == FAST]
    equal = sum(isinstance(a, Plan) and a.action_tokens == b.action_tokens for a, b in fast)
    return {"instants": len(free.results), "greedy_valid": len(pairs), "greedy_fast": len(fast), "tokens_equal": equal}


def print_table(reports: list[dict[str, Any]]) -> None:
    """One line a variant."""
    out = sys.stdout.write
    out("variant                            valid     passes v/p/d   " + "".join(f"{s:>11}" for s in STAGES))
    out("   total p50       p90       max   CPU p50  (ms)\n")
    for report in reports:
        out(f"{report['variant']:34}{report['valid']:4}/{report['plans']:<5}")
        if report["valid"]:
            passes, total = report["passes_median"], report["total_ms"]
            out(f"{passes['vision']:6g}/{passes['prefill']:g}/{passes['decode']:<7g} ")
            out("".join(f"{report['stage_ms_median'][stage]:11.2f}" for stage in STAGES))
            out(f"{total['median']:12.2f}{total['p90']:10.2f}{total['max']:10.2f}{report['cpu_ms_median']:10.2f}\n")
        else:
            out(f"  no valid plan: {report['rejections']}\n")


def print_ratios(reports: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Ratios of median CPU times, slower named first; wall times beside them."""
    comparisons = (
        ("whole answer / forced prefix, fp32", "fp32 whole answer, cache off", "fp32 forced prefix, cache off"),
        ("whole answer / forced prefix, int8", "int8 whole answer, cache off", "int8 forced prefix, cache off"),
        ("fp32 / int8, forced prefix", "fp32 forced prefix, cache off", "int8 forced prefix, cache off"),
        ("cache off / on, fp32", "fp32 forced prefix, cache off", "fp32 forced prefix, cache on"),
        ("cache off / on, int8", "int8 forced prefix, cache off", "int8 forced prefix, cache on"),
    )
    ratios = {}
    for name, slower, faster in comparisons:
        if reports[slower]["valid"] and reports[faster]["valid"]:
            ratios[name] = reports[slower]["cpu_ms_median"] / reports[faster]["cpu_ms_median"]
            wall = reports[slower]["total_ms"]["median"] / reports[faster]["total_ms"]["median"]
            sys.stdout.write(f"{name:40}{ratios[name]:6.2f} (wall {wall:.2f})\n")
    return ratios


def main() -> int:
    """Export, drive, plan, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--seconds", type=float, default=22.0, help="length of the drive")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--profile", default="quiet_road")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("out/benchmark_planner.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        bundles = {
            precision: Bundle.open(
                export_bundle(arguments.checkpoint, Path(folder) / precision, precision=precision, unjudged=True)
            )
            for precision in ("fp32", "int8")
        }
        variants = [
            Variant(name, Planner(bundle, arguments.threads, vision_cache=cache), depth)
            for precision, bundle in bundles.items()
            for name, cache, depth in (
                (f"{precision} forced prefix, cache off", False, FAST),
                (f"{precision} forced prefix, cache on", True, FAST),
                (f"{precision} whole answer, cache off", False, FREE),
            )
        ]
        instants = drive(bundles["int8"], arguments.seconds, arguments.seed, arguments.profile)
        manifest = bundles["int8"].manifest
        prompt = variants[0].planner.prompt.write(instants[0].ego, instants[0].command)
        protocol = {
            "bundles": {precision: bundle.core_hash for precision, bundle in bundles.items()},
            "prompt_tokens": len(prompt.ids),
            "visual_tokens": sum(grid.tokens for grid in bundles["int8"].grids().values()),
            "cameras": {camera.role: f"{camera.width}x{camera.height}" for camera in manifest.cameras},
            "profile": arguments.profile,
            "seed": arguments.seed,
            "instants": len(instants) - WARM_UP_PLANS,
            "warm_up_instants": WARM_UP_PLANS,
            "threads": arguments.threads,
            "python": platform.python_version(),
            "onnxruntime": version("onnxruntime"),
            "numpy": version("numpy"),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "load_average_before": os.getloadavg(),
        }
        for number, instant in enumerate(instants):
            for variant in variants:
                variant.plan(instant, number, counted=number >= WARM_UP_PLANS)
    protocol["load_average_after"] = os.getloadavg()
    reports = [variant.report() for variant in variants]
    sys.stdout.write(json.dumps(protocol) + "\n")
    print_table(reports)
    ratios = print_ratios({report["variant"]: report for report in reports})
    shares = {"fp32": agreement(variants[0], variants[2]), "int8": agreement(variants[3], variants[5])}
    sys.stdout.write(f"whole answer against forced prefix: {json.dumps(shares)}\n")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    results = {"protocol": protocol, "results": reports, "ratios": ratios, "agreement": shares}
    arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    sys.stdout.write(f"written: {arguments.json}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
