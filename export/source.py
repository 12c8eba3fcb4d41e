"""An opened checkpoint with everything that graphs are written from, and the steps that all exports share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ModelDimensions
from onboard_vla.export.activation_ranges import RANGES_FILE, ActivationRanges, load_ranges
from onboard_vla.export.assets import Assets, read_assets
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.external_data import SUFFIX, ExternalData
from onboard_vla.export.fed_linears import FedLinears
from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.graph import save_model
from onboard_vla.export.graph_session import GraphSession
from onboard_vla.export.kept_arrays import OnDisk
from onboard_vla.export.kept_tables import KeptTables
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter, ReportedLinears
from onboard_vla.export.observation import Observations, ObservedLinears
from onboard_vla.export.pieces import PieceSession, Probe
from onboard_vla.export.quantisation import observe
from onboard_vla.export.scene_runner import Observer, SceneRunner, Sizes
from onboard_vla.export.scenes import Scene, load_scenes, random_scenes
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import VisionGrid, vision_grid
from onboard_vla.export.weights import (
    ACTION_HEAD,
    CheckpointWeights,
    PaddedHead,
    Weights,
    WithActionHead,
    language_linears,
    vision_linears,
)

Share = Callable[[float], None]
WriteGraph = Callable[[range | None, ExternalData | None], onnx.ModelProto]

LARGE_WEIGHTS = 1 << 28
"""Weights of a graph from which on it is written beside a file of them: 1 GiB in float32; a message holds 2 GiB."""


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
    action_head: bool = False
    """Whether the language graph that is written has a head of the actions alone, too."""

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
        weights = WithActionHead(PaddedHead(CheckpointWeights(checkpoint)), assets.actions)
        return cls(checkpoint, assets, model, sizes, grids, weights)

    def layers(self) -> dict[str, frozenset[str]]:
        """Graph file name to the names of its linear layers."""
        vision, language = vision_linears(self.model.vision.depth), language_linears(self.model.text.layers)
        return dict.fromkeys((grid.name for grid in self.grids), frozenset(vision)) | {
            LANGUAGE_FILE: frozenset(language)
        }

    def layers_of_step(self, graph: str, step: int) -> list[str]:
        """Linear layers that a graph computes in one of its steps."""
        return sorted(name for name in self.layers()[graph] if self.step_of(name) == step)

    def step_of(self, layer: str) -> int:
        """The step of its graph in which a linear layer is computed."""
        parts = layer.split(".")
        if "layers" in parts or "blocks" in parts:
            return int(parts[2])
        if layer == "head":
            return self.model.text.layers
        return self.model.vision.depth if layer.startswith("visual.merger") else 0

    def step_name(self, graph: str, step: int) -> str:
        """A step's name: a decoder layer, a block of the vision encoder, or what comes after the last of them."""
        if graph == LANGUAGE_FILE:
            return f"text.layers.{step}" if step < self.model.text.layers else "head"
        return f"visual.blocks.{step}" if step < self.model.vision.depth else "visual.merger"

    def has_scenes(self, given: Path | None, source: SceneSource) -> bool:
        """Whether there are real scenes, so that figures over them say something about the model."""
        return given is not None or (self.assets.folder / source.file).is_file()

    def has_calibration(self, given: Path | None) -> bool:
        """Whether ranges are of real scenes: of given ones, kept beside the weights, or of the folder's own scenes."""
        return (self.assets.folder / RANGES_FILE).is_file() or self.has_scenes(given, CALIBRATION)

    def scenes(
        self, given: Path | None, source: SceneSource, kept: MutableMapping[str, NDArray[Any]] | None = None
    ) -> tuple[str, list[Scene]]:
        """A word on where the scenes come from, and the scenes; `kept`: see `load_scenes`.

        Raises:
            CheckpointError: a file of scenes does not fit this checkpoint.
        """
        path = given or self.assets.folder / source.file
        if not self.has_scenes(given, source):
            scenes = random_scenes(self.assets, source.count, np.random.default_rng(source.seed))
            return f"random, seed {source.seed}", scenes
        return path.name, load_scenes(path, self.assets, kept)

    @property
    def large(self) -> bool:
        """Whether a graph has so many weights that it is written beside a file of them and never run as a whole."""
        return max(self.weight_counts().values()) > LARGE_WEIGHTS

    def weight_counts(self) -> dict[str, int]:
        """Weights of the linear layers of each graph."""
        return {
            graph: sum(math.prod(self.weights.shape(name)) for name in names) for graph, names in self.layers().items()
        }

    def write_graphs(
        self, folder: Path, weights: Weights, linears: LinearWriter, progress: Share, journals: Path | None = None
    ) -> dict[str, int]:
        """Write all graphs into `folder`; returns their sizes in bytes, with those of the files beside them.

        `journals`: a folder that remembers what was written, so that a killed export goes on (large ones alone).
        """
        folder.mkdir(parents=True, exist_ok=True)
        total = sum(self.weight_counts().values())
        total += math.prod(self.weights.shape(ACTION_HEAD)) if self.action_head else 0
        linears = ReportedLinears(linears, self.weights, total, progress)
        sizes = {}
        for name, write in self.graph_writers(weights, linears, action_head=self.action_head).items():
            files = [folder / name]
            if self.large:
                journal = None if journals is None else journals / f"{name}.journal"
                with ExternalData(folder / f"{name}{SUFFIX}", journal) as external:
                    save_model(write(None, external), folder / name)
                files.append(folder / f"{name}{SUFFIX}")
            else:
                save_model(write(None, None), folder / name)
            sizes[name] = sum(file.stat().st_size for file in files)
        return sizes

    def graph_writers(
        self, weights: Weights, linears: LinearWriter, *, action_head: bool = False
    ) -> dict[str, WriteGraph]:
        """Graph file name to what writes it, as a whole or one piece of it; `action_head`: see `language_graph`."""

        def vision(grid: VisionGrid) -> WriteGraph:
            return lambda piece, external: vision_graph(
                self.model, grid, weights, linears, external=external, piece=piece
            )

        def language(piece: range | None, external: ExternalData | None) -> onnx.ModelProto:
            return language_graph(
                self.model.text, weights, linears, external=external, piece=piece, action_head=action_head
            )

        return {**{grid.name: vision(grid) for grid in self.grids}, LANGUAGE_FILE: language}

    def write_float_graphs(self, folder: Path, progress: Share) -> dict[str, int]:
        """Write all graphs in float32; returns their sizes in bytes."""
        return self.write_graphs(folder, self.weights, FloatLinears(self.weights), progress)

    def runner(self, folder: Path, *, doubled: bool = True) -> SceneRunner:
        """Runs scenes on the graphs in `folder`; `doubled`: see `SceneRunner.of_files`."""
        vision, language = {grid.name: folder / grid.name for grid in self.grids}, folder / LANGUAGE_FILE
        return SceneRunner.of_files(self.sizes, vision, language, self.checkpoint.embedding, doubled=doubled)

    def runner_in_pieces(
        self,
        weights: Weights,
        linears: LinearWriter,
        scratch: Path,
        embedding: NDArray[Any],
        progress: Callable[[str], Share],
        *,
        runs: int = 1,
        observations: Observer | None = None,
        probes: Callable[[str], Probe | None] = lambda _: None,
        resumable: bool = False,
    ) -> SceneRunner:
        """Runs scenes on graphs that are written one piece at a time into `scratch`; run many scenes together.

        Args:
            weights: for the norms.
            linears: writes the linear layers; `FedLinears` of the same weights are fed.
            scratch: a folder for pieces, and for what scenes become between them.
            embedding: the table of embeddings.
            progress: takes a graph's file name, gives what takes in the finished share of it.
            runs: how often the language graph will be run.
            observations: takes in what observed graphs report.
            probes: takes a graph's file name, gives what looks at its pieces.
            resumable: `scratch` remembers what was run, and another runner of the same there goes on with it.
        """
        steps = {grid.name: self.model.vision.depth + 1 for grid in self.grids}
        steps[LANGUAGE_FILE] = self.model.text.layers + 1
        sessions = {
            name: PieceSession(
                write,
                steps[name],
                scratch,
                progress(name),
                probes(name),
                runs if name == LANGUAGE_FILE else 1,
                FedLinears(weights).feed,
                (KeptTables(scratch / "done"), Path(name).stem) if resumable else None,
            )
            for name, write in self.graph_writers(weights, linears).items()
        }
        kept = OnDisk(scratch / "kept")
        return SceneRunner(self.sizes, sessions, sessions[LANGUAGE_FILE], embedding, observations, kept)

    def references(self, folder: Path, scenes: Sequence[Scene], progress: Share) -> list[GoldenScene]:
        """Scenes with what the float32 graphs in `folder` make of them.

        A lone row is not doubled: these logits count in a bundle's core hash, and with others in the last bits an older
        export's thresholds would not be those of a newer one with equal graphs.
        """
        runner, items = self.runner(folder, doubled=False), []
        for done, scene in enumerate(scenes, start=1):
            items.append(GoldenScene(scene, runner.greedy(scene)))
            progress(done / len(scenes))
        return items

    def own_ranges(self) -> ActivationRanges | None:
        """The activation ranges that lie beside the weights; None where there are none.

        Raises:
            CheckpointError: they do not fit this checkpoint.
        """
        if not (self.assets.folder / RANGES_FILE).is_file():
            return None
        names = frozenset[str]().union(*self.layers().values())
        return load_ranges(self.assets.folder, {name: self.weights.shape(name)[0] for name in names})

    def ranges(self, given: Path | None, progress: Share) -> ActivationRanges:
        """Activation ranges: over the scenes in `given`, else the checkpoint's own, else its scenes or random ones.

        Raises:
            CheckpointError: a file of ranges or scenes does not fit this checkpoint.
        """
        if given is None and (own := self.own_ranges()) is not None:
            progress(1.0)
            return own
        origin, scenes = self.scenes(given, CALIBRATION)
        return ActivationRanges(self.observe(scenes, progress), len(scenes), origin)

    def observe(self, scenes: Sequence[Scene], progress: Share) -> Mapping[str, NDArray[np.float32]]:
        """Largest magnitudes at the inputs of all linear layers over calibration scenes, for small models."""
        observations, linears = Observations(), ObservedLinears(self.weights)
        writers = self.graph_writers(self.weights, linears)
        sessions = {name: GraphSession(write(None, None).SerializeToString()) for name, write in writers.items()}
        runner = SceneRunner(self.sizes, sessions, sessions[LANGUAGE_FILE], self.checkpoint.embedding, observations)
        return observe(runner, observations, scenes, progress)
