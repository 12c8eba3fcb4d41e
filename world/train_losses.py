"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from onboard_vla.core.codebook import Codebook
from onboard_vla.world.train_layout import END, FORK, REASONING, TEMPLATE
from onboard_vla.world.train_samples import Batch, Samples

KIND_WEIGHTS = {TEMPLATE: 0.05, FORK: 0.5, REASONING: 0.1, END: 0.1}
"""Weights of answer tokens beside action tokens (1): the template is learnt at once, the actions carry the task."""
MOTION_WEIGHT = 1.0
"""Weight per metre of the expected motion's corner error, beside nats of cross entropy."""


@dataclass(frozen=True)
class ActionTargets:
    """The codebook as tensors. `contours` (K, 8): final corners."""

    contours: Tensor
    first_action: int

    @staticmethod
    def of(codebook: Codebook, first_action: int) -> ActionTargets:
        """Prepare from a codebook."""
        return ActionTargets(torch.from_numpy(codebook.contours[:, -1].reshape(codebook.size, 8)), first_action)


def action_loss(logits: Tensor, samples: Samples, batch: Batch, targets: ActionTargets, softness_m: float) -> Tensor:
    """Cross entropy of action logits (B * T, V) with labels softened over codebook neighbours, plus the motion's error.

    `softness_m`: a neighbour's label falls with exp(-(d / softness)^2 / 2), d the mean corner distance; 0: hard labels.
    """
    neighbours = torch.from_numpy(samples.neighbours[batch.rows]).flatten(0, 1)
    scores = functional.log_softmax(logits, -1)
    if softness_m > 0:
        distances = torch.from_numpy(samples.distances[batch.rows]).flatten(0, 1)
        label = torch.softmax(-((distances / softness_m) ** 2) / 2, -1)
        entropy = -(label * scores.gather(1, neighbours + targets.first_action)).sum(-1).mean()
    else:
        entropy = functional.nll_loss(scores, neighbours[:, 0] + targets.first_action)
    actions = scores[:, targets.first_action : targets.first_action + len(targets.contours)].exp()
    expected = actions @ targets.contours
    gap = (expected - targets.contours[neighbours[:, 0]]).view(-1, 4, 2)
    motion = torch.sqrt(gap.square().sum(-1) + 1e-6).mean()
    return entropy + MOTION_WEIGHT * motion


def text_loss(logits: Tensor, labels: Tensor, kinds: Tensor) -> Tensor:
    """Weighted cross entropy of the answer's other tokens, per sample's worth of action tokens."""
    weights = torch.zeros(len(labels))
    for kind, weight in KIND_WEIGHTS.items():
        weights[kinds == kind] = weight
    chosen = weights > 0
    losses = functional.cross_entropy(logits[chosen], labels[chosen], reduction="none")
    return (losses * weights[chosen]).sum()


def auxiliary_loss(predicted: Tensor, samples: Samples, batch_rows: np.ndarray, scale: Tensor, shift: Tensor) -> Tensor:
    """Huber loss of standardised auxiliary values (B, A)."""
    target = (torch.from_numpy(samples.targets[batch_rows]) - shift) * scale
    return functional.smooth_l1_loss(predicted, target, beta=0.3)
