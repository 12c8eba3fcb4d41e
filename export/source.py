"""An opened checkpoint with everything that graphs are written from, and the steps that all exports share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ModelDimensions
from onboard_vla.export.activation_ranges import RANGES_FILE, ActivationRanges, load_ranges
from onboard_vla.export.assets import Assets, read_assets
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter
from onboard_vla.export.quantisation import observe
from onboard_vla.export.scene_runner import SceneRunner, Sizes
from onboard_vla.export.scenes import Scene, load_scenes, random_scenes
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import VisionGrid, vision_grid
from onboard_vla.export.weights import CheckpointWeights, Weights, language_linears, vision_linears

Share = Callable[[float], None]


@dataclass(frozen=True)
class SceneSource:
    """Where scenes come from if not from a given file: the checkpoint's `file`, else `count` random ones."""

    file: str
    count: int
    seed: int


GOLDEN = SceneSource("golden_scenes.npz", 4, 1)
CALIBRATION = SceneSource("calibration_scenes.npz", 8, 2)
"""The random ones are enough to exercise the graphs, not to judge a model."""


@dataclass(frozen=True, eq=False)
class Source:
    """What an export reads. `model` has the pixel statistics of cameras.json; `grids` are the distinct patch grids."""

    checkpoint: Checkpoint
    assets: Assets
    model: ModelDimensions
    sizes: Sizes
    grids: tuple[VisionGrid, ...]
    weights: Weights

    @classmethod
    def open(cls, folder: Path) -> Source:
        """Open and check a checkpoint folder.

        Raises:
            CheckpointError: it is incomplete or contradicts itself.
        """
        checkpoint = Checkpoint(folder)
        assets = read_assets(folder, checkpoint.model)
        model = replace(checkpoint.model, vision=assets.vision)
        sizes = Sizes(model, assets.cameras, assets.tokens, assets.actions, assets.generation, assets.answer)
        shapes = sorted({(camera.grid_h, camera.grid_w) for camera in assets.cameras})
        grids = tuple(vision_grid(height, width, model.vision) for height, width in shapes)
        return cls(checkpoint, assets, model, sizes, grids, CheckpointWeights(checkpoint))

    def layers(self) -> dict[str, frozenset[str]]:
        """Graph file name to the names of its linear layers."""
        vision, language = vision_linears(self.model.vision.depth), language_linears(self.model.text.layers)
        return dict.fromkeys((grid.name for grid in self.grids), frozenset(vision)) | {
            LANGUAGE_FILE: frozenset(language)
        }

    def has_scenes(self, given: Path | None, source: SceneSource) -> bool:
        """Whether there are real scenes, so that figures over them say something about the model."""
        return given is not None or (self.assets.folder / source.file).is_file()

    def scenes(self, given: Path | None, source: SceneSource) -> tuple[str, list[Scene]]:
        """A word on where the scenes come from, and the scenes.

        Raises:
            CheckpointError: a file of scenes does not fit this checkpoint.
        """
        path = given or self.assets.folder / source.file
        if not self.has_scenes(given, source):
            scenes = random_scenes(self.assets, source.count, np.random.default_rng(source.seed))
            return f"random, seed {source.seed}", scenes
        return path.name, load_scenes(path, self.assets)

    def write_graphs(self, folder: Path, weights: Weights, linears: LinearWriter, progress: Share) -> dict[str, int]:
        """Write all graphs into `folder`; returns their sizes in bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for done, grid in enumerate(self.grids, start=1):
            model = vision_graph(self.model, grid, weights, linears)
            (folder / grid.name).write_bytes(model.SerializeToString(deterministic=True))
            progress(done / (len(self.grids) + 1))
        model = language_graph(self.model.text, weights, linears)
        (folder / LANGUAGE_FILE).write_bytes(model.SerializeToString(deterministic=True))
        progress(1.0)
        return {name: (folder / name).stat().st_size for name in self.layers()}

    def write_float_graphs(self, folder: Path, progress: Share) -> dict[str, int]:
        """Write all graphs in float32; returns their sizes in bytes."""
        return self.write_graphs(folder, self.weights, FloatLinears(self.weights), progress)

    def runner(self, folder: Path) -> SceneRunner:
        """Runs scenes on the graphs in `folder`."""
        vision = {grid.name: folder / grid.name for grid in self.grids}
        return SceneRunner(self.sizes, vision, folder / LANGUAGE_FILE, self.checkpoint.embedding)

    def references(self, folder: Path, scenes: Sequence[Scene], progress: Share) -> list[GoldenScene]:
        """Scenes with what the float32 graphs in `folder` make of them."""
        runner, items = self.runner(folder), []
        for done, scene in enumerate(scenes, start=1):
            items.append(GoldenScene(scene, runner.greedy(scene)))
            progress(done / len(scenes))
        return items

    def ranges(self, given: Path | None, progress: Share) -> ActivationRanges:
        """Activation ranges: over the scenes in `given`, else the checkpoint's own, else its scenes or random ones.

        Raises:
            CheckpointError: a file of ranges or scenes does not fit this checkpoint.
        """
        if given is None and (self.assets.folder / RANGES_FILE).is_file():
            names = frozenset[str]().union(*self.layers().values())
            inputs = {name: self.weights.shape(name)[0] for name in names}
            progress(1.0)
            return load_ranges(self.assets.folder, inputs)
        origin, scenes = self.scenes(given, CALIBRATION)
        return ActivationRanges(self.observe(scenes, progress), len(scenes), origin)

    def observe(self, scenes: Sequence[Scene], progress: Share) -> Mapping[str, NDArray[np.float32]]:
        """Largest magnitudes at the inputs of all linear layers over calibration scenes."""
        return observe(self.sizes, self.grids, self.weights, self.checkpoint.embedding, scenes, progress)
