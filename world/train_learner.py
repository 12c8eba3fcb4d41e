"""One optimiser step at a time: the vision tower alone on dense truths, then the whole model on the expert's tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onboard_vla.world.model_assets import CAMERAS
from onboard_vla.world.model_build import LANGUAGE_WIDTH, MERGE, PATCH, camera_grids
from onboard_vla.world.model_fast import FastLanguage, FastVision, Grid, patchify
from onboard_vla.world.train_layout import ACTION
from onboard_vla.world.train_losses import ActionTargets, action_loss, auxiliary_loss, text_loss
from onboard_vla.world.train_samples import Batch, Samples

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLForConditionalGeneration

AUXILIARY_TAP = 2
"""The auxiliary head reads the token after the front video once two layers have run: two more can use what it holds."""
SIDE_GRADIENT_SHARE = 0.25
"""Share of steps in which the older pair and the side cameras, too, pass gradients to the vision tower (dear)."""


@dataclass(frozen=True)
class Schedule:
    """Steps and rates of one stage; the rate rises over `warmup` steps, then falls as a cosine to 2 %.

    `softness_m`: width of soft labels at the start, and where they end.
    """

    steps: int
    batch: int
    rate: float
    vision_rate: float
    warmup: int = 100
    softness_m: tuple[float, float] = (0.15, 0.04)

    def factor(self, step: int) -> float:
        """Fraction of the full rate at this step."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return 0.02 + 0.98 * (1 + math.cos(math.pi * min(done, 1.0))) / 2


