"""Training of the continuous head: poses from the reference checkpoint's hidden state, whose weights stay frozen.

    python -m onboard_vla.world.train_head WORK_FOLDER

`WORK_FOLDER` is that of a training run (`onboard-vla train`), whose episodes are read. Prints the displacement errors
on validation worlds beside those of the action tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onboard_vla.core.codebook import Codebook
from onboard_vla.core.prompt import PromptTemplate
from onboard_vla.runtime.trajectory_decoders import HEAD_FORMAT, embeddings_sha256
from onboard_vla.world.dataset_store import episode_path, load_frames
from onboard_vla.world.train_decode import decode_fast, hidden_at_first_action
from onboard_vla.world.train_layout import Layout
from onboard_vla.world.train_learner import Learner
from onboard_vla.world.train_losses import ActionTargets
from onboard_vla.world.train_measure import constant_velocity, displacement
from onboard_vla.world.train_plan import FULL, Workplace, jobs
from onboard_vla.world.train_samples import Samples
from onboard_vla.world.train_stages import measured_rows

CHECKPOINT = Path(__file__).parent / "reference"
HEAD_FILE = Path(__file__).parent / "continuous_head.npz"
INNER = 256
BATCH, STEPS, RATE, DECAY, DROPOUT = 256, 3000, 2e-3, 0.05, 0.1
STATES_BATCH = 64
HELD_OUT = 0.1
"""Share of the training samples, whole episodes, that decides which step's weights are kept."""


def states(learner: Learner, samples: Samples, chosen: NDArray[np.int64]) -> Tensor:
    """(N, D) hidden states at the first action of the chosen samples."""
    parts = range(0, len(chosen), STATES_BATCH)
    return torch.cat(
        [hidden_at_first_action(learner, samples.batch(chosen[i : i + STATES_BATCH], None)) for i in parts]
    )


def fit(hidden: Tensor, poses: Tensor, held_out: NDArray[np.bool_], seed: int) -> nn.Sequential:
    """Train on L1 of the poses, each coordinate in units of its spread; keeps the best step on what is held out."""
    torch.manual_seed(seed)
    middle, spread = hidden.mean(0), hidden.std(0) + 1e-6
    target_middle, target_spread = poses.mean(0), poses.std(0) + 1e-3
    head = nn.Sequential(nn.Linear(hidden.shape[1], INNER), nn.SiLU(), nn.Dropout(DROPOUT), nn.Linear(INNER, 30))
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    inputs, targets = (hidden - middle) / spread, (poses - target_middle) / target_spread
    train, test = torch.from_numpy(np.flatnonzero(~held_out)), torch.from_numpy(np.flatnonzero(held_out))
    best, kept = float("inf"), {name: value.clone() for name, value in head.state_dict().items()}
    for step in range(STEPS):
        head.train()
        rows = train[torch.randint(len(train), (BATCH,))]
        loss = (head(inputs[rows]) - targets[rows]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            head.eval()
            with torch.no_grad():
                error = float((head(inputs[test]) - targets[test]).abs().mean())
            if error < best:
                best, kept = error, {name: value.clone() for name, value in head.state_dict().items()}
    head.load_state_dict(kept)
    head.eval()
    with torch.no_grad():  # the normalisations become part of the layers
        first, second = head[0], head[3]
        first.weight /= spread
        first.bias -= first.weight @ middle
        second.weight *= target_spread[:, None]
        second.bias.mul_(target_spread).add_(target_middle)
    return head


def save(head: nn.Sequential, embeddings: NDArray[np.float32], path: Path) -> None:
    """Write the head as float16."""
    first, second = head[0], head[3]
    np.savez_compressed(
        path,
        format=np.int64(HEAD_FORMAT),
        embeddings_sha256=np.str_(embeddings_sha256(embeddings)),
        first=first.weight.detach().T.numpy().astype(np.float16),
        first_bias=first.bias.detach().numpy().astype(np.float16),
        second=second.weight.detach().T.numpy().astype(np.float16),
        second_bias=second.bias.detach().numpy().astype(np.float16),
    )


def main() -> int:
    """Train, save, print."""
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--episodes", type=int, default=80, help="training episodes, spread over all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HEAD_FILE)
    arguments = parser.parse_args()
    place, codebook = Workplace(arguments.work), Codebook.load(CHECKPOINT / "codebook.npz")
    layout = Layout(PromptTemplate.load(CHECKPOINT / "prompt.json"), AutoTokenizer.from_pretrained(CHECKPOINT))
    recorded = [path for job in jobs(FULL, False) if (path := episode_path(place.episodes, job[0], job[1])).exists()]
    chosen = recorded[:: max(len(recorded) // arguments.episodes, 1)][: arguments.episodes]
    samples = Samples(load_frames(chosen), codebook, layout)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(CHECKPOINT, dtype=torch.float32).eval()
    targets = ActionTargets.of(codebook, layout.first_action)
    learner = Learner(model, samples, targets, blind=False)
    episodes = samples.frames.episode[samples.rows]
    held_out = episodes >= (1 - HELD_OUT) * (episodes.max() + 1)
    hidden = states(learner, samples, np.arange(len(samples)))
    head = fit(hidden, torch.from_numpy(samples.poses.reshape(len(samples), -1)).float(), held_out, arguments.seed)
    embeddings = model.get_input_embeddings().weight.detach().numpy()
    save(head, embeddings, arguments.out)

    paths = [episode_path(place.episodes, job[0], job[1]) for job in jobs(FULL, True)]
    checked = Samples(load_frames(paths), codebook, layout)
    learner = Learner(model, checked, targets, blind=False)
    rows = measured_rows(len(checked), FULL.measured_samples, arguments.seed)
    with torch.no_grad():
        continuous = head(states(learner, checked, rows)).numpy().reshape(len(rows), -1, 3).astype(np.float64)
    tokens = np.concatenate(
        [
            [codebook.decode(actions)[0] for actions in decode_fast(learner, checked.batch(part, None)).actions]
            for part in np.split(rows, range(STATES_BATCH, len(rows), STATES_BATCH))
        ]
    ).astype(np.float64)
    truth = checked.poses[rows]
    figures = {
        "training_samples": len(samples),
        "validation_samples": len(rows),
        "continuous": displacement(continuous, truth),
        "tokens": displacement(tokens, truth),
        "constant_velocity": displacement(constant_velocity(checked.speed[rows]), truth),
        "bytes": arguments.out.stat().st_size,
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
