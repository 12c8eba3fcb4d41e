"""The checkpoint's card: what was measured, beside what it must be compared with; and the whole folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onboard_vla.world.card_text import render_card
from onboard_vla.world.source_commit import commit
from onboard_vla.world.train_closed_loop import Drive, drive
from onboard_vla.world.train_codebook import quantisation_ade
from onboard_vla.world.train_measure import constant_velocity, displacement, measure
from onboard_vla.world.train_plan import DRIVE_SEEDS, Plan, Workplace
from onboard_vla.world.train_samples import Samples
from onboard_vla.world.train_scenes import save_scenes
from onboard_vla.world.train_stages import Report, export, measured_rows

if TYPE_CHECKING:
    from onboard_vla.world.train_learner import Learner

BLIND_IS = "the same architecture, episodes, batches, steps, rates and seed, with every picture one even grey"
"""The control: the tower's own stage is left out, because grey pictures teach it nothing."""
WEIGHTS = "model.safetensors"
SIZE_LIMIT_BYTES = 8_000_000


def write_checkpoint(
    plan: Plan,
    place: Workplace,
    out: Path,
    learner: Learner,
    blind: Learner,
    checked: Samples,
    seed: int,
    report: Report,
) -> None:
    """Measure both models, drive, and write checkpoint, scenes and card into `out`."""
    started = time.monotonic()
    samples = learner.samples
    chosen = measured_rows(len(checked), plan.measured_samples, seed)
    report(0.05, "open loop")
    seeing = measure(learner, checked, chosen, seed)
    without = measure(blind, checked, chosen, seed)
    report(0.3, "closed loop")
    seeds = range(DRIVE_SEEDS, DRIVE_SEEDS + plan.drives)
    drives = {
        "model": drive(
            learner, "quiet_road", seeds, plan.drive_seconds, progress=lambda d: report(0.3 + 0.6 * d, "model drives")
        ),
        "expert": expert_drives("quiet_road", seeds, plan.drive_seconds),
    }
    report(0.9, "checkpoint")
    export(learner, place, out)
    save_scenes(out / "golden_scenes.npz", checked, measured_rows(len(checked), plan.golden_scenes, seed + 7))
    save_scenes(place.calibration_scenes, samples, measured_rows(len(samples), plan.calibration_scenes, seed + 8))
    speeds = checked.speed[chosen]
    card: dict[str, Any] = {
        "name": "Onboard VLA reference checkpoint",
        "architecture": "Qwen2_5_VLForConditionalGeneration",
        "weights_sha256": hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest(),
        "parameters": sum(p.numel() for p in learner.model.parameters()),
        "validation": {
            "samples": len(chosen),
            "worlds": len(set(checked.frames.episode[checked.rows[chosen]].tolist())),
            "demanding_share": float(checked.demanding[chosen].mean()),
            "model": seeing,
            "blind": without,
            "blind_is": BLIND_IS,
            "constant_velocity": displacement(constant_velocity(speeds), checked.poses[chosen]),
        },
        "closed_loop": {name: summary(found) for name, found in drives.items()},
        "closed_loop_runs": [asdict(d) for d in drives["model"]],
        "codebook_ade_m_by_speed_mps": quantisation_ade(samples.codebook),
        "data": {
            "episodes": plan.episodes,
            "episode_seconds": plan.episode_seconds,
            "model_drives": plan.model_drives,
            "training_samples": len(samples),
            "frame_sets": len(samples.frames.episode),
        },
        "training": {
            "seed": seed,
            "vision": asdict(plan.vision),
            "whole": asdict(plan.whole),
            "samples_seen": plan.whole.steps * plan.whole.batch + plan.finish.steps * plan.finish.batch,
            "finish": asdict(plan.finish),
            "stages": place.stages(),
            "curve": place.curve(),
        },
        "commit": commit(),
        "made": time.strftime("%Y-%m-%d"),
        "card_seconds": round(time.monotonic() - started, 1),
    }
    (out / "card.json").write_text(json.dumps(_rounded(card), indent=2) + "\n", encoding="utf-8")
    (out / "CARD.md").write_text(render_card(_rounded(card)), encoding="utf-8")
    for path in out.iterdir():
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in out.iterdir())
    report(1.0, f"{out}: {size / 1e6:.2f} MB")
    if size > SIZE_LIMIT_BYTES:
        place.log(f"checkpoint folder has {size} bytes, more than {SIZE_LIMIT_BYTES}")


def summary(drives: Sequence[Drive]) -> dict[str, float]:
    """Means over drives."""
    count = len(drives)
    return {
        "drives": count,
        "clean_share": sum(d.clean for d in drives) / count,
        "off_road_share": sum(d.off_road > 0 for d in drives) / count,
        "collision_share": sum(d.collisions > 0 for d in drives) / count,
        "stopped_share": sum(d.stopped > 0 for d in drives) / count,
        "seconds": float(np.mean([d.seconds for d in drives])),
        "progress_m": float(np.mean([d.progress_m for d in drives])),
        "offset_m": float(np.mean([d.offset_m for d in drives])),
        "largest_offset_m": float(np.max([d.largest_offset_m for d in drives])),
    }


def expert_drives(profile: str, seeds: Sequence[int], seconds: float) -> list[Drive]:
    """The expert's own drives over the same worlds."""
    from onboard_vla.world.expert import Expert
    from onboard_vla.world.world import STEP_S, World

    result = []
    for seed in seeds:
        world, offsets = World(seed, profile), []
        expert = Expert(world)
        for _ in range(round(seconds / STEP_S)):
            world.step(expert.control())
            offsets.append(abs(world.ego_d_m))
        found = world.violations
        result.append(
            Drive(
                seed,
                world.time_s,
                world.progress_m,
                float(np.mean(offsets)),
                float(np.max(offsets)),
                sum(v.kind == "collision" and v.at_fault for v in found),
                sum(v.kind == "off_road" for v in found),
                sum(v.kind == "stopped_without_cause" for v in found),
            )
        )
    return result


def _rounded(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
