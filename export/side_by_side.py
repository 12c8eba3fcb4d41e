"""Bundles of one model side by side: size, speed, and what each costs in accuracy against the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import BundleError
from onboard_vla.export.golden import GoldenScene, load_golden
from onboard_vla.export.pass_times import PassTimes, time_passes
from onboard_vla.export.scenes import Scene, load_scenes
from onboard_vla.export.verification import runner_of, shapes_of
from onboard_vla.export.verify import Figures, Measured, difference, figures_of
from onboard_vla.runtime.bundle import Bundle

SAME = ("cameras", "frames", "tokens", "actions")
"""What bundles must share to be shown the same scenes and to answer in the same words; the model may differ."""
ROUNDS = 30
STEPS_3S = 6


@dataclass(frozen=True)
class Entry:
    """One bundle. `figures`: against the first bundle, None for itself.

    `unjudged`: what of it nobody has held against float32 on real scenes; `golden_from`: what its golden scenes are of.

    `expert_ade_m`, `expert_ade_3s_m`, `expert_fde_m`: mean displacement of the bundle's greedy plan from the expert's
    tokens over the whole plan, its first 3 s, and at its end; None where the scenes do not know the expert.
    """

    bundle: Path
    precision: str
    unjudged: tuple[str, ...]
    golden_from: str
    language_layers: int
    graph_bytes: int
    bundle_bytes: int
    times: PassTimes
    plan_ms: float
    figures: Figures | None
    expert_ade_m: float | None
    expert_ade_3s_m: float | None
    expert_fde_m: float | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"bundle": str(self.bundle)}


def compare_bundles(
    paths: Sequence[Path],
    scenes: Path | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[str, float], None] = lambda _stage, _share: None,
) -> list[Entry]:
    """Run bundles on the same scenes; without a file of scenes, on the first bundle's golden ones.

    Raises:
        BundleError: a bundle is damaged, or they do not see and say the same.
        CheckpointError: the scenes do not fit.
    """
    bundles = [Bundle.open(path) for path in paths]
    for bundle in bundles[1:]:
        for name in SAME:
            if getattr(bundle.manifest, name) != getattr(bundles[0].manifest, name):
                raise BundleError(f"{bundle.path} and {bundles[0].path} cannot be compared: their {name} differ")
    shown = _scenes(bundles[0], scenes)
    times = time_passes(bundles, shown[0], rounds)
    entries: list[Entry] = []
    references: list[GoldenScene] = []
    for bundle, timed in zip(bundles, times, strict=True):
        measured = _measure(bundle, shown, references, partial(progress, bundle.path.name))
        graphs = {camera.vision_graph for camera in bundle.manifest.cameras} | {bundle.manifest.language_graph}
        sizes = {name: record.bytes for name, record in bundle.manifest.files.items()}
        entries.append(
            Entry(
                bundle.path,
                bundle.precision,
                bundle.manifest.unjudged,
                str(bundle.manifest.parity.get("scenes_from", "-")),
                bundle.manifest.model.text.layers,
                sum(size for name, size in sizes.items() if name.removesuffix(".data") in graphs),
                sum(sizes.values()),
                timed,
                timed.plan_ms(bundle.manifest.actions.per_answer),
                figures_of(measured) if entries else None,
                *_to_expert(bundle, shown, measured),
            )
        )
    return entries


def _scenes(bundle: Bundle, path: Path | None) -> list[Scene]:
    if path is not None:
        return load_scenes(path, shapes_of(bundle))
    if not bundle.manifest.golden:
        raise BundleError(f"{bundle.path} holds no golden scenes: give some with --scenes")
    return [load_golden(bundle.path / name).scene for name in bundle.manifest.golden]


def _measure(
    bundle: Bundle, scenes: Sequence[Scene], references: list[GoldenScene], progress: Callable[[float], None]
) -> list[Measured]:
    """Every scene against `references`; a first bundle fills them with its own answers."""
    runner, measured, first = runner_of(bundle), [], not references
    for done, scene in enumerate(scenes, start=1):
        decoded = runner.greedy(scene)
        if first:
            references.append(GoldenScene(scene, decoded))
        item = references[done - 1]
        forced = decoded if first else runner.teacher_forced(scene, item.reference.tokens.tolist())
        measured.append(difference(item, forced, decoded, bundle.codebook, runner.sizes))
        progress(done / len(scenes))
    return measured


def _to_expert(
    bundle: Bundle, scenes: Sequence[Scene], measured: Sequence[Measured]
) -> tuple[float | None, float | None, float | None]:
    errors: list[NDArray[np.float64]] = []
    for scene, found in zip(scenes, measured, strict=True):
        if scene.expert_tokens is None:
            return None, None, None
        expert = bundle.codebook.decode(scene.expert_tokens)[0][:, :2]
        errors.append(np.linalg.norm(found.found_xy - expert, axis=1))
    error = np.array(errors)
    return float(error.mean()), float(error[:, :STEPS_3S].mean()), float(error[:, -1].mean())
