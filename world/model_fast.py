"""The same computation as transformers' Qwen2.5-VL, batched for training on a CPU: equal grids together.

Works on the parameters of a `Qwen2_5_VLForConditionalGeneration` in place; a test holds both against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLForConditionalGeneration


@dataclass(frozen=True)
class Grid:
    """Patches of one picture: `rows` x `columns`, both multiples of the merge size."""

    rows: int
    columns: int


def patch_positions(grid: Grid, merge: int) -> np.ndarray:
    """(N, 2) row and column of each patch in Qwen's order: merge blocks row by row, inside each block row by row."""
    rows, columns = np.meshgrid(np.arange(grid.rows), np.arange(grid.columns), indexing="ij")
    stacked = np.stack([rows, columns], -1).reshape(grid.rows // merge, merge, grid.columns // merge, merge, 2)
    ordered: np.ndarray = stacked.transpose(0, 2, 1, 3, 4).reshape(-1, 2)
    return ordered


def patchify(frames: Tensor, grid: Grid, patch: int, merge: int) -> Tensor:
    """Pairs of pictures (B, 2, H, W, 3) uint8 as patches (B, N, 3*2*patch*patch) float32 in [0, 1], Qwen's order."""
    batch = frames.shape[0]
    blocks = frames.view(batch, 2, grid.rows // merge, merge, patch, grid.columns // merge, merge, patch, 3).permute(
        0, 2, 5, 3, 6, 8, 1, 4, 7
    )
    return blocks.reshape(batch, grid.rows * grid.columns, -1).float().mul_(1 / 255)


class FastVision:
    """Vision tower over batches of equal grids."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, mean: list[float], std: list[float]) -> None:
        self.visual = model.model.visual
        self.config = model.config.vision_config
        pixels = 2 * self.config.patch_size**2
        self._scale = (1 / torch.tensor(std)).repeat_interleave(pixels)
        self._shift = torch.tensor(mean).repeat_interleave(pixels)
        self._tables: dict[Grid, tuple[Tensor, Tensor, Tensor | None]] = {}

    def __call__(self, patches: Tensor, grid: Grid) -> Tensor:
        """Merged visual tokens (B, N / merge^2, width of the language model) of patches (B, N, P) in [0, 1]."""
        cos, sin, window = self._table(grid)
        weight = self.visual.patch_embed.proj.weight.flatten(1)
        scaled = weight * self._scale
        hidden = functional.linear(patches, scaled, -(scaled @ self._shift)).float()
        for index, block in enumerate(self.visual.blocks):
            mask = None if index in self.config.fullatt_block_indexes else window
            hidden = hidden + _vision_attention(block.attn, rms_norm(hidden, block.norm1), cos, sin, mask)
            hidden = hidden + swiglu(block.mlp, rms_norm(hidden, block.norm2))
        merger = self.visual.merger
        batch, count, _ = hidden.shape
        merged = rms_norm(hidden, merger.ln_q).reshape(batch, count // self.config.spatial_merge_size**2, -1)
        result: Tensor = merger.mlp(merged)
        return result

    def _table(self, grid: Grid) -> tuple[Tensor, Tensor, Tensor | None]:
        if grid not in self._tables:
            positions = torch.from_numpy(patch_positions(grid, self.config.spatial_merge_size))
            frequencies = self.visual.rotary_pos_emb.inv_freq.float()
            angles = (positions.float()[:, :, None] * frequencies).flatten(1)
            angles = torch.cat([angles, angles], -1)
            span = self.config.window_size // self.config.patch_size
            windows = positions // span
            same = (windows[:, None] == windows[None]).all(-1)
            mask = None if bool(same.all()) else torch.zeros(same.shape).masked_fill_(~same, FAR)
            self._tables[grid] = (angles.cos(), angles.sin(), mask)
        return self._tables[grid]


class FastLanguage:
    """Language model over one fixed layout of text and visual tokens (positions shared by the whole batch)."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration) -> None:
        self.language = model.model.language_model
        self.head = model.lm_head
        self.config = model.config.text_config

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (S, head width) for positions (3, S): time, row, column."""
        sections = self.config.rope_parameters["mrope_section"]
        frequencies = self.language.rotary_emb.inv_freq.float()
        angles = positions.float()[:, :, None] * frequencies
        picked = torch.cat([part[i % 3] for i, part in enumerate(angles.split(sections, dim=-1))], -1)
        picked = torch.cat([picked, picked], -1)
        return picked.cos(), picked.sin()

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of token ids."""
        result: Tensor = functional.embedding(ids, self.language.embed_tokens.weight)
        return result

    def __call__(
        self, hidden: Tensor, rotation: tuple[Tensor, Tensor], tap: int, keep_from: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Final normed hidden states (B, S - keep_from, D) and those after `tap` layers (B, S, D), from embeddings.

        The last layer is computed for the positions from `keep_from` on alone: nothing reads the others.
        """
        tapped, last = hidden, len(self.language.layers) - 1
        for index, layer in enumerate(self.language.layers):
            if index == tap:
                tapped = hidden
            skip = keep_from if index == last else 0
            normed = rms_norm(hidden, layer.input_layernorm)
            hidden = hidden[:, skip:] + self._attention(layer.self_attn, normed, rotation, skip)
            hidden = hidden + swiglu(layer.mlp, rms_norm(hidden, layer.post_attention_layernorm))
        return rms_norm(hidden, self.language.norm), tapped

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary."""
        result: Tensor = functional.linear(hidden, self.head.weight)
        return result

    def _attention(self, attention: nn.Module, hidden: Tensor, rotation: tuple[Tensor, Tensor], skip: int) -> Tensor:
        batch, length, _ = hidden.shape
        heads, shared = self.config.num_attention_heads, self.config.num_key_value_heads
        cos, sin = rotation
        query = attention.q_proj(hidden[:, skip:]).view(batch, length - skip, heads, -1).transpose(1, 2)
        key = attention.k_proj(hidden).view(batch, length, shared, -1).transpose(1, 2)
        value = attention.v_proj(hidden).view(batch, length, shared, -1).transpose(1, 2)
        query, key = rotate(query, cos[skip:], sin[skip:]), rotate(key, cos, sin)
        key, value = key.repeat_interleave(heads // shared, 1), value.repeat_interleave(heads // shared, 1)
        mask = torch.zeros(length - skip, length).masked_fill_(
            ~torch.ones(length - skip, length).bool().tril(skip), FAR
        )
        mixed = attend(query, key, value, mask)
        result: Tensor = attention.o_proj(mixed.transpose(1, 2).reshape(batch, length - skip, -1))
        return result


def rms_norm(hidden: Tensor, norm: nn.Module) -> Tensor:
    """Root-mean-square norm with the module's weight."""
    return functional.rms_norm(hidden, (hidden.shape[-1],), norm.weight, norm.variance_epsilon)


def swiglu(mlp: nn.Module, hidden: Tensor) -> Tensor:
    """Gated feed-forward block."""
    result: Tensor = mlp.down_proj(functional.silu(mlp.gate_proj(hidden)) * mlp.up_proj(hidden))
    return result


def rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding over the last dimension."""
    cos, sin = cos.to(states.dtype), sin.to(states.dtype)
    first, second = states.chunk(2, -1)
    return states * cos + torch.cat([-second, first], -1) * sin


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention (B, H, S, D) with an additive mask; two batched products train faster on a CPU than SDPA does."""
    batch, heads, length, width = query.shape
    query, key, value = query.flatten(0, 1) * width**-0.5, key.flatten(0, 1), value.flatten(0, 1)
    if mask is None:
        scores = torch.bmm(query, key.transpose(1, 2))
    else:
        scores = torch.baddbmm(mask.to(query.dtype).expand(len(query), *mask.shape), query, key.transpose(1, 2))
    weights = torch.softmax(scores, -1)
    return torch.bmm(weights, value).view(batch, heads, length, -1)


FAR = -1e4
"""Additive mask of what must not be attended to; safe in bfloat16."""


def _vision_attention(attention: nn.Module, hidden: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
    batch, count, width = hidden.shape
    query, key, value = (
        attention.qkv(hidden).view(batch, count, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    )
    query, key = rotate(query, cos, sin), rotate(key, cos, sin)
    mixed = attend(query, key, value, mask)
    result: Tensor = attention.proj(mixed.transpose(1, 2).reshape(batch, count, width))
    return result
