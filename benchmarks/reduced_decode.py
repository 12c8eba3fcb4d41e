"""What decoding compressed pictures smaller (`cameras.decode: reduced`) does to plans, against decoding them whole.

    python benchmarks/reduced_decode.py [--worlds 2] [--moments 13] [--json FILE]

Drives of the world, six cameras at 1600 x 900 with sensor noise (sigma 2), JPEG quality 90; the reference bundle (INT8)
plans on every frame set both ways. Distances are between the two plans, point by point, beside what the bundle's parity
limits allow between INT8 and float32. Exit status 1: a limit is exceeded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT, prepare_bundle
from onboard_vla.core.cameras import CameraFrame, EncodedPicture, FrameSet
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Plan
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.jpeg import encode_frame, open_compressed
from onboard_vla.runtime.planner import Planner
from onboard_vla.world.expert import Expert
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

SIZE, NOISE_SIGMA, TICK_S, COMMAND = (1600, 900), 2.0, 0.02, "keep forward"
FIRST_SEED = 7


def main() -> int:
    """Plan both ways, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=2)
    parser.add_argument("--moments", type=int, default=13)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    prepared = prepare_bundle(REFERENCE_CHECKPOINT, Path("out") / "bundles", lambda *_: None, out)
    bundle = Bundle.open(prepared.path)
    planners = [Planner(bundle, vision_cache=False, reduced_decoding=reduced) for reduced in (False, True)]
    distances, same, decode_s = [], 0, [0.0, 0.0]
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.worlds):
        for frames, ego in drive(bundle, seed, arguments.moments):
            before = [planner.vision.decode_s for planner in planners]
            whole, reduced = (planner.plan(frames, ego, COMMAND, 1) for planner in planners)
            if not (isinstance(whole, Plan) and isinstance(reduced, Plan)):
                raise SystemExit(f"no plan: {whole}, {reduced}")
            distances.append(float(np.linalg.norm(whole.fine_poses[:, :2] - reduced.fine_poses[:, :2], axis=1).mean()))
            same += whole.action_tokens == reduced.action_tokens
            decode_s = [s + p.vision.decode_s - b for s, p, b in zip(decode_s, planners, before, strict=True)]
    limits: dict[str, float] = {name: bundle.manifest.parity["limits"][name] for name in ("ade_mean_m", "ade_p95_m")}
    ways = ("whole", "reduced")
    decode_ms = [round(spent_s / len(distances) * 1e3, 1) for spent_s in decode_s]
    figures: dict[str, Any] = {
        "plans": len(distances),
        "equal action tokens": same,
        "ade_mean_m": round(float(np.mean(distances)), 4),
        "ade_p95_m": round(float(np.quantile(distances, 0.95, method="inverted_cdf")), 4),
        "decoding, ms a plan": dict(zip(ways, decode_ms, strict=True)),
    }
    exceeded = [name for name, limit in limits.items() if figures[name] > limit]
    report = {**figures, "limits": limits}
    out(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    out(f"exceeded: {', '.join(exceeded)}" if exceeded else "within the bundle's parity limits")
    return 1 if exceeded else 0


def out(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def drive(bundle: Bundle, seed: int, moments: int) -> Iterator[tuple[FrameSet, EgoState]]:
    """Frame sets of one drive, each with the ego state at its anchor."""
    frames = bundle.manifest.frames
    profiles = sorted(PROFILES)
    world, renderer = World(seed, profiles[seed % len(profiles)]), Renderer(default_rig(*SIZE))
    driver, rng = Expert(world), np.random.default_rng(seed)
    seen: list[tuple[int, dict[str, EncodedPicture]]] = []
    for moment in range(moments):
        stamp_ns = nanoseconds(moment * frames.spacing_s)
        pictures = {}
        for camera, image in renderer.render(world).items():
            noisy = np.clip(image + rng.normal(0, NOISE_SIGMA, image.shape), 0, 255).astype(np.uint8)
            pictures[camera] = open_compressed(encode_frame(CameraFrame(camera, stamp_ns, moment, noisy)))
        seen = [*seen, (stamp_ns, pictures)][-frames.per_camera :]
        if len(seen) == frames.per_camera:
            images = {camera: tuple(pictures[camera] for _, pictures in seen) for camera in bundle.cameras}
            stamps = {camera: tuple(stamp for stamp, _ in seen) for camera in bundle.cameras}
            yield FrameSet(stamp_ns, images, stamps), world.vehicle.state(stamp_ns)
        for _ in range(round(frames.spacing_s / TICK_S)):
            world.step(driver.control(), TICK_S)


if __name__ == "__main__":
    sys.exit(main())
