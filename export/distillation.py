"""A depth-pruned student: fewer language layers, distilled from the checkpoint on scenes, logits and motion.

The layers that change the hidden state least go (block influence: Men et al. 2024, ShortGPT, arXiv:2403.03853). Vision
encoder, embeddings and head stay the teacher's and are not trained. The student learns fast answers: the teacher's
distribution over the actions and the fork, along the teacher's own tokens (Hinton et al. 2015, arXiv:1503.02531), and
the motion in metres that it expects of every action. Its slow thinking is not trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import logging

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.lessons import Lesson, batches, lessons_hash
from onboard_vla.export.scene_runner import Sizes
from onboard_vla.export.transformers_oracle import load_model

SAVE_EVERY = 50
INFLUENCE_LESSONS = 64
MOTION_WEIGHT = 1.0
"""Weight of a metre of expected motion beside a nat of divergence."""
FORK_WEIGHT = 1.0
"""Weight of the fork's divergence, one a scene, beside the mean of its actions'."""
FINAL_RATE = 0.02
WARM_UP_STEPS = 50
STATE_FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """All that shapes a student beside checkpoint and scenes."""

    layers: int
    steps: int = 1200
    batch: int = 16
    rate: float = 1e-3
    seed: int = 0

    def factor(self, step: int) -> float:
        """Share of the full rate at this step: up over the first ones, then a cosine."""
        if step < WARM_UP_STEPS:
            return (step + 1) / WARM_UP_STEPS
        done = (step - WARM_UP_STEPS) / max(self.steps - WARM_UP_STEPS, 1)
        return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


@dataclass(frozen=True)
class Exam:
    """Over lessons not learnt from, along the teacher's tokens: divergence in nats, motion error in metres."""

    lessons: int
    divergence_nats: float
    motion_m: float
    token_agreement: float
    fork_agreement: float


