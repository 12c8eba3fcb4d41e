"""How well vision's distance tells pictures that the model does not know from nominal ones: AUROC, and shares flagged.

python -m onboard_vla.app.vision_ood_report --bundle out/bundle --json out/vision_ood.json

Nominal: the expert drives in worlds that neither training nor calibration saw. The other looks are the same moments
with every picture changed, and other roads than the model was trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop import STEP_S
from onboard_vla.calibration.provisional import TABLE
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.errors import BundleError, OnboardVlaError
from onboard_vla.core.thresholds import VISION_OOD
from onboard_vla.kernels.numpy_distances import pool
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.vision_cache import FramePair
from onboard_vla.world.expert import Expert
from onboard_vla.world.looks import DAY, LOOKS
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

Picture = NDArray[np.uint8]
Moment = dict[str, tuple[Picture, Picture]]
"""By camera, two pictures: older, newer."""
Floats = NDArray[np.float64]

FIRST_SEED = 800_000
"""First seed of the worlds; those of training, validation, calibration and measured drives are others."""
NOMINAL = "quiet_road"
OTHER_ROADS = ("urban", "rural", "motorway")
SETTLE_S, APART_S = 3.0, 4.0
MIRRORED = {"front_left": "front_right", "back_left": "back_right"}


@dataclass(frozen=True)
class Look:
    """Distances of one look. `auroc`: chance that one of these is farther away than a nominal one; `n` moments.

    `flagged`: share beyond the provisional limit, by the farthest camera.
    """

    name: str
    n: int
    auroc: float
    flagged: float
    median: float


def moments(profile: str, seeds: Sequence[int], each: int, spacing_s: float, renderer: Renderer) -> list[Moment]:
    """`each` moments of a drive in every world, `APART_S` apart."""
    found = []
    for seed in seeds:
        world = World(seed, profile)
        driver = Expert(world)
        _drive(world, driver, SETTLE_S)
        for _ in range(each):
            older = {camera: picture.copy() for camera, picture in renderer.render(world).items()}
            _drive(world, driver, spacing_s)
            newer = renderer.render(world)
            found.append({camera: (older[camera], newer[camera].copy()) for camera in older})
            _drive(world, driver, APART_S - spacing_s)
    return found


def looks(rng: np.random.Generator) -> dict[str, Callable[[Moment], Moment]]:
    """What is done to the pictures of a moment, by name."""

    def each(change: Callable[[Picture], NDArray[np.generic]]) -> Callable[[Moment], Moment]:
        def changed(moment: Moment) -> Moment:
            return {c: (_picture(change(a)), _picture(change(b))) for c, (a, b) in moment.items()}

        return changed

    def swapped(moment: Moment) -> Moment:
        other = {**MIRRORED, **{b: a for a, b in MIRRORED.items()}}
        return {camera: moment[other.get(camera, camera)] for camera in moment}

    return {
        "black": each(np.zeros_like),
        "noise": each(lambda p: rng.integers(0, 256, p.shape)),
        "inverted": each(lambda p: 255 - p.astype(np.int64)),
        "left and right cameras swapped": swapped,
        "red and blue swapped": each(lambda p: p[..., ::-1]),
        "upside down": each(lambda p: p[::-1]),
        "mirrored": each(lambda p: p[:, ::-1]),
        "a quarter of the light": each(lambda p: p * 0.25),
        "70 % of the light": each(lambda p: p * 0.7),
        "half the contrast, brighter": each(lambda p: p * 0.5 + 100.0),
        "sensor noise, sigma 20": each(lambda p: p + rng.normal(0.0, 20.0, p.shape)),
    }


def distances(planner: Planner, found: Sequence[Moment]) -> Floats:
    """The farthest camera's distance of each moment.

    Raises:
        BundleError: the bundle has no statistics.
    """
    references = planner.bundle.vision_references()
    if not references:
        raise BundleError("the bundle has no vision statistics: export a checkpoint that has them, in their precision")
    vision, spacing_ns = planner.vision, nanoseconds(planner.bundle.manifest.frames.spacing_s)
    result = []
    for moment in found:
        pairs = [FramePair(role, 0, (0, spacing_ns), moment[role]) for role in planner.bundle.cameras]
        embeddings = vision.encode(pairs, vision.prepare(pairs, list(range(len(pairs)))))
        pooled = pool([embeddings[i] for i in range(len(pairs))])
        result.append(max(references[p.camera].distance(row) for p, row in zip(pairs, pooled, strict=True)))
    return np.array(result)


def auroc(nominal: Floats, other: Floats) -> float:
    """Share of pairs in which `other` is larger, ties half (Mann and Whitney's U)."""
    above = (other[:, None] > nominal[None]).mean() + (other[:, None] == nominal[None]).mean() / 2
    return float(above)


def report(bundle: Bundle, worlds: int, each: int) -> list[Look]:
    """The nominal look first, then all others."""
    planner, renderer = Planner(bundle, vision_cache=False), Renderer(default_rig())
    spacing_s, seeds = bundle.manifest.frames.spacing_s, range(FIRST_SEED, FIRST_SEED + worlds)
    nominal = moments(NOMINAL, seeds, each, spacing_s, renderer)
    known = distances(planner, nominal)
    found = [_look("nominal", known, known)]
    for name, change in looks(np.random.default_rng(1)).items():
        found.append(_look(name, known, distances(planner, [change(moment) for moment in nominal])))
    for look in LOOKS:
        if look != DAY:
            drawn = moments(NOMINAL, seeds, each, spacing_s, Renderer(default_rig(), look))
            found.append(_look(f"look: {look}", known, distances(planner, drawn)))
    for profile in OTHER_ROADS:
        roads = moments(profile, seeds, each, spacing_s, renderer)
        found.append(_look(f"road: {profile}", known, distances(planner, roads)))
    return found


def _look(name: str, known: Floats, other: Floats) -> Look:
    limit = TABLE[VISION_OOD][0]
    return Look(name, len(other), auroc(known, other), float((other > limit).mean()), float(np.median(other)))


def _drive(world: World, driver: Expert, seconds: float) -> None:
    for _ in range(round(seconds / STEP_S)):
        world.step(driver.control(), STEP_S)


def _picture(values: NDArray[np.generic]) -> Picture:
    return np.ascontiguousarray(np.clip(values, 0, 255).astype(np.uint8))


def as_lines(found: Sequence[Look]) -> list[str]:
    """A table for people."""
    limit = TABLE[VISION_OOD][0]
    rows = [f"{'look':36} {'n':>5} {'median':>7} {'AUROC':>6} {'beyond ' + format(limit, 'g'):>9}"]
    rows += [f"{look.name:36} {look.n:5} {look.median:7.2f} {look.auroc:6.3f} {look.flagged:9.1%}" for look in found]
    return rows


def as_document(found: Sequence[Look], bundle: Bundle) -> Mapping[str, object]:
    """For JSON."""
    return {"core_hash": bundle.core_hash, "precision": bundle.precision, "looks": [asdict(look) for look in found]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when the report is made."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.vision_ood_report", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="a bundle whose core has vision statistics")
    parser.add_argument("--worlds", type=int, default=30)
    parser.add_argument("--each", type=int, default=5, help="moments of each world")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args(arguments)
    try:
        bundle = Bundle.open(options.bundle)
        found = report(bundle, options.worlds, options.each)
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print("\n".join(as_lines(found)))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(as_document(found, bundle), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
