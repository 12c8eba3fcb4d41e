"""How a plan's time grows: with cameras, frames per camera, prompt length, and with rows or samples in a pass (K).

Random weights of one model (`random_checkpoint.py`, 42 million), fp32, one thread; per axis one bundle a point, on
random pictures. Times are CPU times of warm plans without a vision cache (every pair is new), medians over `--plans`,
the points in turn; the answer is forced, one prefill and nine passes. The slope is that of a straight line through the
medians, with 95 % bounds (plans drawn anew, 2000 times) and how well it fits (R^2). K: one pass behind a prompt, the
pass alone, processor time of its thread. Rows: K tokens of one answer, each of which sees those before it, as in
guessing ahead. Samples: a token of each of K answers that share the prompt and do not see each other, the first such
pass. From two on: a lone row is computed twice (`LEAST_ROWS`), and samples are two or more.
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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import random_checkpoint
from plan_latency import Instant, answer_of, ours

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.answer_sequence import PromptInput
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

CAMERAS, FRAMES = (1, 2, 4, 6), (2, 4, 6, 8)
PICTURES = ((112, 84), (168, 112), (224, 168), (280, 196))
"""Sizes at which the model sees each of three cameras; they set the prompt's length."""
ROWS = (2, 4, 8, 16, 32, 64)
AXES = ("cameras", "frames", "prompt_tokens", "passes")
SOURCE = (252, 448, 3)
DRAWN = 2000


def instant_of(bundle: Bundle, seed: int) -> Instant:
    """Random pictures for a bundle, and an answer."""
    rng = np.random.default_rng(seed)
    stamps = tuple(500_000_000 * (k + 10 * seed) for k in range(bundle.manifest.frames.per_camera))
    images = {role: tuple(rng.integers(0, 256, SOURCE, np.uint8) for _ in stamps) for role in bundle.cameras}
    frames = FrameSet(stamps[-1], images, dict.fromkeys(images, stamps))
    actions = tuple(int(i) for i in rng.integers(0, bundle.manifest.actions.count, bundle.manifest.actions.per_answer))
    return Instant(frames, EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0), "keep forward", actions)


def straight_line(times: dict[float, list[float]]) -> dict[str, Any]:
    """Slope with bounds, intercept and R^2 of the medians over x, ms."""
    x = np.array(list(times))
    measured = [np.array(found) for found in times.values()]
    y = np.array([np.median(found) for found in measured])
    slope, start = np.polyfit(x, y, 1)
    residual = float(((y - slope * x - start) ** 2).sum())
    rng = np.random.default_rng(0)
    drawn = np.array([np.median(rng.choice(found, (DRAWN, len(found))), axis=1) for found in measured])
    low, high = np.quantile(np.polyfit(x, drawn, 1)[0], [0.025, 0.975])
    return {
        "slope_ms": round(float(slope), 3),
        "slope_bounds_ms": [round(float(low), 3), round(float(high), 3)],
        "intercept_ms": round(float(start), 3),
        "r_squared": round(1 - residual / max(float(((y - y.mean()) ** 2).sum()), 1e-12), 4),
    }


def of_shapes(folder: Path, shapes: dict[str, list[dict[str, Any]]], plans: int) -> dict[str, Any]:
    """Per axis the times of all its points, and their line."""
    results = {}
    for axis, points in shapes.items():
        candidates, bundles = [], []
        for number, shape in enumerate(points):
            checkpoint = random_checkpoint.write(folder / f"{axis}-{number}", **shape)
            bundle = Bundle.open(export_bundle(checkpoint, folder / f"{axis}-{number}-bundle", precision="fp32"))
            bundles.append(bundle)
            candidates.append(ours(axis, bundle, 1, True, vision_cache=False, look_ahead=False))
        for turn in range(plans + 1):
            for candidate, bundle in zip(candidates, bundles, strict=True):
                candidate.measure(instant_of(bundle, turn), counted=turn > 0)
        times = [candidate.cpu_ms for candidate in candidates]
        prompts = [prompt_tokens(bundle) for bundle in bundles]
        at = {"cameras": [s["cameras"] for s in points], "frames": [s.get("frames", 4) for s in points]}.get(
            axis, prompts
        )
        results[axis] = {
            "points": [
                {axis: x, "prompt_tokens": tokens, "cpu_ms_median": round(statistics.median(found), 2)}
                for x, tokens, found in zip(at, prompts, times, strict=True)
            ],
            **straight_line(dict(zip(map(float, at), times, strict=True))),
        }
    return results


