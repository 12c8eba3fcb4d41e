"""The steps of an export whose graphs are larger than memory: everything layer by layer, and resumable.

Peak memory is a few layers; nothing runs a graph as a whole. What is finished lies in the staging folder: tables, the
constants that a journal names, and calibrated ranges.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import BundleError
from onboard_vla.export.action_logits import ActionLogits
from onboard_vla.export.activation_ranges import ActivationRanges
from onboard_vla.export.aside import put, sync
from onboard_vla.export.doubled_rows import DoubledRows
from onboard_vla.export.external_data import SUFFIX, ExternalData
from onboard_vla.export.fed_linears import FedLinears
from onboard_vla.export.fingerprints import recipe
from onboard_vla.export.fusion_check import check_fusion
from onboard_vla.export.golden import GoldenScene, load_golden, save_golden
from onboard_vla.export.graph import save_model
from onboard_vla.export.graph_session import GraphSession, OpenedForRuns, cores
from onboard_vla.export.kept_arrays import OnDisk, Unkept
from onboard_vla.export.kept_tables import bytes_in, gone_on_with
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.large_calibration import (
    load_observed,
    observe_in_pieces,
    room_between_layers,
    save_observed,
)
from onboard_vla.export.quantisation import (
    AS_PUBLISHED,
    FP32,
    INT8_FP16,
    QUANTISED,
    W4A16,
    Quantised,
    Scaling,
    float_linears,
    provenance,
    quantise,
)
from onboard_vla.export.scene_runner import SceneRunner
from onboard_vla.export.scenes import Scene
from onboard_vla.export.source import CALIBRATION, Share, Source
from onboard_vla.export.staging import Staging
from onboard_vla.export.step_errors import beyond, error_rows
from onboard_vla.export.verify import Figures, compare_in_few_passes, compare_together
from onboard_vla.export.written_weights import WrittenWeights

EMBEDDINGS_FILE = "embeddings.npy"
OBSERVED_FILE, REFERENCES, BEGUN = "observed.npz", "references", ".begun"
CHANNELS = 3


class LargeExport:
    """One large bundle in the making."""

    def __init__(
        self,
        source: Source,
        staging: Staging,
        precision: str,
        fallbacks: frozenset[str] | None,
        kept: frozenset[str],
        progress: Callable[[str, float], None],
        scaling: Scaling = AS_PUBLISHED,
    ) -> None:
        """`fallbacks`: layers to compute more exactly, None to choose them by their errors; `kept`: float32 layers."""
        self._source, self._staging, self._precision = source, staging, precision
        self._given, self._kept, self._progress, self._scaling = fallbacks, kept, progress, scaling
        self.fallbacks = (fallbacks or frozenset()) | kept

    def references(self, scenes: Sequence[Scene], given: Path | None) -> list[GoldenScene]:
        """Scenes with what the float32 model makes of them: one pass over all layers per action token.

        They survive a kill, half-way too, and other options; `given`: the file that the scenes are of.
        """
        if not scenes:
            return []
        source, folder = self._source, self._references_part(given)
        kept = load_references(folder)
        if len(kept) == len(scenes):
            return kept
        work = self._beside(folder)

        def items() -> list[GoldenScene]:
            found = self._answers(scenes, work)
            return [GoldenScene(scene, logits) for scene, logits in zip(scenes, found, strict=True)]

        scratch, prefix = self._staging.scratch, source.assets.answer.fast_prefix
        return gone_on_with(work, items, lambda made: save_references(folder, scratch, made, prefix))

    def _answers(self, scenes: Sequence[Scene], work: Path) -> list[ActionLogits]:
        """What the float32 model says; what there is of it in `work` is gone on with."""
        source = self._source
        runner = source.runner_in_pieces(
            source.weights,
            FedLinears(source.weights),
            work,
            self._embedding(),
            self._stages("float32 references"),
            runs=source.sizes.actions.per_answer,
            resumable=True,
        )
        return runner.greedy_many(scenes)

    def scratch_bytes(self, golden: Sequence[Scene], golden_file: Path | None, calibration_file: Path | None) -> int:
        """What scenes take of the disk at most beside the bundle, in the passes that are still to be made.

        Raises:
            CheckpointError: the file of calibration scenes does not fit this checkpoint.
        """
        source, quantised = self._source, self._precision in QUANTISED
        passes = [0]
        if golden:
            part = self._references_part(golden_file)
            together = golden[:1] if part.is_dir() and quantised else golden
            needed = room_between_layers(source, together, decoded=True) + picture_bytes(source, len(golden))
            passes.append(needed - bytes_in(self._beside(part)))
        observed = self._observed_part(calibration_file)
        if quantised and not observed.is_file() and (calibration_file is not None or source.own_ranges() is None):
            _, scenes = source.scenes(calibration_file, CALIBRATION, Unkept())
            needed = room_between_layers(source, scenes) + picture_bytes(source, len(scenes))
            passes.append(needed - bytes_in(self._beside(observed)))
        return max(passes)

    def write_float(self) -> dict[str, int]:
        """Write the graphs in float32 or half precision; returns their sizes."""
        weights, stage = self._source.weights, self._stage(f"{self._precision} graphs")
        linears = float_linears(weights, self._precision, self.fallbacks)
        return self._source.write_graphs(self._staging.folder, weights, linears, stage, self._staging.scratch)

    def write_quantised(self, calibration_scenes: Path | None) -> tuple[dict[str, int], dict[str, Any]]:
        """Write the quantised graphs and prove that their layers run as written; returns sizes and provenance."""
        source = self._source
        ranges = self._ranges(calibration_scenes)
        weights = {name: math.prod(source.weights.shape(name)) for name in ranges.largest}
        if self._given is None:
            self.fallbacks |= frozenset(beyond(ranges, weights, self._kept))
        moved = self.fallbacks - self._kept
        stage = self._stage("smooth")
        made = quantise(
            source.sizes, source.weights, ranges.largest, moved, self._precision, self._scaling, self._kept, stage
        )
        checked = self._check_fusion(made) if self._precision != INT8_FP16 else 0
        stage = self._stage("quantised graphs")
        sizes = source.write_graphs(self._staging.folder, made.weights, made.linears, stage, self._staging.scratch)
        layers = source.layers().values()
        return sizes, {
            **provenance(ranges, self._precision, self.fallbacks, made, self._scaling),
            **error_rows(ranges, weights, made),
            "integer_layers": sum(len(names & made.integer) for names in layers),
            "four_bit_layers": sum(len(names & made.four_bits) for names in layers),
            "layers_checked": checked,
        }

    def compare(self, golden: Sequence[GoldenScene]) -> Figures:
        """Hold what was written against golden scenes: quantised graphs run whole, float ones layer by layer.

        As a whole one scene after the other, so that memory holds one of them; in pieces all of them together. Pieces
        have the weights of the files that were written, in nodes that are written anew.
        """
        source, scratch, codebook = self._source, self._staging.scratch, self._source.assets.codebook
        if self._precision in QUANTISED:
            stage = self._stage("verify")
            stage(0.0)
            vision = {grid.name: OpenedForRuns(self._staging.folder / grid.name) for grid in source.grids}
            language = self._staging.folder / LANGUAGE_FILE
            kept = OnDisk(scratch / "kept")
            seeing = SceneRunner(source.sizes, vision, OpenedForRuns(language), self._embedding(), kept=kept)
            seeing.see([item.scene for item in golden])  # with the vision encoder alone in memory
            whole = seeing.with_language(DoubledRows(GraphSession(language, cores())))
            return compare_in_few_passes(whole, golden, codebook, stage)
        graphs = [self._staging.folder / name for name in source.layers()]
        weights = WrittenWeights(graphs, source.weights)
        fed = self._precision == FP32
        linears = FedLinears(weights) if fed else float_linears(weights, self._precision, self.fallbacks)
        runs, stages = 1 + source.sizes.actions.per_answer, self._stages("verify")
        runner = source.runner_in_pieces(weights, linears, scratch, self._embedding(), stages, runs=runs)
        return compare_together(runner, golden, codebook)

    def _references_part(self, given: Path | None) -> Path:
        return self._staging.part(REFERENCES, recipe(self._source.assets.folder, {"golden": given}, {}))

    def _observed_part(self, given: Path | None) -> Path:
        shaped_by = recipe(self._source.assets.folder, {"calibration": given}, {"precision": self._precision})
        return self._staging.part(OBSERVED_FILE, shaped_by)

    @staticmethod
    def _beside(part: Path) -> Path:
        """Where a part is made: a kill leaves what there is of it."""
        return part.with_name(f"{part.name}{BEGUN}")

    def _embedding(self) -> NDArray[Any]:
        table: NDArray[Any] = np.load(self._staging.folder / EMBEDDINGS_FILE, mmap_mode="r", allow_pickle=False)
        return table

    def _stage(self, name: str) -> Share:
        return lambda share: self._progress(name, share)

    def _stages(self, name: str) -> Callable[[str], Share]:
        """A stage of its own for every graph."""
        return lambda graph: self._stage(f"{name}, {Path(graph).stem}")

    def _ranges(self, given: Path | None) -> ActivationRanges:
        """Ranges beside the weights, or observed on scenes; the latter survive a kill, and other options."""
        own = self._source.own_ranges() if given is None else None
        if own is not None:
            return own if self._precision != W4A16 else replace(own, errors={})  # INT8's
        path, progress = self._observed_part(given), self._stages("calibrate")
        found = load_observed(path)
        pictures = OnDisk(self._staging.scratch / "scenes") if found is None else Unkept()
        origin, scenes = self._source.scenes(given, CALIBRATION, pictures)
        if found is None:
            found = observe_in_pieces(
                self._source,
                scenes,
                self._beside(path),
                self._embedding(),
                progress,
                self._precision,
                lambda made: save_observed(path, made),
            )
        largest, errors = found
        return ActivationRanges(largest, len(scenes), origin, errors)

    def _check_fusion(self, quantised: Quantised) -> int:
        """Hold one layer of every kind against what ONNX Runtime makes of it; returns how many linears were checked.

        Fusion goes by structure, and layers of a kind have the same; no whole graph has to be opened.
        """
        source, checked, path = self._source, 0, self._staging.scratch / "checked.onnx"
        writers = source.graph_writers(quantised.weights, quantised.linears)
        places = [(graph, step) for graph in writers for step in _first_of_each(self._kinds(graph, quantised))]
        for done, (graph, step) in enumerate(places):
            self._progress("check integer arithmetic", done / len(places))
            here = frozenset(source.layers_of_step(graph, step))
            data = path.with_name(path.name + SUFFIX)
            with ExternalData(data) as external:
                save_model(writers[graph](range(step, step + 1), external), path)
            integer, four_bits = here & quantised.integer, here & quantised.four_bits
            check_fusion(path, integer, f"{graph}, step {step}", four_bits)
            checked += len(integer) + len(four_bits)
            path.unlink()
            data.unlink()
        self._progress("check integer arithmetic", 1.0)
        return checked

    def _kinds(self, graph: str, made: Quantised) -> list[Hashable]:
        """What tells one step of a graph from another: its place, its attention, the precisions of its layers."""
        model, source = self._source.model, self._source
        language = graph == LANGUAGE_FILE
        steps = model.text.layers if language else model.vision.depth
        full = range(0) if language else model.vision.full_attention_blocks
        precisions = [
            frozenset((name.rsplit(".", 1)[-1], made.runs_in(name)) for name in source.layers_of_step(graph, step))
            for step in range(steps + 1)
        ]
        return [
            (step == 0, step == steps - 1, step == steps, step in full, precisions[step]) for step in range(steps + 1)
        ]


def save_references(folder: Path, scratch: Path, items: Sequence[GoldenScene], answer_ids: Sequence[int]) -> None:
    """Write golden scenes into a folder that appears whole or not at all."""
    aside = scratch / REFERENCES
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for index, item in enumerate(items):
        save_golden(path := aside / f"scene_{index:03d}.npz", item, answer_ids)
        sync(path)
    shutil.rmtree(folder, ignore_errors=True)  # no longer whole
    put(aside, folder)


def load_references(folder: Path) -> list[GoldenScene]:
    """What `save_references` wrote; nothing if there is none, or no longer whole."""
    try:
        return [load_golden(path) for path in sorted(folder.iterdir())]
    except (OSError, BundleError):
        return []


def picture_bytes(source: Source, scenes: int) -> int:
    """Bytes of the pictures of so many scenes."""
    pixels = sum(camera.height * camera.width for camera in source.sizes.cameras)
    return scenes * source.assets.frames.per_camera * pixels * CHANNELS


def _first_of_each(kinds: Iterable[Hashable]) -> list[int]:
    """The first step of every kind."""
    seen: dict[Hashable, int] = {}
    for step, kind in enumerate(kinds):
        seen.setdefault(kind, step)
    return sorted(seen.values())
