"""The camera guard on the world's pictures: margins of healthy ones, planted faults, and CPU time per six pictures.

Prints its protocol and tables; writes JSON with --json. Status 1 where a healthy picture is refused, or a planted fault
is not found in time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT, CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.safety.camera_guard import MEASURE_LIMITS, CameraGuard
from onboard_vla.safety.camera_guard_config import NOISE_FREE_STANDSTILL_S, CameraGuardConfig
from onboard_vla.safety.camera_guard_measures import grey_picture, measure
from onboard_vla.world.expert import Expert
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

Image = NDArray[np.uint8]
STEP_S, CAMERA_STEPS, PERIOD_NS = 0.02, 5, 100_000_000
CONFIG = CameraGuardConfig(frozen_standstill_s=NOISE_FREE_STANDSTILL_S)
PLANTED_SEQUENCES = 20
SIDE = "sides"


def drive(renderer: Renderer, profile: str, seed: int, seconds: float) -> Iterator[tuple[float, dict[str, Image]]]:
    """The expert's speed and the six pictures, ten times a second."""
    world = World(seed, profile)
    expert = Expert(world)
    for step in range(round(seconds / STEP_S)):
        if step % CAMERA_STEPS == 0:
            yield world.vehicle.speed_mps, renderer.render(world)
        world.step(expert.control(), STEP_S)


def judge_healthy(renderer: Renderer, seeds: int, seconds: float) -> dict[str, object]:
    """Every picture of every profile through the guard as the process has it: values, reasons, CPU time."""
    values: dict[tuple[str, str], list[float]] = {}
    reasons: Counter[str] = Counter()
    spent, pictures = [], 0
    for profile in PROFILES:
        for seed in range(seeds):
            guard = CameraGuard(CONFIG, "")
            for k, (speed, images) in enumerate(drive(renderer, profile, seed, seconds)):
                now = Now(k * PERIOD_NS, k * PERIOD_NS)
                begun = time.thread_time_ns()
                verdicts = [
                    guard.check(CameraFrame(name, now.stamp_ns, k, image), speed, now) for name, image in images.items()
                ]
                spent.append((time.thread_time_ns() - begun) / 1e6)
                pictures += len(images)
                for verdict in verdicts:
                    for reason in verdict.reasons:
                        kind = "warning" if verdict.usable else "error"
                        reasons[f"{kind} {reason.code} {FRONT if verdict.camera == FRONT else SIDE}"] += 1
                if k % 5 == 0:
                    collect(values, images)
    row = np.array(spent)
    cost = {"n": len(spent), "median_ms": float(np.median(row)), "p99_ms": float(np.percentile(row, 99))}
    return {"pictures": pictures, "reasons": dict(reasons), "margins": margins(values), "cost_per_six": cost}


def collect(values: dict[tuple[str, str], list[float]], images: dict[str, Image]) -> None:
    """Add the measures of six pictures."""
    for name, image in images.items():
        found = measure(grey_picture(image, CONFIG.width_px), CONFIG)
        for key in {row.measure for row in MEASURE_LIMITS}:
            values.setdefault((FRONT if name == FRONT else SIDE, key), []).append(float(getattr(found, key)))


def margins(values: dict[tuple[str, str], list[float]]) -> list[dict[str, object]]:
    """Per limit: the healthy pictures' range, and what factor lies between the worst of them and the error.

    Below 1 the worst is beyond; the guard then still needs several in a row.
    """
    table = []
    for row in MEASURE_LIMITS:
        for where in (FRONT, SIDE):
            seen = np.array(values[where, row.measure])
            worst = float(seen.max() if row.upper else seen.min())
            limits = [float(getattr(CONFIG, name)) for name in (row.warning_limit, row.error_limit)]
            small, large = (worst, limits[1]) if row.upper else (limits[1], worst)
            table.append(
                {
                    "measure": row.measure,
                    "cameras": where,
                    "n": len(seen),
                    "least": float(seen.min()),
                    "median": float(np.median(seen)),
                    "most": float(seen.max()),
                    "warning": limits[0],
                    "error": limits[1],
                    "factor": large / small if small > 0.0 else float("inf"),
                    "beyond": float(np.mean(seen > limits[1] if row.upper else seen < limits[1])),
                }
            )
    return table


