"""Greedy decoding in batches with a key-value cache, for measuring the model while it trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from onboard_vla.world.model_fast import FAR, FastLanguage, rms_norm, rotate, swiglu
from onboard_vla.world.train_learner import Learner
from onboard_vla.world.train_samples import Batch


@dataclass(frozen=True, eq=False)
class Decoded:
    """`actions` (B, T) int64 codebook indices; `slow` (B,) bool, what the fork chose by itself."""

    actions: NDArray[np.int64]
    slow: NDArray[np.bool_]


class CachedLanguage:
    """Runs the language model on ever more tokens, keeping keys and values."""

    def __init__(self, language: FastLanguage) -> None:
        self._model = language
        self._cache: list[Tensor | None] = [None] * len(language.language.layers)

    def __call__(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Final hidden state (B, D) of the last of the new tokens (B, S, D)."""
        config = self._model.config
        heads, shared = config.num_attention_heads, config.num_key_value_heads
        for index, layer in enumerate(self._model.language.layers):
            attention, normed = layer.self_attn, rms_norm(hidden, layer.input_layernorm)
            batch, length, _ = normed.shape
            query = rotate(attention.q_proj(normed).view(batch, length, heads, -1).transpose(1, 2), cos, sin)
            key = rotate(attention.k_proj(normed).view(batch, length, shared, -1).transpose(1, 2), cos, sin)
            both = torch.stack([key, attention.v_proj(normed).view(batch, length, shared, -1).transpose(1, 2)])
            past = self._cache[index]
            both = both if past is None else torch.cat([past, both], 3)
            self._cache[index] = both
            key, value = both.repeat_interleave(heads // shared, 2)
            total = key.shape[2]
            seen = torch.ones(length, total).bool().tril(total - length)
            mask = torch.zeros(length, total).masked_fill_(~seen, FAR)
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            hidden = hidden + attention.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))
            hidden = hidden + swiglu(layer.mlp, rms_norm(hidden, layer.post_attention_layernorm))
        return rms_norm(hidden[:, -1], self._model.language.norm)


@torch.no_grad()
def decode_fast(learner: Learner, batch: Batch, visual: Tensor | None = None) -> Decoded:
    """Actions after the forced fast prefix, and the fork's own choice; `visual` replaces the batch's visual tokens."""
    layout, language = learner.layout, learner.language
    answer = layout.fast(np.zeros(layout.prompt.answer.action_count, np.int64))
    actions_at = int(np.flatnonzero(answer.kinds == 4)[0])
    prefix = torch.from_numpy(answer.ids[:actions_at])
    prompt = layout.prompt_length
    total = prompt + len(answer.ids)
    ids = torch.cat([batch.ids[:, :prompt], prefix.expand(len(batch.ids), -1)], 1)
    hidden = language.embed(ids)
    cos, sin = learner.rotation(total)
    tokens = learner.visual_tokens(batch, deep=False) if visual is None else visual
    hidden = hidden.index_copy(1, torch.from_numpy(layout.visual_index), tokens)
    model, at = CachedLanguage(language), 0
    forks = int(np.flatnonzero(answer.kinds == 2)[0])
    cut = hidden.shape[1] - (actions_at - forks)
    state = model(hidden[:, :cut], cos[:cut], sin[:cut])
    fork = language.logits(state)[:, list(layout.fork_ids)]
    state = model(hidden[:, cut:], cos[cut : hidden.shape[1]], sin[cut : hidden.shape[1]])
    at, chosen = hidden.shape[1], []
    first, last = layout.first_action, layout.first_action + len(learner.targets.contours)
    for step in range(layout.prompt.answer.action_count):
        token = language.logits(state)[:, first:last].argmax(-1)
        chosen.append(token)
        if step + 1 < layout.prompt.answer.action_count:
            state = model(language.embed(token + first)[:, None], cos[at : at + 1], sin[at : at + 1])
            at += 1
    return Decoded(torch.stack(chosen, 1).numpy(), (fork[:, 1] > fork[:, 0]).numpy())


@torch.no_grad()
def hidden_at_first_action(learner: Learner, batch: Batch) -> Tensor:
    """(B, D) final hidden state behind the forced fast prefix, which the first action is chosen from."""
    layout, language = learner.layout, learner.language
    answer = layout.fast(np.zeros(layout.prompt.answer.action_count, np.int64))
    prefix = torch.from_numpy(answer.ids[: int(np.flatnonzero(answer.kinds == 4)[0])])
    ids = torch.cat([batch.ids[:, : layout.prompt_length], prefix.expand(len(batch.ids), -1)], 1)
    tokens = learner.visual_tokens(batch, deep=False)
    hidden = language.embed(ids).index_copy(1, torch.from_numpy(layout.visual_index), tokens)
    cos, sin = learner.rotation(hidden.shape[1])
    return CachedLanguage(language)(hidden, cos, sin)
