"""`onboard-vla verify`: a bundle against its golden references, or against another bundle on many scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import ArgumentError, BundleError
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.fingerprints import weights_fingerprint
from onboard_vla.export.golden import GoldenScene, load_golden
from onboard_vla.export.parity_limits import AIMS, MANY_SCENES, Limits, ParityLimit, limits_table, misses
from onboard_vla.export.prompt_form import PromptForm
from onboard_vla.export.quantisation import FP32
from onboard_vla.export.scene_runner import Observer, SceneRunner, Sizes
from onboard_vla.export.scenes import Scene, SceneShapes, load_scenes
from onboard_vla.export.stage_parity import Recorder, StageComparison, StageFigures, as_rows
from onboard_vla.export.transformers_oracle import TransformersOracle
from onboard_vla.export.verify import Figures, compare, figures_of, measure_scene
from onboard_vla.export.verify_report import Worst, write_report
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.prompt import Tokenizer, answer_ids

SAME = ("model", "cameras", "frames", "tokens", "actions", "generation")
"""What two bundles of one checkpoint have in common, beside the files of its weights."""


@dataclass(frozen=True, eq=False)
class Verification:
    """Figures, the limits that they were held against, and which of those are missed, in words.

    `reference`: the bundle that was compared with on scenes of a file; None where it was another reference.
    `few_scenes`: whether there were fewer scenes than the limits over many speak of.
    """

    bundle: Path
    against: str
    reference: Bundle | None
    precision: str
    core_hash: str
    figures: Figures
    limits: tuple[ParityLimit, ...]
    missed: tuple[str, ...]
    stages: tuple[StageFigures, ...]
    unjudged: tuple[str, ...]
    few_scenes: bool

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "bundle": str(self.bundle),
            "core_hash": self.core_hash,
            "precision": self.precision,
            "against": self.against,
            "reference": None
            if self.reference is None
            else {
                "bundle": str(self.reference.path),
                "core_hash": self.reference.core_hash,
                "precision": self.reference.precision,
            },
            "figures": self.figures.as_table(),
            "limits": {limit.figure: limit.bound for limit in self.limits},
            "missed": list(self.missed),
            "aims": {aim.figure: aim.bound for aim in AIMS},
            "aims_missed": misses(self.figures, limits=AIMS),
            "stages": as_rows(self.stages),
            "unjudged": list(self.unjudged),
            "few_scenes": self.few_scenes,
        }


def verify(
    path: Path,
    *,
    reference: Path | None = None,
    checkpoint: Path | None = None,
    scenes: Path | None = None,
    report: Path | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Verification:
    """Run a bundle and compare.

    Without `scenes`: on its golden scenes, held against what the export held it against; a bundle without real ones
    misses for that. With them: against the bundle `reference`, in float32 and of the same weight files, held against
    `PLAN_LIMITS`; other figures are reported.
    With `checkpoint`, transformers runs that folder (see `assemble` for a `.ckpt`) as the reference, on either, and
    every stage is compared. Bounds in the bundle's manifest count where they are tighter.

    Raises:
        ArgumentError: `scenes` without what they are compared with, or the other way round.
        BundleError: a bundle is damaged, has no golden scenes, the reference is not in float32, or the two are not of
            one checkpoint's files.
        CheckpointError: the scenes do not fit, or transformers cannot run the checkpoint.
        EnvironmentLacksError: there is no transformers.
    """
    if scenes is None and reference is not None:
        raise ArgumentError("--reference needs --scenes: golden scenes have their references in the bundle")
    if scenes is not None and (reference is None) == (checkpoint is None):
        raise ArgumentError("--scenes needs --reference or --checkpoint: many scenes have no stored references")
    bundle = Bundle.open(path)
    compared = None if reference is None else _reference(bundle, reference)
    bounds, unjudged = Limits.of_manifest(bundle.manifest.parity), bundle.manifest.unjudged
    limits = bounds.golden if scenes is None else bounds.many
    nothing = scenes is None and unjudged and "limits" not in bundle.manifest.parity
    if nothing:  # as the export: over random pictures a limit says nothing
        limits = ()
    where = f"{len(bundle.manifest.golden)} golden scenes" if scenes is None else f"scenes of {scenes.name}"
    recorder = Recorder()
    runner = runner_of(bundle, observations=recorder if checkpoint is not None else None)
    items: Iterable[GoldenScene]
    stages = StageComparison(runner, recorder)
    if checkpoint is not None:
        oracle = _oracle(bundle, checkpoint)
        plain = (
            [item.scene for item in golden_scenes(bundle)] if scenes is None else load_scenes(scenes, shapes_of(bundle))
        )
        items, count = _by_transformers(oracle, plain, runner, stages), len(plain)
        against = f"{oracle.name} on {where}"
    elif scenes is None or compared is None:
        items = golden_scenes(bundle)
        count, against = len(items), f"float32 references in {where}"
    else:
        plain = load_scenes(scenes, shapes_of(bundle))
        items, count = _by_bundle(compared, plain), len(plain)
        against = f"{reference} on {count} {where}"
    measured, worst = [], Worst(bundle.codebook)
    for done, item in enumerate(items, start=1):
        measured.append(measure_scene(runner, item, bundle.codebook))
        recorder.take()
        worst.offer(done - 1, measured[-1], item.scene)
        progress(done / count)
    figures = figures_of(measured)
    found = stages.figures()
    if report is not None:
        write_report(
            report, f"{path} against {against}", figures.as_table(), limits_table(limits), measured, worst, found
        )
    missed = tuple(misses(figures, limits=limits))
    if unjudged:  # whatever the figures: what no vehicle takes does not pass here
        missed = (f"{'nothing' if nothing else 'not all'} was judged: {'; '.join(unjudged)}", *missed)
    return Verification(
        path,
        against,
        compared,
        bundle.precision,
        bundle.core_hash,
        figures,
        limits,
        missed,
        found,
        unjudged,
        few_scenes=scenes is not None and figures.scenes < MANY_SCENES,
    )


def verify_bundle(path: Path, *, threads: int = 1, progress: Callable[[float], None] | None = None) -> Figures:
    """Open a bundle (all hashes are checked) and run its graphs on its golden scenes.

    Raises:
        BundleError: the bundle is damaged or has no golden scenes.
    """
    bundle = Bundle.open(path)
    return compare(runner_of(bundle, threads), golden_scenes(bundle), bundle.codebook, progress or (lambda _: None))


def sizes_of(bundle: Bundle) -> Sizes:
    """What a runner must know of a bundle's model."""
    manifest = bundle.manifest
    answer = answer_ids(bundle.template, Tokenizer(bundle.path / manifest.tokenizer), manifest.actions)
    return Sizes(manifest.model, manifest.cameras, manifest.tokens, manifest.actions, manifest.generation, answer)