def prompt_tokens(bundle: Bundle) -> int:
    """Tokens of a bundle's prompt."""
    return len(Planner(bundle).prompt.write(EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0), "keep forward").ids)


def of_passes(bundle: Bundle, repetitions: int) -> dict[str, Any]:
    """Times of one pass with K rows, and with K samples, behind a prompt and the answer's opening."""
    planner = Planner(bundle, samples=max(ROWS))
    sequence, table, opening = planner.decoder._sequence, bundle.embeddings, answer_of(planner).fast_prefix
    written = planner.prompt.write(EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0), "keep forward")
    prompt = PromptInput(
        written.ids, table[written.ids].astype(np.float32), written.positions, written.next_position, 0
    )
    sequence.begin(prompt, opening, (), (-1, 0), np.empty((2, len(table)), np.float32))
    ways = {
        "rows_in_a_pass": sequence.push,
        "samples_in_a_pass": lambda ids, logits: sequence.push_branches(ids, len(opening), logits),
    }
    times: dict[str, dict[float, list[float]]] = {way: {float(rows): [] for rows in ROWS} for way in ways}
    for turn in range(repetitions + 1):
        for rows in ROWS:
            logits, ids = np.empty((rows, len(table)), np.float32), range(rows)
            for way, push in ways.items():
                begin = time.thread_time()
                push(ids, logits)
                took_ms = (time.thread_time() - begin) * 1e3
                sequence.keep(len(opening))
                if turn:
                    times[way][rows].append(took_ms)
    return {
        way: {
            "points": [
                {way: int(rows), "cpu_ms_median": round(statistics.median(ms), 3)} for rows, ms in found.items()
            ],
            **straight_line(found),
        }
        for way, found in times.items()
    }


def main() -> int:
    """Build, export, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=5)
    parser.add_argument("--axes", default=",".join(AXES), help=f"comma-separated: {', '.join(AXES)}")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    axes = arguments.axes.split(",")
    if unknown := [axis for axis in axes if axis not in AXES]:
        parser.error(f"--axes: {unknown[0]!r} is unknown; known: {', '.join(AXES)}")
    shapes: dict[str, list[dict[str, Any]]] = {
        "cameras": [{"cameras": count} for count in CAMERAS],
        "frames": [{"cameras": 3, "frames": count} for count in FRAMES],
        "prompt_tokens": [{"cameras": 3, "picture": size} for size in PICTURES],
    }
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        wanted = {axis: points for axis, points in shapes.items() if axis in axes}
        results = of_shapes(Path(folder), wanted, arguments.plans)
        if "passes" in axes:
            checkpoint = random_checkpoint.write(Path(folder) / "passes")
            bundle = Bundle.open(export_bundle(checkpoint, Path(folder) / "passes-bundle", precision="fp32"))
            results |= of_passes(bundle, 4 * arguments.plans)
    protocol = {
        "plans": arguments.plans,
        "onnxruntime": version("onnxruntime"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "load_average": os.getloadavg(),
    }
    if arguments.json:
        sys.stdout.write(json.dumps({"protocol": protocol, "results": results}, indent=2) + "\n")
        return 0
    for axis, result in results.items():
        low, high = result["slope_bounds_ms"]
        line = f"{result['slope_ms']} [{low}, {high}] ms each, {result['intercept_ms']} ms at none"
        line += f", R^2 {result['r_squared']}"
        sys.stdout.write(f"{axis}: {line}\n")
        for point in result["points"]:
            sys.stdout.write(f"  {point}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
