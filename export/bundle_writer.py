"""From a checkpoint folder to a bundle: graphs, tables, golden scenes, manifest; whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onboard_vla import __version__
from onboard_vla.core.bundle_manifest import FORMAT_VERSION, BundleManifest
from onboard_vla.core.errors import BundleError
from onboard_vla.export.assets import CODEBOOK_FILE, COPIED_FILES, PROMPT_FILE, TOKENIZER_FILE, Assets, read_assets
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.fusion_check import check_fusion
from onboard_vla.export.golden import GoldenScene, save_golden
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter
from onboard_vla.export.quantisation import METHOD, observe, quantise
from onboard_vla.export.scene_runner import SceneRunner, Sizes
from onboard_vla.export.scenes import Scene, load_scenes, random_scenes
from onboard_vla.export.smoothing import STRENGTH
from onboard_vla.export.staging import Staging
from onboard_vla.export.verify import compare
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import vision_grid
from onboard_vla.export.weights import CheckpointWeights, Weights, language_linears, vision_linears

PRECISIONS = ("fp32", "int8")
EMBEDDINGS_FILE, GOLDEN_FOLDER = "embeddings.npy", "golden"
GOLDEN_FILE, CALIBRATION_FILE = "golden_scenes.npz", "calibration_scenes.npz"
"""Files of scenes that a checkpoint folder may hold."""
RANDOM_GOLDEN, RANDOM_CALIBRATION = 4, 8
"""Scenes drawn at random where a checkpoint brings none; enough to exercise the graphs, not to judge a model."""
GOLDEN_SEED, CALIBRATION_SEED = 1, 2

Progress = Callable[[str, float], None]


def export_bundle(
    checkpoint: Path,
    out: Path,
    *,
    precision: str = "int8",
    progress: Progress | None = None,
    golden_scenes: Path | None = None,
    calibration_scenes: Path | None = None,
    fallbacks: Iterable[str] = (),
) -> Path:
    """Export a checkpoint folder as a bundle.

    Args:
        checkpoint: folder with weights, prompt.json, cameras.json, tokenizer.json and codebook.npz.
        out: the bundle's folder; an existing bundle there is replaced, anything else is refused.
        precision: "int8" or "fp32".
        progress: called with a stage's name and its finished share, 0 to 1.
        golden_scenes: file of scenes to keep in the bundle; the checkpoint's own if not given.
        calibration_scenes: file of scenes for activation ranges; the checkpoint's own if not given.
        fallbacks: names of linear layers that stay in float32 although the rest is INT8.

    Returns:
        `out`.

    Raises:
        CheckpointError: the checkpoint is incomplete or contradicts itself.
        BundleError: `out` is in the way, or an INT8 layer would not run in integers.
    """
    if precision not in PRECISIONS:
        raise BundleError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    export = _Export(checkpoint, precision, progress or (lambda _stage, _share: None), frozenset(fallbacks))
    golden = export.scenes(golden_scenes, GOLDEN_FILE, RANDOM_GOLDEN, GOLDEN_SEED)
    calibration = export.scenes(calibration_scenes, CALIBRATION_FILE, RANDOM_CALIBRATION, CALIBRATION_SEED)
    with Staging(out) as staging:
        export.write(staging, golden, calibration)
        staging.commit()
    return out


class _Export:
    """One export: what was read, and the steps that fill a staging folder."""

    def __init__(self, folder: Path, precision: str, progress: Progress, fallbacks: frozenset[str]) -> None:
        progress("read checkpoint", 0.0)
        self._checkpoint = Checkpoint(folder)
        self._assets: Assets = read_assets(folder, self._checkpoint.model)
        assets = self._assets
        self._model = replace(self._checkpoint.model, vision=assets.vision)
        self._sizes = Sizes(
            self._model, assets.cameras, assets.tokens, assets.actions, assets.generation, assets.answer
        )
        shapes = sorted({(camera.grid_h, camera.grid_w) for camera in assets.cameras})
        self._grids = [vision_grid(height, width, self._model.vision) for height, width in shapes]
        self._weights = CheckpointWeights(self._checkpoint)
        self._precision, self._progress, self._fallbacks = precision, progress, fallbacks
        known = {*vision_linears(self._model.vision.depth), *language_linears(self._model.text.layers)}
        if unknown := sorted(fallbacks - known):
            raise BundleError(f"fallbacks name unknown layers: {', '.join(unknown)}")
        progress("read checkpoint", 1.0)

    def scenes(self, given: Path | None, default: str, count: int, seed: int) -> tuple[str, list[Scene]]:
        """Where scenes come from, and the scenes."""
        path = given or self._assets.folder / default
        if given is None and not path.is_file():
            scenes = random_scenes(self._assets, count, np.random.default_rng(seed))
            return f"random, seed {seed}", scenes
        return path.name, load_scenes(path, self._assets)

    def write(self, staging: Staging, golden: tuple[str, list[Scene]], calibration: tuple[str, list[Scene]]) -> None:
        """Fill the staging folder and describe it."""
        reference = staging.scratch / "fp32"
        reference_bytes = self._write_graphs(reference, self._weights, FloatLinears(self._weights), "fp32 graphs")
        golden_items = self._golden(self._runner(reference), golden[1])
        provenance: dict[str, Any] = {}
        graph_bytes = reference_bytes
        if self._precision == "int8":
            provenance = self._write_int8(staging.folder, calibration)
            graph_bytes = _sizes_of(staging.folder, self._graph_names)
        else:
            for name in self._graph_names:
                shutil.copyfile(reference / name, staging.folder / name)
        self._write_tables(staging.folder)
        names = self._write_golden(staging.folder, golden_items)
        self._progress("verify", 0.0)
        figures = compare(
            self._runner(staging.folder),
            golden_items,
            self._assets.codebook,
            lambda share: self._progress("verify", share),
        )
        parity = {
            "against": "float32 graphs of the same export",
            "scenes_from": golden[0],
            **figures.as_table(),
            "graph_bytes": sum(graph_bytes.values()),
            "fp32_graph_bytes": sum(reference_bytes.values()),
        }
        staging.describe(self._manifest(provenance, parity, names))

    @property
    def _graph_names(self) -> list[str]:
        return [*(grid.name for grid in self._grids), LANGUAGE_FILE]

    def _write_graphs(self, folder: Path, weights: Weights, linears: LinearWriter, stage: str) -> dict[str, int]:
        """Write all graphs; returns their sizes in bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for done, grid in enumerate(self._grids):
            self._progress(stage, done / (len(self._grids) + 1))
            model = vision_graph(self._model, grid, weights, linears)
            (folder / grid.name).write_bytes(model.SerializeToString(deterministic=True))
        model = language_graph(self._model.text, weights, linears)
        (folder / LANGUAGE_FILE).write_bytes(model.SerializeToString(deterministic=True))
        self._progress(stage, 1.0)
        return _sizes_of(folder, self._graph_names)

    def _write_int8(self, folder: Path, calibration: tuple[str, list[Scene]]) -> dict[str, Any]:
        """Calibrate, write the INT8 graphs and prove that they run in integers; returns the provenance."""
        source, scenes = calibration
        embedding = self._checkpoint.embedding
        largest = observe(
            self._sizes, self._grids, self._weights, embedding, scenes, lambda share: self._progress("calibrate", share)
        )
        quantised = quantise(self._sizes, self._weights, largest, self._fallbacks)
        self._write_graphs(folder, quantised.weights, quantised.linears, "INT8 graphs")
        layers = {grid.name: set(vision_linears(self._model.vision.depth)) for grid in self._grids}
        layers[LANGUAGE_FILE] = set(language_linears(self._model.text.layers))
        integer_layers = 0
        for done, (name, linears) in enumerate(layers.items(), start=1):
            report = check_fusion(onnx.load(folder / name), linears - self._fallbacks, name)
            integer_layers += len(report.integer)
            self._progress("check integer arithmetic", done / len(layers))
        return {
            "method": METHOD,
            "smooth_strength": STRENGTH,
            "scenes_from": source,
            "scenes": len(scenes),
            "fallbacks": sorted(self._fallbacks),
            "integer_layers": integer_layers,
        }

    def _golden(self, runner: SceneRunner, scenes: Sequence[Scene]) -> list[GoldenScene]:
        items = []
        for done, scene in enumerate(scenes, start=1):
            items.append(GoldenScene(scene, runner.greedy(scene)))
            self._progress("float32 references", done / len(scenes))
        return items

    def _runner(self, folder: Path) -> SceneRunner:
        vision = {grid.name: folder / grid.name for grid in self._grids}
        return SceneRunner(self._sizes, vision, folder / LANGUAGE_FILE, self._checkpoint.embedding)

    def _write_tables(self, folder: Path) -> None:
        np.save(folder / EMBEDDINGS_FILE, self._checkpoint.embedding, allow_pickle=False)
        for name in COPIED_FILES:
            if (self._assets.folder / name).is_file():
                shutil.copyfile(self._assets.folder / name, folder / name)

    def _write_golden(self, folder: Path, items: Sequence[GoldenScene]) -> tuple[str, ...]:
        (folder / GOLDEN_FOLDER).mkdir()
        names = tuple(f"{GOLDEN_FOLDER}/scene_{i:03d}.npz" for i in range(len(items)))
        for name, item in zip(names, items, strict=True):
            save_golden(folder / name, item, self._assets.answer.fast_prefix)
        return names

    def _manifest(self, calibration: dict[str, Any], parity: dict[str, Any], golden: tuple[str, ...]) -> BundleManifest:
        assets, computed = self._assets, self._precision
        return BundleManifest(
            format_version=FORMAT_VERSION,
            producer=f"onboard-vla {__version__}",
            core_hash="",
            files={},
            precision={
                "vision": computed,
                "language": computed,
                "head": "fp32" if "head" in self._fallbacks else computed,
                "embeddings": self._checkpoint.embedding.dtype.name,
            },
            model=self._model,
            cameras=assets.cameras,
            frames=assets.frames,
            prompt=PROMPT_FILE,
            tokenizer=TOKENIZER_FILE,
            codebook=CODEBOOK_FILE,
            embeddings=EMBEDDINGS_FILE,
            language_graph=LANGUAGE_FILE,
            tokens=assets.tokens,
            actions=assets.actions,
            generation=assets.generation,
            calibration=calibration,
            parity=parity,
            golden=golden,
        )


def _sizes_of(folder: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in names}
