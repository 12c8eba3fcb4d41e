"""Which tensors a Qwen2.5-VL checkpoint must hold, under which names, in which shapes.

Files written by `save_pretrained` (and the Hub's) name tensors in the old style, live modules in the new one:

    canonical            old style              new style
    visual.*             visual.*               model.visual.*
    text.*               model.*                model.language_model.*
    head.weight          lm_head.weight         lm_head.weight
"""

from __future__ import annotations

from collections.abc import Iterable

from onboard_vla.core.bundle_manifest import TextDimensions, VisionDimensions
from onboard_vla.core.errors import CheckpointError

HEAD = "head.weight"
EMBEDDING = "text.embed_tokens.weight"
NEW_STYLE = (("model.visual.", "visual."), ("model.language_model.", "text."), ("lm_head.", "head."))
OLD_STYLE = (("visual.", "visual."), ("model.", "text."), ("lm_head.", "head."))
DERIVED_SUFFIXES = ("rotary_emb.inv_freq", "rotary_pos_emb.inv_freq")
"""Buffers that older library versions saved; they follow from the configuration and are not read."""

Shape = tuple[int, ...]


def canonical_names(keys: Iterable[str]) -> dict[str, str]:
    """Map canonical names to the file's names; a key of neither style keeps its own name.

    Raises:
        CheckpointError: two keys are one tensor of the model; both are named, and which counts is nobody's guess.
    """
    keys = list(keys)
    style = _style_of(keys)
    names: dict[str, str] = {}
    for key in keys:
        if key.endswith(DERIVED_SUFFIXES):
            continue
        other = names.setdefault(_replaced(key, style), key)
        if other != key:
            raise CheckpointError(
                f"the checkpoint holds {other} and {key}, which are one tensor of the model: save it again with one"
            )
    return names


def live_names(names: Iterable[str]) -> list[str]:
    """Canonical names as a live model of transformers calls them."""
    back = tuple((canonical, prefix) for prefix, canonical in NEW_STYLE)
    return [_replaced(name, back) for name in names]


def file_names(names: Iterable[str], keys: Iterable[str]) -> list[str]:
    """Canonical names as a file with the keys `keys` would call them."""
    back = tuple((canonical, prefix) for prefix, canonical in _style_of(keys))
    return [_replaced(name, back) for name in names]


def _style_of(keys: Iterable[str]) -> tuple[tuple[str, str], ...]:
    new_style = any(key.startswith(("model.visual.", "model.language_model.")) for key in keys)
    return NEW_STYLE if new_style else OLD_STYLE


def _replaced(key: str, prefixes: tuple[tuple[str, str], ...]) -> str:
    for prefix, replacement in prefixes:
        if key.startswith(prefix):
            return replacement + key[len(prefix) :]
    return key


def expected_shapes(text: TextDimensions, vision: VisionDimensions, tied: bool) -> dict[str, Shape]:
    """Canonical name and shape of every tensor that the model needs; a tied head has no tensor of its own."""
    shapes = _vision_shapes(vision, text.hidden_size) | _text_shapes(text)
    if not tied:
        shapes[HEAD] = (text.vocabulary_size, text.hidden_size)
    return shapes


def _linear(name: str, outputs: int, inputs: int, bias: bool) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {f"{name}.weight": (outputs, inputs)}
    if bias:
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


def _vision_shapes(vision: VisionDimensions, text_hidden: int) -> dict[str, Shape]:
    width, inner = vision.hidden_size, vision.intermediate_size
    merged = width * vision.merge_size**2
    patch = (vision.channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    shapes: dict[str, Shape] = {"visual.patch_embed.proj.weight": (width, *patch)}
    for i in range(vision.depth):
        block = f"visual.blocks.{i}"
        shapes |= {f"{block}.norm1.weight": (width,), f"{block}.norm2.weight": (width,)}
        shapes |= _linear(f"{block}.attn.qkv", 3 * width, width, True)
        shapes |= _linear(f"{block}.attn.proj", width, width, True)
        shapes |= _linear(f"{block}.mlp.gate_proj", inner, width, True)
        shapes |= _linear(f"{block}.mlp.up_proj", inner, width, True)
        shapes |= _linear(f"{block}.mlp.down_proj", width, inner, True)
    shapes["visual.merger.ln_q.weight"] = (width,)
    shapes |= _linear("visual.merger.mlp.0", merged, merged, True)
    shapes |= _linear("visual.merger.mlp.2", text_hidden, merged, True)
    return shapes


def _text_shapes(text: TextDimensions) -> dict[str, Shape]:
    width, inner = text.hidden_size, text.intermediate_size
    queries, keys = text.heads * text.head_dim, text.kv_heads * text.head_dim
    shapes: dict[str, Shape] = {EMBEDDING: (text.vocabulary_size, width)}
    for i in range(text.layers):
        layer = f"text.layers.{i}"
        shapes |= {f"{layer}.input_layernorm.weight": (width,), f"{layer}.post_attention_layernorm.weight": (width,)}
        shapes |= _linear(f"{layer}.self_attn.q_proj", queries, width, True)
        shapes |= _linear(f"{layer}.self_attn.k_proj", keys, width, True)
        shapes |= _linear(f"{layer}.self_attn.v_proj", keys, width, True)
        shapes |= _linear(f"{layer}.self_attn.o_proj", width, queries, False)
        shapes |= _linear(f"{layer}.mlp.gate_proj", inner, width, False)
        shapes |= _linear(f"{layer}.mlp.up_proj", inner, width, False)
        shapes |= _linear(f"{layer}.mlp.down_proj", width, inner, False)
    shapes["text.norm.weight"] = (width,)
    return shapes
