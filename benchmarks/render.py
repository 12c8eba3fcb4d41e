"""Six-camera frames a second of the world's renderer on one core, per profile.

Protocol: one process, one thread, compiled beforehand; the expert drives 0.4 s between pictures, so that they differ;
time is that of `Renderer.render` alone; medians over all pictures, wall and CPU time, with the load average beside them
(on a shared machine the CPU time says what one undisturbed core would do, or a little less).
Run: python benchmarks/render.py [--frames 60] [--width 448] [--height 252] [--json out.json]
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

import numba
import numpy as np

from onboard_vla.world.expert import Expert
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

TARGET_FRAMES_PER_S = 40.0
"""What the demo's real-time run needs with room to spare (cameras run at 10 Hz)."""
STEPS_BETWEEN = 20


def measure(profile: str, frames: int, width: int, height: int) -> dict[str, float]:
    """Median and 90th percentile of one six-camera picture set, and of one world step, in milliseconds."""
    world, renderer = World(1, profile), Renderer(default_rig(width, height))
    expert = Expert(world)
    world.step(expert.control())
    renderer.render(world)
    pictures, busy, steps = [], [], []
    for _ in range(frames):
        for _ in range(STEPS_BETWEEN):
            control = expert.control()
            start = time.perf_counter()
            world.step(control)
            steps.append((time.perf_counter() - start) * 1e3)
        start, start_busy = time.perf_counter(), time.process_time()
        renderer.render(world)
        pictures.append((time.perf_counter() - start) * 1e3)
        busy.append((time.process_time() - start_busy) * 1e3)
    median = statistics.median(pictures)
    return {
        "frames": frames,
        "render_median_ms": median,
        "render_p90_ms": float(np.percentile(pictures, 90)),
        "render_cpu_median_ms": statistics.median(busy),
        "frames_per_s": 1e3 / median,
        "frames_per_cpu_s": 1e3 / statistics.median(busy),
        "step_median_ms": statistics.median(steps),
        "step_p90_ms": float(np.percentile(steps, 90)),
    }


def main() -> None:
    """Measure every profile, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--width", type=int, default=448)
    parser.add_argument("--height", type=int, default=252)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = {
        "size": [options.width, options.height],
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "load_average": os.getloadavg(),
        "target_frames_per_s": TARGET_FRAMES_PER_S,
        "profiles": {p: measure(p, options.frames, options.width, options.height) for p in PROFILES},
    }
    out = sys.stdout
    out.write(f"{options.width}x{options.height}, six cameras, one thread, load {report['load_average'][0]:.1f}\n")
    for name, row in report["profiles"].items():
        out.write(
            f"{name:11s} {row['frames_per_s']:6.1f} frames/s, "
            f"{row['frames_per_cpu_s']:6.1f} per CPU second (wall median {row['render_median_ms']:.1f} ms, "
            f"p90 {row['render_p90_ms']:.1f} ms, n {row['frames']:.0f}); step {row['step_median_ms']:.3f} ms, "
            f"p90 {row['step_p90_ms']:.3f} ms\n"
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