class Student:
    """A model of some of the teacher's layers, and its training."""

    def __init__(self, checkpoint: Path, sizes: Sizes, codebook_ends: np.ndarray[Any, Any], recipe: Recipe) -> None:
        """`codebook_ends`: (K, 2) end points of the codebook's motions, metres."""
        if not 0 < recipe.layers < sizes.model.text.layers:
            raise CheckpointError(
                f"{checkpoint} has {sizes.model.text.layers} language layers: a student has fewer and at least one, "
                f"found {recipe.layers}"
            )
        torch.manual_seed(recipe.seed)
        logging.disable_progress_bar()
        self.model = load_model(checkpoint)
        self._language = self.model.model.language_model
        self._sizes, self._recipe = sizes, recipe
        self._ends = torch.from_numpy(codebook_ends.astype(np.float32))
        self._lessons = ""
        self.kept: tuple[int, ...] = tuple(range(sizes.model.text.layers))

    @torch.no_grad()
    def influence(self, lessons: Sequence[Lesson]) -> list[float]:
        """One minus the mean cosine between each layer's input and output, over the lessons' tokens."""
        layers, chosen = self._language.layers, lessons[:INFLUENCE_LESSONS]
        found = np.zeros(len(layers))

        def note(index: int, before: Tensor, after: Tensor | tuple[Tensor, ...]) -> None:
            after = after[0] if isinstance(after, tuple) else after
            found[index] += float(1 - functional.cosine_similarity(before, after, dim=-1).mean()) / len(chosen)

        hooks = [
            layer.register_forward_hook(
                lambda _, inputs, named, after, at=index: note(
                    at, inputs[0] if inputs else named["hidden_states"], after
                ),
                with_kwargs=True,
            )
            for index, layer in enumerate(layers)
        ]
        for lesson in chosen:
            self._run(_stacked([lesson]))
        for hook in hooks:
            hook.remove()
        return [float(value) for value in found]

    def prune(self, influence: Sequence[float]) -> None:
        """Keep the layers with the most influence, in their order."""
        order = sorted(range(len(influence)), key=lambda index: (-influence[index], index))
        self._keep(tuple(sorted(order[: self._recipe.layers])))

    def learn(self, lessons: Sequence[Lesson], state: Path, report: Callable[[float, str], None]) -> None:
        """Train, from `state` on if it is there; it is written every `SAVE_EVERY` steps."""
        recipe, rows = self._recipe, self._trained()
        self._lessons = lessons_hash(lessons)
        optimiser = torch.optim.AdamW(rows, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)
        start, smooth = self._resume(state, optimiser), 0.0
        for step, chosen in enumerate(batches(len(lessons), recipe.batch, recipe.steps, recipe.seed, start), start):
            loss = self._loss(_stacked([lessons[i] for i in chosen]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(rows, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate * recipe.factor(step)
            optimiser.step()
            smooth = loss.item() if step == start else 0.95 * smooth + 0.05 * loss.item()
            report((step + 1) / recipe.steps, f"loss {smooth:.3f}")
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == recipe.steps:
                self._save(state, optimiser, step + 1)

    @torch.no_grad()
    def examine(self, lessons: Sequence[Lesson]) -> Exam:
        """Ask what was not learnt from."""
        sums = np.zeros(4)
        for at in range(0, len(lessons), self._recipe.batch):
            batch = _stacked(lessons[at : at + self._recipe.batch])
            actions, fork = self._scores(batch)
            divergence, motion = self._differences(actions, batch)
            same = (actions.argmax(-1) == batch.actions.argmax(-1)).float().mean(-1)
            forks = (fork[:, 0] > fork[:, 1]) == (batch.fork[:, 0] > batch.fork[:, 1])
            sums += [float(value.sum()) for value in (divergence.mean(-1), motion.mean(-1), same, forks.float())]
        return Exam(len(lessons), *(float(value) for value in sums / len(lessons)))

    def save(self, folder: Path) -> None:
        """Write weights (float16) and configuration as `save_pretrained` does."""
        self.model.half().save_pretrained(folder)

    def _keep(self, layers: tuple[int, ...]) -> None:
        modules = [self._language.layers[index] for index in layers]
        for index, module in enumerate(modules):
            module.self_attn.layer_idx = index
        self._language.layers = nn.ModuleList(modules)
        config = self.model.config.text_config
        config.num_hidden_layers = len(layers)
        config.layer_types = [config.layer_types[index] for index in layers]
        self.kept = layers

    def _trained(self) -> list[nn.Parameter]:
        """Parameters of layers and final norm; all others keep the teacher's values."""
        self.model.requires_grad_(False)
        self._language.layers.requires_grad_(True)
        self._language.norm.requires_grad_(True)
        return [parameter for parameter in self._language.parameters() if parameter.requires_grad]

    def _run(self, batch: _Batch) -> Tensor:
        """Normed hidden states (B, S, D)."""
        found = self._language(inputs_embeds=batch.embeddings, position_ids=batch.positions, use_cache=False)
        hidden: Tensor = found.last_hidden_state
        return hidden

    def _scores(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Log-probabilities over the whole vocabulary: of the actions (B, T, count), and of both forks (B, 2)."""
        hidden = self._run(batch)
        wanted = hidden.gather(1, batch.rows[..., None].expand(-1, -1, hidden.shape[-1]))
        scores = functional.log_softmax(functional.linear(wanted, self.model.lm_head.weight), -1)
        actions, answer = self._sizes.actions, self._sizes.answer
        return (
            scores[:, 1:, actions.first_id : actions.first_id + actions.count],
            scores[:, 0, [answer.fast_fork, answer.slow_fork]],
        )

    def _differences(self, actions: Tensor, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Per action (B, T): divergence from the teacher in nats, distance of the expected motions in metres."""
        teacher = functional.log_softmax(batch.actions, -1)
        divergence = (teacher.exp() * (teacher - actions)).sum(-1)
        gap = (functional.softmax(actions, -1) - teacher.exp()) @ self._ends
        return divergence, torch.sqrt(gap.square().sum(-1) + 1e-6)

    def _loss(self, batch: _Batch) -> Tensor:
        actions, fork = self._scores(batch)
        divergence, motion = self._differences(actions, batch)
        expected = functional.log_softmax(batch.fork, -1)
        forks = (expected.exp() * (expected - fork)).sum(-1)
        return divergence.mean() + MOTION_WEIGHT * motion.mean() + FORK_WEIGHT * forks.mean() / actions.shape[1]

    def _save(self, path: Path, optimiser: torch.optim.Optimizer, step: int) -> None:
        partial = path.with_suffix(".partial")
        content = {"format": STATE_FORMAT, "step": step, **self._origin()}
        trained = {"layers": self._language.layers.state_dict(), "norm": self._language.norm.state_dict()}
        torch.save({**content, **trained, "optimiser": optimiser.state_dict()}, partial)
        partial.rename(path)

    def _origin(self) -> dict[str, Any]:
        """What a state must have been made by to be gone on from."""
        return {"kept": list(self.kept), "recipe": vars(self._recipe), "lessons": self._lessons}

    def _resume(self, path: Path, optimiser: torch.optim.Optimizer) -> int:
        """Take over what an earlier run left; the step to go on from.

        Raises:
            CheckpointError: it was made by another recipe.
        """
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True)
        if {name: state.get(name) for name in ("format", *self._origin())} != {
            "format": STATE_FORMAT,
            **self._origin(),
        }:
            raise CheckpointError(f"{path} was left by another recipe: remove it to begin anew, or give that recipe")
        self._language.layers.load_state_dict(state["layers"])
        self._language.norm.load_state_dict(state["norm"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])


@dataclass(frozen=True, eq=False)
class _Batch:
    """`embeddings` (B, S, D), `positions` (3, B, S), `rows` (B, 1 + T), `fork` (B, 2), `actions` (B, T, count).

    Shorter lessons are padded at their end, which no row sees.
    """

    embeddings: Tensor
    positions: Tensor
    rows: Tensor
    fork: Tensor
    actions: Tensor


def _stacked(lessons: Sequence[Lesson]) -> _Batch:
    longest, width = max(len(lesson.embeddings) for lesson in lessons), lessons[0].embeddings.shape[1]
    embeddings = np.zeros((len(lessons), longest, width), np.float32)
    positions = np.zeros((3, len(lessons), longest), np.int64)
    for index, lesson in enumerate(lessons):
        embeddings[index, : len(lesson.embeddings)] = lesson.embeddings
        positions[:, index, : lesson.positions.shape[1]] = lesson.positions
    rows = np.array([[lesson.fork_row, *lesson.action_rows] for lesson in lessons])
    return _Batch(
        torch.from_numpy(embeddings),
        torch.from_numpy(positions),
        torch.from_numpy(rows),
        torch.from_numpy(np.stack([lesson.fork for lesson in lessons])),
        torch.from_numpy(np.stack([lesson.actions for lesson in lessons]).astype(np.float32)),
    )
