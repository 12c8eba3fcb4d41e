"""Pictures to visual embeddings: crop, resize, patches, one encoder run per picture size."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import BundleManifest, CameraInput
from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.errors import BundleError
from onboard_vla.kernels.images import MERGE, PATCH
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.reference_images import normalisation_table
from onboard_vla.runtime.answer_grammar import NAN_LOGITS, DecodeError
from onboard_vla.runtime.engine import Engine, StandingArrays
from onboard_vla.runtime.finite import all_finite
from onboard_vla.runtime.patches import PatchMaker
from onboard_vla.runtime.vision_cache import FramePair, VisionCache

PAIR = 2
"""Frames per pair; the vision encoder's temporal patch size."""
CACHE_SLACK_S = 0.1
"""How much longer than a newest pair takes to become the oldest one the cache remembers it; covers stamp tolerance.

Short enough that the pictures which an entry keeps for comparison are still in the ingest's ring anyway.
"""


class VisionEncoder:
    """Encodes frame pairs; keeps patch buffers and, if wanted, a cache of embeddings."""

    def __init__(
        self,
        manifest: BundleManifest,
        path: Path,
        load: Callable[[Path], Engine],
        *,
        cache: bool,
        threads: int = 1,
        kernels: KernelForm | None = None,
        reduced_decoding: bool = True,
        offsets_s: Collection[float] = (),
    ) -> None:
        """`load` makes an engine from a graph file; graphs of equal size are loaded once.

        `offsets_s`: by how much shutters open later than the anchor camera's. The rest: see PatchMaker.
        """
        self._vision, self._hidden = manifest.model.vision, manifest.model.text.hidden_size
        for name, expected in (("temporal_patch_size", PAIR), ("patch_size", PATCH), ("merge_size", MERGE)):
            if getattr(self._vision, name) != expected:
                found = getattr(self._vision, name)
                raise BundleError(f"{path}: model.vision.{name} is {found}, expected {expected}: no kernel makes these")
        self._cameras = {camera.role: camera for camera in manifest.cameras}
        graphs = sorted({camera.vision_graph for camera in manifest.cameras})
        self._engines = {graph: load(path / graph) for graph in graphs}
        table = normalisation_table(self._vision.image_mean, self._vision.image_std)
        self._maker = PatchMaker(self._cameras, table, threads, kernels, reduced=reduced_decoding)
        frames = manifest.frames
        ageing_s = frames.spacing_s * (frames.per_camera - PAIR)
        early_s, late_s = -min((0.0, *offsets_s)), max((0.0, *offsets_s))
        horizon_ns, ahead_ns = nanoseconds(ageing_s + early_s + CACHE_SLACK_S), nanoseconds(late_s)
        self.cache = VisionCache(horizon_ns, ahead_ns) if cache else None
        self._runs: dict[tuple[str, int], tuple[StandingArrays, StandingArrays]] = {}

    @property
    def executions(self) -> int:
        """Encoder runs so far, counted by the engines."""
        return sum(engine.executions for engine in self._engines.values())

    @property
    def decode_s(self) -> float:
        """Processor time spent on decoding compressed pictures so far."""
        return self._maker.decode_s

    @property
    def decoded(self) -> int:
        """How many compressed pictures were decoded so far."""
        return self._maker.decoded

    def pairs(self, frames: FrameSet) -> list[FramePair]:
        """All frame pairs in prompt order: camera by camera, older pair first."""
        return [
            FramePair(role, slot, (stamps[i], stamps[i + 1]), (images[i], images[i + 1]))
            for role in self._cameras
            if role in frames.images
            for stamps, images in [(frames.stamps_ns[role], frames.images[role])]
            for slot, i in enumerate(range(0, len(images), PAIR))
        ]

    def look_up(self, pairs: list[FramePair], anchor_ns: int) -> dict[int, NDArray[np.float32]]:
        """Embeddings of pairs that the cache knows, by index in `pairs`."""
        if self.cache is None:
            return {}
        self.cache.expire(anchor_ns)
        get = self.cache.get
        return {index: known for index, pair in enumerate(pairs) if (known := get(pair)) is not None}

    def prepare(self, pairs: list[FramePair], wanted: list[int]) -> dict[str, list[int]]:
        """Make patches of the wanted pairs, ready until the next call; per graph the indices of its pairs."""
        by_graph: dict[str, list[int]] = {}
        for index in wanted:
            by_graph.setdefault(self._cameras[pairs[index].camera].vision_graph, []).append(index)
        for graph, indices in by_graph.items():
            inputs, _ = self._arrays(graph, len(indices), self._cameras[pairs[indices[0]].camera])
            self._maker.write([pairs[index] for index in indices], inputs["patches"])
        return by_graph

    def encode(self, pairs: list[FramePair], prepared: dict[str, list[int]]) -> dict[int, NDArray[np.float32]]:
        """Run the encoder on what `prepare` made ready: embeddings (tokens, D) by index in `pairs`.

        Raises:
            DecodeError: some are not finite; none of that run is remembered.
            EngineError: an execution failed.
        """
        results: dict[int, NDArray[np.float32]] = {}
        for graph, indices in prepared.items():
            inputs, outputs = self._runs[graph, len(indices)]
            self._engines[graph].run(inputs, outputs)
            # A copy, for the next run writes there; of all at once: they are forgotten within a pair's age anyway.
            seen = outputs["embeddings"].copy()
            if not all_finite(seen):
                # INT8 would turn them into numbers, and no logit would tell.
                raise DecodeError(NAN_LOGITS, "the visual embeddings hold values that are not finite")
            for index, embeddings in zip(indices, seen, strict=True):
                results[index] = embeddings
                if self.cache is not None:
                    self.cache.put(pairs[index], embeddings)
        return results

    def _arrays(self, graph: str, count: int, camera: CameraInput) -> tuple[StandingArrays, StandingArrays]:
        """What a graph reads, (B, P, 1176) patches, and writes for so many pairs; the same arrays every time."""
        key = graph, count
        if key not in self._runs:
            width, patches = self._vision.channels * PAIR * self._vision.patch_size**2, camera.grid_h * camera.grid_w
            tokens = patches // self._vision.merge_size**2
            self._runs[key] = (
                StandingArrays({"patches": np.empty((count, patches, width), np.float32)}),
                StandingArrays({"embeddings": np.empty((count, tokens, self._hidden), np.float32)}),
            )
        return self._runs[key]
