"""From a checkpoint folder to a bundle: graphs, tables, golden scenes, manifest; whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onboard_vla import __version__
from onboard_vla.core.bundle_manifest import FORMAT_VERSION, BundleManifest, computed_numbers
from onboard_vla.core.errors import BundleError, CheckpointError
from onboard_vla.export.assets import CODEBOOK_FILE, COPIED_FILES, PROMPT_FILE, TOKENIZER_FILE
from onboard_vla.export.export_options import (
    SCENES_ADVICE,
    chosen_scales,
    judged_on_its_own,
    named_layers,
    require_files,
    require_fitting_ranges,
    require_one_origin,
    require_scaling,
    unjudged_points,
)
from onboard_vla.export.fingerprints import hash_checkpoint, recipe, weights_fingerprint
from onboard_vla.export.fusion_check import check_fusion
from onboard_vla.export.golden import GoldenScene, save_golden
from onboard_vla.export.kept_arrays import FULL
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.large_export import EMBEDDINGS_FILE, LargeExport
from onboard_vla.export.parity_limits import Limits, limits_table, own_limits, require_parity
from onboard_vla.export.prompt_fingerprint import check_variant
from onboard_vla.export.quantisation import (
    AS_PUBLISHED,
    FP16,
    FP32,
    INT8,
    INT8_FP16,
    QUANTISED,
    W4A16,
    Quantised,
    Scaling,
    float_linears,
    provenance,
    quantise,
)
from onboard_vla.export.references import take_references
from onboard_vla.export.scenes import Scene
from onboard_vla.export.sensitivity import Trial, choose_fallbacks, sensitivity_rows
from onboard_vla.export.source import GOLDEN, Share, Source
from onboard_vla.export.space import require_space
from onboard_vla.export.staging import Staging, require_free_place
from onboard_vla.export.verify import Figures, compare
from onboard_vla.export.weights import language_linears, vision_linears

PRECISIONS = (FP32, FP16, *QUANTISED)
GOLDEN_FOLDER = "golden"
OWN_SCENES = "which it was calibrated on: take others"
Progress = Callable[[str, float], None]


def export_bundle(
    checkpoint: Path,
    out: Path,
    *,
    precision: str = "int8",
    prompt_variant: str | None = None,
    progress: Progress | None = None,
    golden_scenes: Path | None = None,
    calibration_scenes: Path | None = None,
    fallbacks: Iterable[str] | None = None,
    keep_float: Iterable[str] = (),
    limits: Mapping[str, float] | None = None,
    unjudged: bool = False,
    action_head: bool = False,
    scaling: Scaling = AS_PUBLISHED,
    ranges: Path | None = None,
) -> Path:
    """Export a checkpoint folder as a bundle.

    Args:
        checkpoint: folder with weights, prompt.json, cameras.json, tokenizer.json and codebook.npz.
        out: the bundle's folder; an existing bundle there is replaced, anything else is refused.
        precision: "int8", "w4a16" (vision in INT8, the language model's weights in four bits), "fp32"; for TensorRT
            "fp16" and "int8-fp16", which ONNX Runtime's CPU provider runs slowly.
        prompt_variant: name of a published prompt that the checkpoint's must be, see `prompt_fingerprint`.
        progress: called with a stage's name and its finished share, 0 to 1.
        golden_scenes: file of scenes to keep in the bundle; the checkpoint's own if not given.
        calibration_scenes: file of scenes for activation ranges; the checkpoint's own ranges or scenes if not given.
        fallbacks: names of linear layers that stay in float32 although the rest is quantised (in INT8 where the rest is
            in four bits); if not given, they are chosen by measured sensitivity.
        keep_float: linear layers, or the beginnings of their names up to a dot ("text.layers.3"), that stay in float32
            whatever is measured.
        limits: bounds of this bundle's own on figures of `PARITY_LIMITS` (judged here and by `verify`) and of
            `PLAN_LIMITS` (judged by `verify` over many scenes), tighter than the project's; they go with it.
        unjudged: take random pictures where calibration or golden scenes are missing; the manifest then says what
            nobody has judged.
        action_head: with a head of the action tokens alone, which a planner may be told to use; for ONNX Runtime on the
            processor alone.
        scaling: how INT8's numbers are spread.
        ranges: the file that the folder's ranges are, where they are not the checkpoint's own.

    Returns:
        `out`.

    Raises:
        CheckpointError: the checkpoint is incomplete or contradicts itself, or there are no scenes to judge it on.
        BundleError: `out` is in the way, an INT8 layer would not run in integers, or the result is further from the
            float32 model than `parity_limits` allow.
    """
    if precision not in PRECISIONS:
        raise BundleError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    require_free_place(out)
    require_files(golden_scenes, calibration_scenes)
    require_scaling(scaling, precision)
    require_one_origin(precision, ranges, calibration_scenes)
    chosen = chosen_scales(precision, scaling, ranges or calibration_scenes)
    progress = progress or (lambda _stage, _share: None)
    progress("read checkpoint", 0.0)
    source = replace(Source.open(checkpoint), action_head=action_head)
    if prompt_variant is not None:
        check_variant(source.assets, prompt_variant)
    if source.large:
        hash_checkpoint(checkpoint, export_stage(progress, "hash checkpoint"))
    if calibration_scenes is None:  # else ranges are observed anew
        require_fitting_ranges(checkpoint, precision)
    bounds = own_limits(limits or {})
    open_points = unjudged_points(source, precision, golden_scenes, calibration_scenes)
    if open_points and not unjudged:
        raise CheckpointError(f"{checkpoint}: {'; '.join(open_points)}; {SCENES_ADVICE}")
    kept, given = named_layers(source, keep_float, precision), None if fallbacks is None else frozenset(fallbacks)
    export = _Export(source, precision, progress, given, kept, bounds, open_points, scaling, chosen)
    golden, judged = source.scenes(golden_scenes, GOLDEN), source.has_scenes(golden_scenes, GOLDEN)
    if judged_on_its_own(source, precision, golden_scenes, calibration_scenes):
        golden = (f"{golden[0]}, {OWN_SCENES}", golden[1])
    progress("read checkpoint", 1.0)
    attempt = None
    if source.large:
        golden = golden if judged else ("none: random scenes say nothing, and cost minutes at this size", [])
        asked = {
            "precision": precision,
            "fallbacks": None if given is None else sorted(given),
            "keep_float": sorted(kept),
            "limits": dict(limits or {}),
            "unjudged": open_points,
            "action_head": action_head,
            "scaling": asdict(scaling),
            "chosen": chosen,
        }
        attempt = recipe(checkpoint, {"golden": golden_scenes, "calibration": calibration_scenes}, asked)
    with Staging(out, attempt) as staging, said_what_is_kept(staging, out):
        figures = export.write(staging, golden, judged, golden_scenes, calibration_scenes)
        if judged and figures is not None:
            require_parity(figures, f"{precision} export of {checkpoint}", bounds.golden)
        staging.commit(export_stage(progress, "sync to disk"))
    return out


def export_stage(progress: Progress, name: str) -> Share:
    """What takes in the finished share of one stage."""
    return lambda share: progress(name, share)


@contextmanager
def said_what_is_kept(staging: Staging, out: Path) -> Iterator[None]:
    """Have errors say what of hours of work is left for the next attempt."""
    try:
        yield
    except (BundleError, MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in FULL:
            raise
        parts = staging.parts()
        kept = (
            f"; observed ranges and float32 references, as far as they came, are kept in {parts}: an export of the "
            "same scenes to the same place takes them, whatever its other options"
        )
        if isinstance(error, BundleError):
            if parts is None:
                raise
            raise type(error)(f"{error}{kept}") from None
        lack = f"the disk is full ({error.strerror})" if isinstance(error, OSError) else f"memory is full ({error})"
        left = "; nothing is left of this attempt" if parts is None else kept
        raise BundleError(f"{out}: {lack}{left}; free some") from None


class _Export:
    """The steps that fill a staging folder."""

    def __init__(
        self,
        source: Source,
        precision: str,
        progress: Progress,
        given: frozenset[str] | None,
        kept: frozenset[str],
        limits: Limits,
        unjudged: tuple[str, ...],
        scaling: Scaling,
        chosen: Mapping[str, Any],
    ) -> None:
        self._source, self._precision, self._given, self._limits = source, precision, given, limits
        self._unjudged, self._scaling, self._chosen = unjudged, scaling, chosen
        self._kept, self._fallbacks = kept, (given or frozenset()) | kept
        self._progress = progress
        known = frozenset[str]().union(*source.layers().values())
        if unknown := sorted(self._fallbacks - known):
            raise BundleError(f"fallbacks name unknown layers: {', '.join(unknown)}")

    def write(
        self,
        staging: Staging,
        golden: tuple[str, list[Scene]],
        judged: bool,
        golden_scenes: Path | None,
        calibration_scenes: Path | None,
    ) -> Figures | None:
        """Fill the staging folder and describe it; returns what was measured, None without golden scenes."""
        if self._source.large:
            return self._write_large(staging, golden, golden_scenes, calibration_scenes)
        require_space(self._source, self._precision, staging)
        source, reference = self._source, staging.scratch / "fp32"
        reference_bytes = source.write_float_graphs(reference, self._stage("fp32 graphs"))
        items = source.references(reference, golden[1], self._stage("float32 references"))
        calibration: dict[str, Any] = {}
        graph_bytes = reference_bytes
        if self._precision in QUANTISED:
            ranges = source.ranges(calibration_scenes, self._stage("calibrate"))
            choice = None
            if self._given is None and judged:
                place, kept = staging.scratch / "trial", self._kept
                trial = Trial(source, items, ranges.largest, place, self._precision, kept, self._scaling)
                stage = self._stage("measure sensitivity")
                choice = choose_fallbacks(source, trial, stage, self._limits.golden, self._kept)
                self._fallbacks = frozenset(choice.moved) | self._kept
            moved = self._fallbacks - self._kept
            made = quantise(
                source.sizes, source.weights, ranges.largest, moved, self._precision, self._scaling, self._kept
            )
            graph_bytes, counts = self._write_quantised(staging.folder, made)
            calibration = provenance(ranges, self._precision, self._fallbacks, made, self._scaling) | counts
            calibration |= sensitivity_rows(choice, made) if choice is not None else {}
        elif self._precision == FP16:
            linears = float_linears(source.weights, FP16, self._fallbacks)
            graph_bytes = source.write_graphs(staging.folder, source.weights, linears, self._stage("fp16 graphs"))
            calibration = {"fallbacks": sorted(self._fallbacks)}
        else:
            for name in reference_bytes:
                shutil.copyfile(reference / name, staging.folder / name)
        self._write_tables(staging.folder)
        names = self._write_golden(staging.folder, items)
        figures = compare(source.runner(staging.folder), items, source.assets.codebook, self._stage("verify"))
        parity = {
            "against": "float32 graphs of the same export",
            "scenes_from": golden[0],
            **figures.as_table(),
            **(self._bounds() if judged else {}),
            "graph_bytes": sum(graph_bytes.values()),
            "fp32_graph_bytes": sum(reference_bytes.values()),
        }
        self._describe(staging, calibration, parity, names)
        return figures

    def _write_large(
        self,
        staging: Staging,
        golden: tuple[str, list[Scene]],
        golden_scenes: Path | None,
        calibration_scenes: Path | None,
    ) -> Figures | None:
        """As `write`, for models of which memory holds one layer at a time."""
        source = self._source
        large = LargeExport(source, staging, self._precision, self._given, self._kept, self._progress, self._scaling)
        beside = large.scratch_bytes(golden[1], golden_scenes, calibration_scenes)
        require_space(source, self._precision, staging, beside)
        self._write_tables(staging.folder)
        items = large.references(golden[1], golden_scenes)
        if self._precision in QUANTISED:
            sizes, calibration = large.write_quantised(calibration_scenes)
            self._fallbacks = large.fallbacks
        else:
            sizes, calibration = large.write_float(), {"fallbacks": sorted(self._fallbacks)}
        names = self._write_golden(staging.folder, items)
        parity: dict[str, Any] = {"scenes_from": golden[0], "graph_bytes": sum(sizes.values())}
        figures = None
        if items:
            figures = large.compare(items)
            parity |= {"against": "float32, run layer by layer", **figures.as_table(), **self._bounds()}
        self._describe(staging, calibration, parity, names)
        return figures

    def _describe(
        self, staging: Staging, calibration: dict[str, Any], parity: dict[str, Any], golden: tuple[str, ...]
    ) -> None:
        calibration |= {"chosen": self._chosen} if self._chosen else {}
        manifest = self._manifest(calibration, parity, golden)
        vision, drift = take_references(self._source.assets.folder, staging.folder, computed_numbers(manifest))
        complete = replace(manifest, vision_reference=vision, drift_reference=drift)
        staging.describe(complete, self._stage("hash"))

    def _bounds(self) -> dict[str, dict[str, float]]:
        """What the bundle is held to, on its golden scenes and over many."""
        return {"limits": limits_table(self._limits.golden), "plan_limits": limits_table(self._limits.many)}

    def _stage(self, name: str) -> Share:
        return export_stage(self._progress, name)

    def _write_quantised(self, folder: Path, made: Quantised) -> tuple[dict[str, int], dict[str, int]]:
        """Write the quantised graphs and prove that they run as written; returns sizes and how many layers do.

        With half precision around them they are TensorRT's: what it computes is for `tensorrt_check` to show.
        """
        source, integer, four_bits = self._source, 0, 0
        sizes = source.write_graphs(folder, made.weights, made.linears, self._stage("quantised graphs"))
        layers = source.layers() if self._precision != INT8_FP16 else {}
        for done, (name, linears) in enumerate(layers.items(), start=1):
            report = check_fusion(onnx.load(folder / name), linears & made.integer, name, linears & made.four_bits)
            integer, four_bits = integer + len(report.integer), four_bits + len(report.four_bits)
            self._progress("check integer arithmetic", done / len(layers))
        return sizes, {"integer_layers": integer, "four_bit_layers": four_bits}

    def _write_tables(self, folder: Path) -> None:
        if not (folder / EMBEDDINGS_FILE).is_file():
            stage = self._stage("embeddings")
            stage(0.0)
            self._source.checkpoint.save_embedding(folder / f"{EMBEDDINGS_FILE}.part", stage)
            (folder / f"{EMBEDDINGS_FILE}.part").rename(folder / EMBEDDINGS_FILE)
        for name in COPIED_FILES:
            if (self._source.assets.folder / name).is_file():
                shutil.copyfile(self._source.assets.folder / name, folder / name)

    def _write_golden(self, folder: Path, items: Sequence[GoldenScene]) -> tuple[str, ...]:
        (folder / GOLDEN_FOLDER).mkdir(exist_ok=True)
        names = tuple(f"{GOLDEN_FOLDER}/scene_{i:03d}.npz" for i in range(len(items)))
        for name, item in zip(names, items, strict=True):
            save_golden(folder / name, item, self._source.assets.answer.fast_prefix)
        return names

    def _manifest(self, calibration: dict[str, Any], parity: dict[str, Any], golden: tuple[str, ...]) -> BundleManifest:
        assets, computed = self._source.assets, self._precision
        rest, floats = INT8 if computed == W4A16 else computed, frozenset(calibration.get("fallbacks", ()))

        def of(layers: Iterable[str], precision: str) -> str:
            return FP32 if floats.issuperset(layers) else precision

        *language, head = language_linears(self._source.model.text.layers)
        return BundleManifest(
            format_version=FORMAT_VERSION,
            producer=f"onboard-vla {__version__}",
            core_hash="",
            weights_sha256=weights_fingerprint(assets.folder, self._source.checkpoint.alpha),
            unjudged=self._unjudged,
            files={},
            precision={
                "vision": of(vision_linears(self._source.model.vision.depth), rest),
                "language": of(language, computed),
                "head": of([head], rest),
                "embeddings": np.dtype(self._source.checkpoint.embedding_type).name,
            },
            model=self._source.model,
            cameras=assets.cameras,
            frames=assets.frames,
            prompt=PROMPT_FILE,
            tokenizer=TOKENIZER_FILE,
            codebook=CODEBOOK_FILE,
            embeddings=EMBEDDINGS_FILE,
            language_graph=LANGUAGE_FILE,
            action_head=self._source.action_head,
            vision_reference=None,
            drift_reference=None,
            tokens=assets.tokens,
            actions=assets.actions,
            generation=assets.generation,
            calibration=calibration,
            parity=parity,
            golden=golden,
        )
