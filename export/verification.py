"""`onboard-vla verify`: a bundle against its golden references, or against another bundle on many scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import BundleError
from onboard_vla.export.golden import GoldenScene, load_golden
from onboard_vla.export.parity_limits import PARITY_LIMITS, PLAN_LIMITS, ParityLimit, misses
from onboard_vla.export.scene_runner import SceneRunner, Sizes
from onboard_vla.export.scenes import SceneShapes, load_scenes
from onboard_vla.export.verify import Figures, Measured, compare, figures_of, measure_scene
from onboard_vla.export.verify_report import worst, write_report
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.prompt import Tokenizer, answer_ids

SAME = ("model", "cameras", "frames", "tokens", "actions", "generation")
"""What two bundles of one checkpoint have in common."""


@dataclass(frozen=True, eq=False)
class Verification:
    """Figures, the limits that they were held against, and which of those are missed, in words."""

    bundle: Path
    against: str
    precision: str
    core_hash: str
    figures: Figures
    limits: tuple[ParityLimit, ...]
    missed: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "bundle": str(self.bundle),
            "core_hash": self.core_hash,
            "precision": self.precision,
            "against": self.against,
            "figures": self.figures.as_table(),
            "limits": {limit.figure: limit.bound for limit in self.limits},
            "missed": list(self.missed),
        }


def verify(
    path: Path,
    *,
    reference: Path | None = None,
    scenes: Path | None = None,
    report: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Verification:
    """Run a bundle and compare.

    Without `scenes`: on its golden scenes, held against `PARITY_LIMITS`. With them: against the bundle `reference`,
    held against `PLAN_LIMITS`; other figures are reported.

    Raises:
        BundleError: a bundle is damaged, has no golden scenes, or the two are not of one checkpoint.
        CheckpointError: the scenes do not fit.
    """
    if (reference is None) != (scenes is None):
        raise BundleError("--scenes and --reference belong together: many scenes have no stored references")
    bundle = Bundle.open(path)
    limits = PARITY_LIMITS if scenes is None else PLAN_LIMITS
    if scenes is None:
        golden = _golden(bundle)
        against = f"float32 references in {len(golden)} golden scenes"
    else:
        golden = _referenced(bundle, Bundle.open(reference or path), scenes, lambda share: progress(share / 2))
        against = f"{reference} on {len(golden)} scenes of {scenes.name}"
    runner, measured = runner_of(bundle), []
    half = 0.0 if scenes is None else 0.5
    for done, item in enumerate(golden, start=1):
        measured.append(measure_scene(runner, item, bundle.codebook))
        progress(half + (1 - half) * done / len(golden))
    figures = figures_of(measured)
    if report is not None:
        _report(report, f"{path} against {against}", figures, limits, measured, golden)
    missed = tuple(misses(figures, limits=limits))
    return Verification(path, against, bundle.precision, bundle.core_hash, figures, limits, missed)


def verify_bundle(path: Path, *, threads: int = 1, progress: Callable[[float], None] | None = None) -> Figures:
    """Open a bundle (all hashes are checked) and run its graphs on its golden scenes.

    Raises:
        BundleError: the bundle is damaged or has no golden scenes.
    """
    bundle = Bundle.open(path)
    return compare(runner_of(bundle, threads), _golden(bundle), bundle.codebook, progress or (lambda _: None))


def runner_of(bundle: Bundle, threads: int = 1) -> SceneRunner:
    """Runs scenes on a bundle's graphs."""
    manifest, path = bundle.manifest, bundle.path
    answer = answer_ids(bundle.template, Tokenizer(path / manifest.tokenizer), manifest.actions)
    sizes = Sizes(manifest.model, manifest.cameras, manifest.tokens, manifest.actions, manifest.generation, answer)
    vision = {camera.vision_graph: path / camera.vision_graph for camera in manifest.cameras}
    return SceneRunner.of_files(sizes, vision, path / manifest.language_graph, bundle.embeddings, threads)


def _golden(bundle: Bundle) -> list[GoldenScene]:
    if not bundle.manifest.golden:
        raise BundleError(f"{bundle.path} holds no golden scenes: export it again")
    return [load_golden(bundle.path / name) for name in bundle.manifest.golden]


def _referenced(bundle: Bundle, reference: Bundle, path: Path, progress: Callable[[float], None]) -> list[GoldenScene]:
    """Scenes of a file with what the reference bundle makes of them."""
    for name in SAME:
        found, expected = getattr(bundle.manifest, name), getattr(reference.manifest, name)
        if found != expected:
            raise BundleError(f"{bundle.path} and {reference.path} are not of one checkpoint: their {name} differ")
    manifest, runner, items = reference.manifest, runner_of(reference), []
    shapes = SceneShapes(manifest.cameras, manifest.frames, manifest.tokens, manifest.actions, reference.grids())
    scenes = load_scenes(path, shapes)
    for done, scene in enumerate(scenes, start=1):
        items.append(GoldenScene(scene, runner.greedy(scene)))
        progress(done / len(scenes))
    return items


def _report(
    path: Path,
    title: str,
    figures: Figures,
    limits: Sequence[ParityLimit],
    measured: Sequence[Measured],
    golden: Sequence[GoldenScene],
) -> None:
    pictures = {i: next(iter(golden[i].scene.images.values()))[-1] for i in worst(measured)}
    bounds = {limit.figure: limit.bound for limit in limits}
    write_report(path, title, figures.as_table(), bounds, measured, pictures)