def runner_of(bundle: Bundle, threads: int = 1, observations: Observer | None = None) -> SceneRunner:
    """Runs scenes on a bundle's graphs."""
    manifest, path = bundle.manifest, bundle.path
    vision = {camera.vision_graph: path / camera.vision_graph for camera in manifest.cameras}
    return SceneRunner.of_files(
        sizes_of(bundle), vision, path / manifest.language_graph, bundle.embeddings, threads, observations
    )


def golden_scenes(bundle: Bundle) -> list[GoldenScene]:
    """The scenes in a bundle, with their float32 references.

    Raises:
        BundleError: it holds none.
    """
    if not bundle.manifest.golden:
        raise BundleError(f"{bundle.path} holds no golden scenes: export it again with --golden-scenes")
    return [load_golden(bundle.path / name) for name in bundle.manifest.golden]


def shapes_of(bundle: Bundle) -> SceneShapes:
    """What scenes must fit to be shown to a bundle."""
    manifest, grids = bundle.manifest, bundle.grids()
    tokenizer = Tokenizer(bundle.path / manifest.tokenizer)
    form = PromptForm.of(bundle.template, tokenizer, manifest.tokens.video_pad, grids)
    return SceneShapes(manifest.cameras, manifest.frames, manifest.tokens, manifest.actions, grids, form)


def _reference(bundle: Bundle, path: Path) -> Bundle:
    """The bundle at `path`, if what it says may be taken for what `bundle` should."""
    reference = Bundle.open(path)
    here, there = bundle.manifest.weights_sha256, reference.manifest.weights_sha256
    if here != there:
        raise BundleError(
            f"{bundle.path} and {path} were made from other weight files, or with another LoRA alpha: weights_sha256 "
            f"{here} and {there} (files are hashed, so equal weights in another container differ); export the "
            "reference from the files that the bundle was made from, as it was"
        )
    for name in SAME:
        found, expected = getattr(bundle.manifest, name), getattr(reference.manifest, name)
        if found != expected:
            raise BundleError(f"{bundle.path} and {path} are not of one checkpoint: their {name} differ")
    if reference.precision != FP32:
        raise BundleError(
            f"{path} is in {reference.precision}, and a reference must be in {FP32}: export one with --precision {FP32}"
        )
    return reference


def _by_bundle(reference: Bundle, scenes: Sequence[Scene]) -> Iterator[GoldenScene]:
    """Scenes with what the reference bundle makes of them."""
    runner = runner_of(reference)
    for scene in scenes:
        yield GoldenScene(scene, runner.greedy(scene))


def _by_transformers(
    oracle: TransformersOracle, scenes: Sequence[Scene], runner: SceneRunner, stages: StageComparison
) -> Iterator[GoldenScene]:
    """Scenes with what transformers makes of them; every stage is compared on the way."""
    for scene in scenes:
        expected = oracle.greedy(scene, runner.greedy(scene).tokens.tolist())
        stages.add(scene, expected)
        yield GoldenScene(scene, expected.logits)


def _oracle(bundle: Bundle, folder: Path) -> TransformersOracle:
    """The checkpoint in transformers, if it is the one that the bundle was made from."""
    opened, model = Checkpoint(folder), bundle.manifest.model
    found, expected = weights_fingerprint(folder, opened.alpha), bundle.manifest.weights_sha256
    if found != expected:
        raise BundleError(
            f"{bundle.path} was not made from {folder}: its manifest says weights_sha256 {expected}, the checkpoint's "
            f"weights have {found}; give the files that were exported"
        )
    for part in ("text", "vision"):
        here, there = vars(getattr(opened.model, part)), vars(getattr(model, part))
        # Pixel statistics are those of cameras.json, and what is compared is shown the same pictures.
        if differ := [name for name in there.keys() - {"image_mean", "image_std"} if here[name] != there[name]]:
            name = min(differ)
            raise BundleError(
                f"{bundle.path} was not made from {folder}: its manifest says {part}.{name} {there[name]}, the "
                f"checkpoint's config.json {here[name]}; give the files that were exported"
            )
    return TransformersOracle(folder, sizes_of(bundle))
