"""The language model as one ONNX graph for prefill and decode.

Embedding lookup, vision merge, mRoPE angles and masks are the host's work. The key-value cache is read as
(P, kv_heads, head_dim) inputs; only the S new entries leave the graph, so the host binds them straight to their place.
Inside, activations are (1, S, D): ONNX Runtime turns MatMul + Add of plain matrices into Gemm, which it then does not
fuse with INT8 operands. The last layer computes queries, MLP and head for the wanted `rows` alone: of the others only
keys and values matter.

With a head of the actions there is a second list of wanted rows, `action_rows`, for which the action tokens' logits
are computed alone, from copies of the head's columns. It need not be given: it is empty then, and a product of no rows
costs nothing. So a pass says by its lists which head it needs. An output that nobody fetches ONNX Runtime computes all
the same (`only_execute_path_to_fetches` is for its training builds: microsoft/onnxruntime, issue 16013).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from onboard_vla.core.bundle_manifest import TextDimensions
from onboard_vla.export.external_data import Constants
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.linear_layers import LinearWriter
from onboard_vla.export.weights import ACTION_HEAD, HEAD, Weights

FILE_NAME = "language.onnx"
NEW, PAST, TOTAL, ROWS = "new_tokens", "past_tokens", "total_tokens", "wanted_rows"
ACTION_ROWS = "wanted_action_rows"
HIDDEN, HIDDEN_BEFORE = "hidden", "hidden_before"
"""What flows out of a piece of the graph and into the next."""
CACHE = "new_"
"""Starts the names of the keys and values that a run gives."""


def language_graph(
    text: TextDimensions,
    weights: Weights,
    linears: LinearWriter,
    *,
    external: Constants | None = None,
    piece: range | None = None,
    action_head: bool = False,
) -> onnx.ModelProto:
    """Write the graph; `weights` gives the norms, `linears` writes the linear layers, into `external` if given.

    `action_head`: with the action tokens' logits alone as a second output; of a whole graph, for pieces have none.
    `piece`: only these of the model's `layers + 1` steps, the last of which is norm and head. What flows between pieces
    is `hidden` (1, S, D).
    """
    action_head, piece = action_head and piece is None, piece or range(text.layers + 1)
    graph = GraphWriter("language", linears, external)
    x = _entry(graph, text, piece.start == 0)
    last = text.layers - 1
    layers = [step for step in piece if step < text.layers]
    if layers:
        cos = graph.input("cos", (NEW, text.head_dim))
        sin = graph.input("sin", (NEW, text.head_dim))
        bias = graph.half(graph.input("bias", (NEW, TOTAL)))
        wanted = [graph.input("rows", (ROWS,), TensorProto.INT64)] if last in layers else []
        if action_head:
            wanted.append(graph.input("action_rows", (ACTION_ROWS,), TensorProto.INT64, np.empty(0, np.int64)))
        rows = _joined(graph, wanted)
        rotation = _Rotation(graph, text.head_dim, cos, sin)
        for i in layers:
            x = _layer(graph, text, weights, i, x, rotation, bias, rows if i == last else None)
    if text.layers not in piece:
        graph.output(x, HIDDEN, (1, None, text.hidden_size))
        return graph.model()
    x = graph.rms_norm(x, weights.vector("text.norm"), text.rms_norm_eps, "text.norm")
    if action_head:
        counts = graph.node("Concat", *(graph.node("Shape", each, at="wanted") for each in wanted), at="wanted", axis=0)
        x = graph.node("Split", x, counts, at="wanted", outputs=2, axis=1)
        few = graph.node("Squeeze", graph.linear(f"{x}/1", ACTION_HEAD), graph.shape(0), at=ACTION_HEAD)
        graph.output(few, "action_logits", (ACTION_ROWS, weights.shape(ACTION_HEAD)[1]))
    logits = graph.node("Squeeze", graph.linear(x, HEAD), graph.shape(0), at=HEAD)
    if weights.shape(HEAD)[1] > text.vocabulary_size:
        ends = graph.shape(0), graph.shape(text.vocabulary_size), graph.shape(1)
        logits = graph.node("Slice", logits, *ends, at=HEAD)
    graph.output(logits, "logits", (ROWS, text.vocabulary_size))
    return graph.model()


def _joined(graph: GraphWriter, lists: list[str]) -> str | None:
    if len(lists) > 1:
        return graph.node("Concat", *lists, at="wanted", axis=0)
    return lists[0] if lists else None


def _entry(graph: GraphWriter, text: TextDimensions, first: bool) -> str:
    if not first:
        return graph.input(HIDDEN_BEFORE, (1, None, text.hidden_size))
    return graph.node("Unsqueeze", graph.input("embeds", (NEW, text.hidden_size)), graph.shape(0), at="embeds")


class _Rotation:
    """cos and sin as the layers need them: one head axis, sin signed, and for queries scaled by 1 / sqrt(head_dim)."""

    def __init__(self, graph: GraphWriter, head_dim: int, cos: str, sin: str) -> None:
        at, scale = "rotary", graph.scalar(head_dim**-0.5)
        signs = np.repeat(np.array([-1, 1], np.float32), head_dim // 2)
        sin = graph.node("Mul", sin, graph.constant("rotary_signs", signs), at=at)
        cos, sin = (graph.node("Unsqueeze", value, graph.shape(1), at=at) for value in (cos, sin))
        self.key = cos, sin
        self.query = graph.node("Mul", cos, scale, at=at), graph.node("Mul", sin, scale, at=at)


def _layer(
    graph: GraphWriter,
    text: TextDimensions,
    weights: Weights,
    index: int,
    x: str,
    rotation: _Rotation,
    bias: str,
    rows: str | None,
) -> str:
    """One decoder layer; with `rows`, only those rows of x come out."""
    at = f"text.layers.{index}"
    normed = graph.rms_norm(x, weights.vector(f"{at}.input_layernorm"), text.rms_norm_eps, f"{at}.input_layernorm")
    keys, values = _cached_keys_and_values(graph, text, index, normed, rotation)
    cos, sin = rotation.query
    if rows is not None:
        x, normed = (graph.node("Gather", value, rows, at=f"{at}.wanted", axis=1) for value in (x, normed))
        cos, sin, bias = (graph.node("Gather", value, rows, at=f"{at}.wanted", axis=0) for value in (cos, sin, bias))
    mixed = _attention(graph, text, f"{at}.self_attn", normed, keys, values, (cos, sin), bias)
    x = graph.node("Add", x, graph.linear(mixed, f"{at}.self_attn.o_proj"), at=at)
    gain = weights.vector(f"{at}.post_attention_layernorm")
    normed = graph.rms_norm(x, gain, text.rms_norm_eps, f"{at}.post_attention_layernorm")
    return graph.node("Add", x, graph.gated_mlp(normed, f"{at}.mlp"), at=at)


def _cached_keys_and_values(
    graph: GraphWriter, text: TextDimensions, index: int, normed: str, rotation: _Rotation
) -> tuple[str, str]:
    """Keys (after rotary) and values (T, kv_heads, head_dim): the cache's P entries, then the S new ones."""
    at, per_head = f"text.layers.{index}.self_attn", (text.kv_heads, text.head_dim)
    split = graph.shape(-1, *per_head)
    k = graph.node("Reshape", graph.linear(normed, f"{at}.k_proj"), split, at=at)
    v = graph.node("Reshape", graph.linear(normed, f"{at}.v_proj"), split, at=at)
    k = graph.rotate(k, *rotation.key, text.head_dim // 2, f"{at}.k_rotary")
    joined = []
    for kind, new in (("key", k), ("value", v)):
        past = graph.input(f"past_{kind}_{index}", (PAST, *per_head))
        graph.output(new, f"new_{kind}_{index}", (NEW, *per_head))
        joined.append(graph.node("Concat", past, new, at=at, axis=0))
    return joined[0], joined[1]


def _attention(
    graph: GraphWriter,
    text: TextDimensions,
    at: str,
    normed: str,
    keys: str,
    values: str,
    rotation: tuple[str, str],
    bias: str,
) -> str:
    """Grouped-query attention, (kv_heads, group, S, T) inside; returns (1, S, heads * head_dim)."""
    group = text.heads // text.kv_heads
    q = graph.node("Reshape", graph.linear(normed, f"{at}.q_proj"), graph.shape(-1, text.heads, text.head_dim), at=at)
    q = graph.rotate(q, *rotation, text.head_dim // 2, f"{at}.q_rotary")
    q = graph.node("Reshape", q, graph.shape(-1, text.kv_heads, group, text.head_dim), at=at)
    q = graph.node("Transpose", q, at=at, perm=[1, 2, 0, 3])
    k = graph.node("Unsqueeze", graph.node("Transpose", keys, at=at, perm=[1, 2, 0]), graph.shape(1), at=at)
    v = graph.node("Unsqueeze", graph.node("Transpose", values, at=at, perm=[1, 0, 2]), graph.shape(1), at=at)
    scores = graph.node("Add", graph.node("MatMul", graph.half(q), graph.half(k), at=at), bias, at=at)
    mixed = graph.node("MatMul", graph.node("Softmax", scores, at=at, axis=-1), graph.half(v), at=at)
    mixed = graph.node("Transpose", graph.full(mixed), at=at, perm=[2, 0, 1, 3])
    return graph.node("Reshape", mixed, graph.shape(1, -1, text.heads * text.head_dim), at=at)
