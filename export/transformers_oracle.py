"""A checkpoint as `transformers` runs it, in float32: what a bundle is held against stage by stage.

The reference is not ours: weights, vision encoder, positions and attention are transformers'. Pictures are cut into
patches and prompts tokenised by the runtime's own code, which tests hold against transformers' apart from this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import CheckpointError, EnvironmentLacksError
from onboard_vla.core.installation import installation
from onboard_vla.export.action_logits import ActionLogits
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.deciding import deciding
from onboard_vla.export.lightning_store import lightning_file
from onboard_vla.export.scene_runner import Sizes, action_logits, patches_of
from onboard_vla.export.scenes import Scene
from onboard_vla.export.tensor_names import HEAD, live_names
from onboard_vla.export.tensor_store import listed
from onboard_vla.kernels.reference_images import normalisation_table

Floats = NDArray[np.float32]
VIDEO = 2
"""Kind of a visual token of a video in transformers' `mm_token_type_ids`."""


@dataclass(frozen=True, eq=False)
class Stages:
    """What one run passes through.

    `vision[role]`: (pairs * tokens, D). `keys[layer]`: (S, kv_heads * head_dim), after rotary, of prompt and answer.
    `logits`: along the tokens.
    """

    vision: dict[str, Floats]
    keys: tuple[Floats, ...]
    logits: ActionLogits


class TransformersOracle:
    """Runs scenes through a checkpoint: a folder that `save_pretrained` wrote, or one with a `.ckpt`."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        """Load the weights: those that `save_pretrained` wrote by transformers itself, a `.ckpt`'s by our reader.

        Raises:
            EnvironmentLacksError: torch or transformers is not installed.
            CheckpointError: transformers cannot load the folder, or takes its weights for another model's.
        """
        try:
            import torch
            from transformers import __version__
            from transformers.utils import logging
        except ImportError as error:
            raise EnvironmentLacksError(
                f"{error.name} is missing: {installation('parity')}, to compare with transformers"
            ) from None
        logging.disable_progress_bar()
        model = load_model(folder)
        self.name, self._torch, self._model, self._sizes = f"transformers {__version__}", torch, model.eval(), sizes
        vision = sizes.model.vision
        self._table = normalisation_table(vision.image_mean, vision.image_std)

    def greedy(self, scene: Scene, guess: Sequence[int]) -> Stages:
        """Decode greedily among the action tokens after the fast prefix.

        Whole sequences are run, `guess` first, and the model's own choice put in place of the first that it would not
        make, until nothing changes: then every token is what it chooses after those before it.
        """
        along = list(guess)
        while True:
            stages = self.teacher_forced(scene, along)
            chosen = self._choices(scene, stages.logits)
            if chosen == along:
                return stages
            along = chosen

    def teacher_forced(self, scene: Scene, tokens: Sequence[int]) -> Stages:
        """All stages when the answer's actions are `tokens`."""
        torch, sizes = self._torch, self._sizes
        answer, first_id = sizes.answer, sizes.actions.first_id
        ids = [*scene.prompt_ids.tolist(), *answer.fast_prefix, *(first_id + token for token in tokens[:-1])]
        tokens_in = torch.tensor([ids])
        patches = {c.role: patches_of(sizes.model.vision, scene.images[c.role], self._table) for c in sizes.cameras}
        grids = [[len(patches[c.role]), c.grid_h, c.grid_w] for c in sizes.cameras]
        flat = torch.from_numpy(np.concatenate([part.reshape(-1, part.shape[-1]) for part in patches.values()]))
        seen: list[Any] = []  # at once: afterwards transformers splits it by video
        hook = self._model.model.visual.register_forward_hook(
            lambda _module, _inputs, found: seen.append(found.pooler_output)
        )
        try:
            with torch.no_grad():
                found = self._model(
                    input_ids=tokens_in,
                    pixel_values_videos=flat,
                    video_grid_thw=torch.tensor(grids),
                    mm_token_type_ids=(tokens_in == sizes.tokens.video_pad).int() * VIDEO,
                    use_cache=True,
                )
        finally:
            hook.remove()
        logits: Floats = found.logits[0].numpy()
        start = len(scene.prompt_ids)
        first = start + len(answer.fast_prefix) - 1
        fork, rows = logits[start + answer.fork_index - 1], logits[first : first + len(tokens)]
        return Stages(
            self._by_camera(seen[0].numpy(), grids),
            tuple(layer.keys[0].transpose(0, 1).flatten(1).numpy() for layer in found.past_key_values.layers),
            action_logits(sizes, scene.prompt_ids, fork, rows, tokens),
        )

    def _by_camera(self, embeddings: Floats, grids: Sequence[Sequence[int]]) -> dict[str, Floats]:
        merge = self._sizes.model.vision.merge_size**2
        ends = np.cumsum([pairs * height * width // merge for pairs, height, width in grids])
        parts = np.split(embeddings, ends[:-1])
        return {camera.role: part for camera, part in zip(self._sizes.cameras, parts, strict=True)}

    def _choices(self, scene: Scene, found: ActionLogits) -> list[int]:
        """The tokens `found.tokens`; from the first on that the model would not choose: its choice, then guesses."""
        chosen: list[int] = found.tokens.tolist()
        for step, row in enumerate(deciding(self._sizes, scene.prompt_ids, found).actions):
            best = int(np.argmax(row))
            if best != chosen[step]:
                return [*chosen[:step], best, *found.actions[step + 1 :].argmax(axis=1).tolist()]
        return chosen


def load_model(folder: Path) -> Any:  # noqa: ANN401  (transformers is an extra)
    """A model of transformers in float32: from a folder of `save_pretrained` by itself, from a `.ckpt` by our reader.

    Raises:
        CheckpointError: transformers cannot load the folder, or takes its weights for another model's.
    """
    return _of_folder(folder) if lightning_file(folder) is None else _of_lightning(folder)


def _of_folder(folder: Path) -> Any:  # noqa: ANN401
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    try:
        model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{folder}: transformers cannot load it: {first}") from None
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report.get(kind):
            raise CheckpointError(f"{folder}: transformers says {kind}: {sorted(map(str, report[kind]))[:3]}")
    return model


def _of_lightning(folder: Path) -> Any:  # noqa: ANN401
    """Prefixes, adapters and the grown vocabulary are our reader's; what is computed of the tensors is not."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    checkpoint = Checkpoint(folder)
    try:
        config = Qwen2_5_VLConfig.from_pretrained(folder, local_files_only=True)
        config.text_config.vocab_size = checkpoint.model.text.vocabulary_size
        model = Qwen2_5_VLForConditionalGeneration(config).float()
        names = [name for name in checkpoint.names if name != HEAD or not checkpoint.tied]
        state = {
            live: torch.from_numpy(checkpoint.tensor(name)) for live, name in zip(live_names(names), names, strict=True)
        }
        report = model.load_state_dict(state, strict=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{folder}: transformers cannot load it: {first}") from None
    tied = live_names([HEAD]) if checkpoint.tied else []
    if wrong := sorted({*report.missing_keys, *report.unexpected_keys} - set(tied)):
        raise CheckpointError(f"{folder}: transformers lacks or does not know {listed(wrong)}")
    model.tie_weights()
    return model
