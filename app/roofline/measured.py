"""A bundle's stages on this machine: each engine run at the sizes of one plan, on the runtime's own engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.roofline.stages import (
    CHANNELS,
    DECODE,
    HEAD,
    PATCHES,
    PER_PAIR,
    PREFILL,
    PREFILL_ROWS,
    VISION,
    PlanSizes,
    View,
    layout_of,
)
from onboard_vla.app.roofline.timing import median_s
from onboard_vla.export.product_graph import product_graph
from onboard_vla.export.quantisation import INT8, INT8_FP16
from onboard_vla.export.weights import HEAD_MULTIPLE
from onboard_vla.kernels.forms import kernel_form
from onboard_vla.kernels.images import ROW, PatchKernel
from onboard_vla.kernels.reference_images import normalisation_table
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import Engine, OnnxEngine
from onboard_vla.runtime.kv_cache import KvCache
from onboard_vla.runtime.language_model import LEAST_ROWS, causal_bias


class StageTimes:
    """Times stages of one bundle; engines are loaded once."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._model = bundle, bundle.manifest.model
        self._pair_s: dict[object, float] = {}
        self._language = OnnxEngine(bundle.path / bundle.manifest.language_graph)
        self._vision = {
            name: OnnxEngine(bundle.path / name)
            for name in sorted({camera.vision_graph for camera in bundle.manifest.cameras})
        }

    def median_s(self, sizes: PlanSizes, *, cold: bool) -> dict[str, float]:
        """Processor time of one run of every stage, s. A lone token is computed twice, as the runtime does."""
        new, past = sizes.prefill(cold=cold)
        return {
            PATCHES: sum(self._patches(view, sizes) * sizes.pairs(view, cold=cold) for view in sizes.views),
            VISION: sum(self._see(view, sizes.pairs(view, cold=cold)) for view in sizes.views),
            PREFILL: self._pass(new, past, PREFILL_ROWS),
            DECODE: self._pass(LEAST_ROWS, sizes.prompt + sizes.forced, LEAST_ROWS),
            HEAD: self._head(),
        }

    def _patches(self, view: View, sizes: PlanSizes) -> float:
        """One pair."""
        layout, vision = layout_of(view, sizes.source), self._model.vision
        key = view.crop, view.width, view.height, sizes.source
        if key in self._pair_s:
            return self._pair_s[key]
        table = normalisation_table(vision.image_mean, vision.image_std)
        kernel = PatchKernel(kernel_form(), [layout], table)
        rng, (width, height) = np.random.default_rng(0), sizes.source
        older, newer = rng.integers(0, 256, (PER_PAIR, height, width, CHANNELS), np.uint8)
        out = np.empty((layout.patches, ROW), np.float32)
        self._pair_s[key] = median_s(lambda: kernel.run([(older, newer)], out))
        return self._pair_s[key]

    def _see(self, view: View, pairs: int) -> float:
        patches = _random(pairs, view.grid_h * view.grid_w, ROW)
        tokens = view.grid_h * view.grid_w // self._model.vision.merge_size**2
        embeddings = np.empty((pairs, tokens, self._model.text.hidden_size), np.float32)
        return _run(self._vision[view.graph], {"patches": patches}, {"embeddings": embeddings})

    def _pass(self, new: int, past: int, rows: int) -> float:
        text = self._model.text
        cache = KvCache(text.layers, past + new, text.kv_heads, text.head_dim)
        cache.advance(past)
        inputs: dict[str, NDArray[Any]] = {
            "embeds": _random(new, text.hidden_size),
            "cos": _random(new, text.head_dim),
            "sin": _random(new, text.head_dim),
            "bias": causal_bias(past, new),
            "rows": np.arange(new - rows, new, dtype=np.int64),
            **cache.past(),
        }
        return _run(
            self._language, inputs, {"logits": np.empty((rows, text.vocabulary_size), np.float32), **cache.room(new)}
        )

    def _head(self) -> float:
        """The head alone: a layer of its size and precision."""
        manifest, text = self._bundle.manifest, self._model.text
        int8 = manifest.precision["head"] in (INT8, INT8_FP16) and "head" not in manifest.calibration.get(
            "fallbacks", ()
        )
        columns = -(-text.vocabulary_size // HEAD_MULTIPLE) * HEAD_MULTIPLE
        engine = OnnxEngine(product_graph(LEAST_ROWS, text.hidden_size, columns, int8=int8).SerializeToString())
        y = np.empty((1, LEAST_ROWS, columns), np.float32)
        return _run(engine, {"x": _random(1, LEAST_ROWS, text.hidden_size)}, {"y": y})


def _run(engine: Engine, inputs: dict[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]) -> float:
    return median_s(lambda: engine.run(inputs, outputs))


def _random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)
