"""The reference checkpoint's architecture: a real Qwen2.5-VL, very small, and how its folder is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onboard_vla.core.codebook import Codebook
from onboard_vla.world.model_assets import (
    CAMERAS,
    END_OF_TEXT,
    IMAGE_PAD,
    MESSAGE_END,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    write_assets,
)
from onboard_vla.world.model_tokenizer import save_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

LANGUAGE_WIDTH, LANGUAGE_LAYERS, LANGUAGE_HEADS, LANGUAGE_KV_HEADS, LANGUAGE_INNER = 192, 4, 6, 2, 512
VISION_WIDTH, VISION_DEPTH, VISION_HEADS, VISION_INNER = 96, 3, 3, 256
FULL_ATTENTION_BLOCKS = (1, 2)
ROPE_THETA = 10.0
"""Qwen's 1e6 leaves the low-frequency half of a 32-wide head, which carries a visual token's row and column, without
any rotation over a few columns: the model could not tell left from right. With 10 a column turns it by 0.1-0.3 rad."""
MROPE_SECTION = (2, 6, 8)
"""Rotation pairs for time, row and column; they sum to half the head width."""
PATCH, MERGE, TEMPORAL_PATCH = 14, 2, 2


def model_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """The configuration, with token ids read from the tokenizer."""
    from transformers import Qwen2_5_VLConfig

    def token_id(text: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(text))

    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": LANGUAGE_WIDTH,
            "intermediate_size": LANGUAGE_INNER,
            "num_hidden_layers": LANGUAGE_LAYERS,
            "num_attention_heads": LANGUAGE_HEADS,
            "num_key_value_heads": LANGUAGE_KV_HEADS,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": token_id(MESSAGE_END),
            "pad_token_id": token_id(END_OF_TEXT),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": ROPE_THETA,
                "mrope_section": list(MROPE_SECTION),
            },
        },
        vision_config={
            "depth": VISION_DEPTH,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": VISION_INNER,
            "num_heads": VISION_HEADS,
            "in_channels": 3,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": TEMPORAL_PATCH,
            "tokens_per_second": 2,
            "window_size": 112,
            "out_hidden_size": LANGUAGE_WIDTH,
            "fullatt_block_indexes": list(FULL_ATTENTION_BLOCKS),
        },
        image_token_id=token_id(IMAGE_PAD),
        video_token_id=token_id(VIDEO_PAD),
        vision_start_token_id=token_id(VISION_START),
        vision_end_token_id=token_id(VISION_END),
        tie_word_embeddings=True,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A freshly initialised float32 model."""
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(model_config(tokenizer))
    model.generation_config = GenerationConfig(
        do_sample=False,
        repetition_penalty=1.0,
        eos_token_id=[
            tokenizer.convert_tokens_to_ids(MESSAGE_END),
            tokenizer.convert_tokens_to_ids(END_OF_TEXT),
        ],
        pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
    )
    return model.float()


def initialise_actions(
    model: Qwen2_5_VLForConditionalGeneration, first_action: int, codebook: Codebook, seed: int
) -> None:
    """Give action tokens embeddings that vary smoothly with their motion, so that neighbours start out alike.

    Random Fourier features of (forward, left, heading), scaled to the embedding's initial spread.
    """
    import torch

    rng = np.random.default_rng(seed)
    scales = np.concatenate([np.full(LANGUAGE_WIDTH // 4, s) for s in FOURIER_SCALES])
    motion = codebook.deltas * np.array([1.0 / 3.0, 2.0, 8.0])
    phase = motion @ (rng.normal(size=(3, len(scales))) * scales) + rng.uniform(0, 2 * np.pi, len(scales))
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        spread = float(weight.std())
        rows = torch.from_numpy(np.cos(phase) * np.sqrt(2) * spread).to(weight.dtype)
        weight[first_action : first_action + codebook.size] = rows


FOURIER_SCALES = (0.5, 1.0, 2.0, 4.0)


def save_checkpoint(
    folder: Path, model: Qwen2_5_VLForConditionalGeneration, codebook: Codebook, template_folder: Path | None = None
) -> None:
    """Write the whole checkpoint folder: fp16 weights, configuration, tokenizer, codebook, prompt and cameras.

    `template_folder`: take tokenizer and assets from this folder (a run in progress) instead of making them anew.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    copy = type(model)(model.config).to(torch.float16)
    copy.load_state_dict(state)
    copy.generation_config = model.generation_config
    copy.save_pretrained(str(folder), safe_serialization=True)
    if template_folder is None:
        save_tokenizer(folder)
        write_assets(folder)
    elif template_folder.resolve() != folder.resolve():
        for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json", "cameras.json"):
            shutil.copyfile(template_folder / name, folder / name)
    codebook.save(folder / "codebook.npz")


def camera_grids() -> dict[str, tuple[int, int]]:
    """Patches per camera as (rows, columns)."""
    return {c["camera"]: (c["height"] // PATCH, c["width"] // PATCH) for c in CAMERAS["cameras"]}


def write_json(path: Path, data: object) -> None:
    """Write indented JSON with a final newline."""
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