class Learner:
    """Model, heads and optimiser. `blind`: every picture is one even grey, all else alike."""

    def __init__(
        self, model: Qwen2_5_VLForConditionalGeneration, samples: Samples, targets: ActionTargets, blind: bool
    ) -> None:
        self.model, self.samples, self.targets, self.blind = model, samples, targets, blind
        self.layout, self.precise = samples.layout, False
        self.vision = FastVision(model, CAMERAS["mean"], CAMERAS["std"])
        self.language = FastLanguage(model)
        self.grids = {camera: Grid(*grid) for camera, grid in camera_grids().items()}
        width = samples.targets.shape[1]
        spread = samples.targets.std(0)
        self.shift = torch.from_numpy(samples.targets.mean(0))
        self.scale = torch.from_numpy(1 / np.maximum(spread, 1e-3)).float()
        front = self.grids["front"]
        merged = front.rows * front.columns // MERGE**2
        self.vision_head = nn.Linear(merged * LANGUAGE_WIDTH, width)
        self.language_head = nn.Linear(LANGUAGE_WIDTH, width)
        nn.init.zeros_(self.vision_head.weight)
        self._rotations: dict[int, tuple[Tensor, Tensor]] = {}
        self.optimiser: torch.optim.AdamW | None = None

    def start(self, schedule: Schedule, whole: bool) -> None:
        """A fresh optimiser for a stage: the vision tower and its head, or (`whole`) everything."""
        groups = [{"params": list(self.model.model.visual.parameters()), "base": schedule.vision_rate}]
        groups.append({"params": list(self.vision_head.parameters()), "base": schedule.vision_rate})
        if whole:
            rest = [*self.model.model.language_model.parameters(), *self.language_head.parameters()]
            groups.append({"params": rest, "base": schedule.rate})
        self.optimiser = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

    def vision_step(self, chosen: NDArray[np.int64], rate_factor: float) -> float:
        """One step of the vision tower on the auxiliary truths, from the newest front pair; returns the loss."""
        pairs = self.samples.front_pairs(chosen, newest_only=True)[:, 0]
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.precise):
            tokens = self._see(pairs, "front")
        predicted = self.vision_head(tokens.float().flatten(1))
        loss = auxiliary_loss(predicted, self.samples, chosen, self.scale, self.shift)
        return self._descend(loss, rate_factor)

    def step(self, batch: Batch, rate_factor: float, softness_m: float, rng: np.random.Generator) -> dict[str, float]:
        """One step of the whole model; returns the losses."""
        tokens = self.visual_tokens(batch, deep=rng.random() < SIDE_GRADIENT_SHARE)
        logits, tapped = self.forward(batch.ids, tokens)
        kinds = batch.kinds[:, self.layout.prompt_length :].flatten()
        labels = batch.ids[:, self.layout.prompt_length :].flatten()
        actions = action_loss(logits[kinds == ACTION], self.samples, batch, self.targets, softness_m)
        text = text_loss(logits, labels, kinds) / len(batch.rows)
        loss = actions + text
        losses = {"action": actions.item(), "text": text.item()}
        if not self.blind:
            see = auxiliary_loss(self.language_head(tapped), self.samples, batch.rows, self.scale, self.shift)
            loss = loss + AUXILIARY_WEIGHT * see
            losses["see"] = see.item()
        self._descend(loss, rate_factor)
        return losses

    def visual_tokens(self, batch: Batch, deep: bool) -> Tensor:
        """(B, M, D) visual tokens in prompt order; without `deep` only the newest front pair carries gradients."""
        front, sides = batch.front, batch.sides
        if self.blind:
            front, sides = torch.full_like(front[:1], GREY), torch.full_like(sides[:1], GREY)
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.precise):
            newest = self._see(front[:, 1], "front")
            with torch.set_grad_enabled(deep and torch.is_grad_enabled()):
                older = self._see(front[:, 0], "front")
                others = self._see(sides.flatten(0, 2), "back")
        others = others.reshape(len(front), -1, others.shape[-1])
        return torch.cat([older, newest, others], 1).float().expand(len(batch.front), -1, -1)

    def forward(self, ids: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B * answer length, V) that predict each answer token, and the hidden state after the front video."""
        prompt = self.layout.prompt_length
        hidden = self.language.embed(ids).index_copy(1, torch.from_numpy(self.layout.visual_index), visual)
        cos, sin = self.rotation(ids.shape[1])
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.precise):
            final, tapped = self.language(hidden[:, :-1], (cos[:-1], sin[:-1]), AUXILIARY_TAP, keep_from=prompt - 1)
        logits = self.language.logits(final.float()).flatten(0, 1)
        return logits, tapped[:, self.layout.front_end].float()

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        return {
            "model": self.model.state_dict(),
            "vision_head": self.vision_head.state_dict(),
            "language_head": self.language_head.state_dict(),
            "optimiser": self.optimiser.state_dict() if self.optimiser is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`; every tensor must fit."""
        self.model.load_state_dict(state["model"], strict=True)
        self.vision_head.load_state_dict(state["vision_head"])
        self.language_head.load_state_dict(state["language_head"])
        if state["optimiser"] is not None and self.optimiser is not None:
            self.optimiser.load_state_dict(state["optimiser"])

    def save(self, path: Path, stage: str, step: int) -> None:
        """Write the state, whole or not at all."""
        partial = path.with_suffix(".partial")
        torch.save({"stage": stage, "step": step, **self.state()}, partial)
        partial.rename(path)

    def _see(self, pairs: Tensor, camera: str) -> Tensor:
        grid = self.grids[camera]
        return self.vision(patchify(pairs, grid, PATCH, MERGE), grid)

    def rotation(self, length: int) -> tuple[Tensor, Tensor]:
        """Rotary tables (length, head width) of the layout's positions."""
        if length not in self._rotations:
            self._rotations[length] = self.language.rotation(self.layout.positions(self.model, length))
        return self._rotations[length]

    def _descend(self, loss: Tensor, rate_factor: float) -> float:
        if self.optimiser is None:
            raise RuntimeError("start a stage before stepping")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * rate_factor
            nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimiser.step()
        return float(loss.detach())


AUXILIARY_WEIGHT = 0.5
GREY = 128
"""What the blind model sees in every pixel."""