def box_blur(image: Image, sigma: float) -> Image:
    """Three box filters of the width that gives this sigma together."""
    width = max(3, round((4 * sigma**2 + 1) ** 0.5))
    out = image.astype(np.float64)
    for axis in (0, 1):
        for _ in range(3):
            padded = np.concatenate([np.zeros_like(out.take([0], axis)), np.cumsum(out, axis=axis)], axis=axis)
            size = out.shape[axis]
            start = np.clip(np.arange(size) - width // 2, 0, size)
            end = np.clip(start + width, 0, size)
            shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
            out = (padded.take(end, axis) - padded.take(start, axis)) / (end - start).reshape(shape)
    return np.clip(out, 0, 255).astype(np.uint8)


def covered(image: Image, share: float) -> Image:
    """Something dull in front of the lens, from the left."""
    out = image.copy()
    out[:, : round(share * image.shape[1])] = 70
    return out


def brighter(image: Image) -> Image:
    """Three times the exposure."""
    return np.minimum(image.astype(np.int32) * 3, 255).astype(np.uint8)


def noisy(image: Image, sigma: float) -> Image:
    """White noise; its seed is the picture's content."""
    rng = np.random.default_rng(int(image.sum()))
    return np.clip(image + rng.normal(0.0, sigma, image.shape[:2])[..., None], 0, 255).astype(np.uint8)


FAULTS: dict[str, tuple[Callable[[Image], Image], str, int]] = {
    "black": (np.zeros_like, "BLACK", 1),
    "white": (lambda image: np.full_like(image, 255), "OVEREXPOSED", 1),
    "exposure x3": (brighter, "OVEREXPOSED BRIGHT", 1),
    "80 % covered": (lambda image: covered(image, 0.8), "COVERED", CONFIG.frames),
    "blur sigma 8": (lambda image: box_blur(image, 8.0), "BLURRED", CONFIG.frames),
    "noise sigma 40": (lambda image: noisy(image, 40.0), "NOISE", CONFIG.frames),
    "half covered": (lambda image: covered(image, 0.5), "PARTLY_COVERED COVERED", CONFIG.frames),
}
"""Fault of the front camera, the reasons one of which must name it, and at which picture at the latest."""


def plant(renderer: Renderer, seconds: float) -> list[dict[str, object]]:
    """Each fault on the front pictures of one drive per profile: share of sequences in which it is named in time."""
    table = []
    stills = []
    for profile in PROFILES:
        pictures = [images[FRONT].copy() for _, images in drive(renderer, profile, 100, seconds)]
        stills += [pictures[i : i + CONFIG.frames + 1] for i in range(0, len(pictures) - CONFIG.frames, 20)]
    for name, (spoil, code, needed) in FAULTS.items():
        named = 0
        for sequence in stills[:PLANTED_SEQUENCES]:
            guard = CameraGuard(CONFIG, "")
            for k, image in enumerate(sequence[:needed]):
                now = Now(k * PERIOD_NS, k * PERIOD_NS)
                verdict = guard.check(CameraFrame(FRONT, now.stamp_ns, k, spoil(image)), 5.0, now)
            named += any(reason.code in code.split() for reason in verdict.reasons)
        table.append({"fault": name, "code": code, "pictures": needed, "n": len(stills[:PLANTED_SEQUENCES]),
                      "named": named})  # fmt: skip
    return table


def main() -> int:
    """Run, print, and fail where the guard fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    renderer = Renderer(default_rig())
    healthy = judge_healthy(renderer, options.seeds, options.seconds)
    planted = plant(renderer, 10.0)
    report = {
        "protocol": {
            "clock": "CPU time of the thread", "profiles": list(PROFILES), "seeds": options.seeds,
            "seconds": options.seconds, "python": platform.python_version(), "numpy": np.__version__,
            "machine": platform.machine(), "cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2),
        },
        "healthy": healthy,
        "planted": planted,
    }  # fmt: skip
    sys.stdout.write(f"{report['protocol']}\n\n{healthy['pictures']} healthy pictures; reasons: {healthy['reasons']}\n")
    sys.stdout.write(f"CPU per six pictures: {healthy['cost_per_six']}\n\n")
    sys.stdout.write("| measure | cameras | n | least | median | most | warning | error | factor to error | beyond |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|---|---|---|\n")
    table = healthy["margins"]
    assert isinstance(table, list)
    for row in table:
        sys.stdout.write(f"| {' | '.join(f'{v:.3g}' if isinstance(v, float) else str(v) for v in row.values())} |\n")
    sys.stdout.write(
        "\n| fault of the front camera | reason | by picture | sequences | named |\n|---|---|---|---|---|\n"
    )
    for row in planted:
        sys.stdout.write(f"| {' | '.join(str(value) for value in row.values())} |\n")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    reasons = healthy["reasons"]
    assert isinstance(reasons, dict)
    refused = [name for name in reasons if name.startswith("error")]
    missed = [row["fault"] for row in planted if row["named"] != row["n"]]
    return 1 if refused or missed else 0


if __name__ == "__main__":
    sys.exit(main())
