"""The vision encoder as an ONNX graph for one fixed grid and any number of (camera, frame pair) items.

    patches (B, N, C*T*P*P) -> patch_embed -> gather into window order -> blocks -> merger -> gather back
    -> embeddings (B, N / merge^2, text hidden)

Block: x + proj(attention(norm1(x))), then x + mlp(norm2(x)). Window attention gathers each window, padded to the
longest, into an axis of its own; where all windows are equally long, a reshape does.
"""

from __future__ import annotations

import numpy as np
import onnx

from onboard_vla.core.bundle_manifest import MASKED_BIAS, ModelDimensions
from onboard_vla.export.external_data import Constants
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.linear_layers import LinearWriter
from onboard_vla.export.vision_grid import VisionGrid
from onboard_vla.export.weights import Weights

NORM_EPSILON = 1e-6
"""Fixed in Qwen2.5-VL's vision encoder, not part of its configuration."""
ITEMS, HIDDEN, HIDDEN_BEFORE = "items", "hidden", "hidden_before"


def vision_graph(
    model: ModelDimensions,
    grid: VisionGrid,
    weights: Weights,
    linears: LinearWriter,
    *,
    external: Constants | None = None,
    piece: range | None = None,
) -> onnx.ModelProto:
    """Write the graph; `weights` gives the norms, `linears` writes the linear layers, into `external` if given.

    `piece`: only these of the encoder's `depth + 1` steps, the last of which is the merger. Between pieces
    flows `hidden` (B, N, width), in window order.
    """
    vision = model.vision
    piece = piece or range(vision.depth + 1)
    graph = GraphWriter(grid.name.removesuffix(".onnx"), linears, external)
    x = _patches(graph, model, grid) if piece.start == 0 else graph.input(HIDDEN_BEFORE, _hidden(model, grid))
    blocks = [step for step in piece if step < vision.depth]
    if blocks:
        attention = _Attention(graph, model, grid)
        for i in blocks:
            at = f"visual.blocks.{i}"
            normed = graph.rms_norm(x, weights.vector(f"{at}.norm1"), NORM_EPSILON, f"{at}.norm1")
            windowed = i not in vision.full_attention_blocks
            x = graph.node("Add", x, attention.write(normed, f"{at}.attn", windowed), at=at)
            normed = graph.rms_norm(x, weights.vector(f"{at}.norm2"), NORM_EPSILON, f"{at}.norm2")
            x = graph.node("Add", x, graph.gated_mlp(normed, f"{at}.mlp"), at=at)
    if vision.depth not in piece:
        graph.output(x, HIDDEN, _hidden(model, grid))
        return graph.model()
    at, unit = "visual.merger", vision.merge_size**2
    x = graph.rms_norm(x, weights.vector(f"{at}.ln_q"), NORM_EPSILON, f"{at}.ln_q")
    x = graph.node("Reshape", x, graph.shape(0, grid.patches // unit, vision.hidden_size * unit), at=at)
    x = graph.linear(_gelu(graph, graph.linear(x, f"{at}.mlp.0"), at), f"{at}.mlp.2")
    x = graph.node("Gather", x, graph.constant("row_major_order", grid.restore), at=at, axis=1)
    graph.output(x, "embeddings", (ITEMS, grid.patches // unit, model.text.hidden_size))
    return graph.model()


def _hidden(model: ModelDimensions, grid: VisionGrid) -> tuple[str, int, int]:
    return ITEMS, grid.patches, model.vision.hidden_size


def _patches(graph: GraphWriter, model: ModelDimensions, grid: VisionGrid) -> str:
    vision = model.vision
    width_in = vision.channels * vision.temporal_patch_size * vision.patch_size**2
    patches = graph.input("patches", (ITEMS, grid.patches, width_in))
    x = graph.linear(patches, "visual.patch_embed")
    return graph.node("Gather", x, graph.constant("window_order", grid.order), at="visual.patch_embed", axis=1)


class _Attention:
    """Writes attention within windows or over the whole item.

    Rotary constants are shared by all blocks, and in the file once: what engines fold when they load is not stored.
    """

    def __init__(self, graph: GraphWriter, model: ModelDimensions, grid: VisionGrid) -> None:
        self._graph, self._grid = graph, grid
        self._heads = model.vision.heads
        self._head_dim = model.vision.hidden_size // model.vision.heads
        at, angles, scale = "rotary", grid.angles[:, None, :], graph.scalar(self._head_dim**-0.5)
        cos = graph.constant("rotary_cos", np.cos(angles).astype(np.float32))
        sin = graph.constant("rotary_sin", np.sin(angles).astype(np.float32))
        whole_cos = graph.node("Concat", cos, cos, at=at, axis=-1)
        whole_sin = graph.node("Concat", graph.node("Neg", sin, at=at), sin, at=at, axis=-1)
        self._key_rotation = whole_cos, whole_sin
        self._query_rotation = (
            graph.node("Mul", whole_cos, scale, at=at),
            graph.node("Mul", whole_sin, scale, at=at),
        )

    def write(self, x: str, at: str, windowed: bool) -> str:
        graph, per_head = self._graph, (self._heads, self._head_dim)
        split = graph.shape(0, self._grid.patches, *per_head)
        q, k, v = (graph.node("Reshape", graph.linear(x, f"{at}.{part}"), split, at=at) for part in "qkv")
        q = graph.rotate(q, *self._query_rotation, self._head_dim // 2, f"{at}.q_rotary")
        k = graph.rotate(k, *self._key_rotation, self._head_dim // 2, f"{at}.k_rotary")
        windowed = windowed and len(self._grid.windows) > 1
        y = self._windows(q, k, v, at) if windowed else self._whole(q, k, v, at)
        joined = graph.node("Reshape", y, graph.shape(0, self._grid.patches, self._heads * self._head_dim), at=at)
        return graph.linear(joined, f"{at}.proj")

    def _whole(self, q: str, k: str, v: str, at: str) -> str:
        """q, k, v: (B, N, heads, head_dim); same shape back."""
        graph = self._graph
        q, v = (graph.node("Transpose", t, at=at, perm=[0, 2, 1, 3]) for t in (q, v))
        k = graph.node("Transpose", k, at=at, perm=[0, 2, 3, 1])
        q, k, v = (graph.half(t) for t in (q, k, v))
        scores = graph.node("Softmax", graph.node("MatMul", q, k, at=at), at=at, axis=-1)
        y = graph.full(graph.node("MatMul", scores, v, at=at))
        return graph.node("Transpose", y, at=at, perm=[0, 2, 1, 3])

    def _windows(self, q: str, k: str, v: str, at: str) -> str:
        """As `_whole`, within each of W windows of L patches: (B, W, heads, L, head_dim) inside."""
        graph, grid = self._graph, self._grid
        count, longest = grid.windows.shape
        padded = not grid.present.all()
        q, k, v = (self._gather_windows(t, padded, at) for t in (q, k, v))
        q, v = (graph.node("Transpose", t, at=at, perm=[0, 1, 3, 2, 4]) for t in (q, v))
        k = graph.node("Transpose", k, at=at, perm=[0, 1, 3, 4, 2])
        scores = graph.node("MatMul", graph.half(q), graph.half(k), at=at)
        if padded:
            mask = np.where(grid.present, 0.0, MASKED_BIAS).astype(graph.attention_type)[:, None, None, :]
            scores = graph.node("Add", scores, graph.constant("window_mask", mask), at=at)
        y = graph.full(graph.node("MatMul", graph.node("Softmax", scores, at=at, axis=-1), graph.half(v), at=at))
        y = graph.node("Transpose", y, at=at, perm=[0, 1, 3, 2, 4])
        y = graph.node("Reshape", y, graph.shape(0, count * longest, self._heads, self._head_dim), at=at)
        if not padded:
            return y
        kept = graph.constant("window_kept", np.flatnonzero(grid.present).astype(np.int64))
        return graph.node("Gather", y, kept, at=at, axis=1)

    def _gather_windows(self, x: str, padded: bool, at: str) -> str:
        graph, (count, longest) = self._graph, self._grid.windows.shape
        if padded:
            x = graph.node("Gather", x, graph.constant("window_members", self._grid.windows.ravel()), at=at, axis=1)
        return graph.node("Reshape", x, graph.shape(0, count, longest, self._heads, self._head_dim), at=at)


def _gelu(graph: GraphWriter, x: str, at: str) -> str:
    """Exact GELU, 0.5 x (1 + erf(x / sqrt 2)), in the shape that runtimes fuse."""
    error = graph.node("Erf", graph.node("Div", x, graph.scalar(2.0**0.5), at=at), at=at)
    grown = graph.node("Mul", x, graph.node("Add", error, graph.scalar(1.0), at=at), at=at)
    return graph.node("Mul", grown, graph.scalar(0.5), at=at)
