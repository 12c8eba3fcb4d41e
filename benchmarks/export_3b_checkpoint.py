"""Checkpoints of Qwen2.5-VL-3B's real dimensions with random weights, as two programs write them.

Linear layers: distinct in every layer, of random sign between 2^-11 and 2^-7, in bfloat16. The table of embeddings is
normally distributed with a deviation of 0.02, as trained ones are: many of its values are no fp16 numbers, so that an
export keeps it in float32, as it keeps AutoVLA's. Such weights say nothing about accuracy.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import tokenizers
from safetensors.numpy import save_file

from onboard_vla.core.codebook import Codebook, box_contours
from onboard_vla.export.activation_ranges import ActivationRanges, save_ranges
from onboard_vla.export.checkpoint_config import read_dimensions
from onboard_vla.export.scene_file import save_scenes
from onboard_vla.export.scenes import random_scenes
from onboard_vla.export.source import CALIBRATION, GOLDEN, Source
from onboard_vla.export.tensor_names import EMBEDDING, expected_shapes

ROLES = ("front", "front_left", "front_right")
BASE_WORDS, ACTIONS = 151_665, 2_048
SHARDS = 2
LARGEST_MOTION_M = 0.01
"""Of an action: random weights choose at random between near ties, and no plan may move by a limit for that."""
EMBEDDING_DEVIATION = np.float32(0.02)
TEXT = {
    "vocab_size": BASE_WORDS + ACTIONS,
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
}
FULL_ATTENTION = (7, 15, 23, 31)
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "num_heads": 16,
    "intermediate_size": 3420,
    "in_chans": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": list(FULL_ATTENTION),
    "tokens_per_second": 2,
    "out_hidden_size": 2048,
}
CONFIG = {
    "model_type": "qwen2_5_vl",
    "tie_word_embeddings": True,
    "video_token_id": 151656,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "eos_token_id": [151645, 151643],
    "repetition_penalty": 1.05,
    **TEXT,
    "vision_config": VISION,
}
SPECIAL = {151643: "<|end|>", 151645: "<|im_end|>", 151652: "<|start|>", 151653: "<|stop|>", 151656: "<|video|>"}
ANSWER = {
    "fork_prefix": "a",
    "fast_fork": "b",
    "fast_rest": "c",
    "slow_fork": "d",
    "slow_rest": "e",
    "reasoning_suffix": "f",
    "answer_suffix": "<|im_end|>",
    "action_token": "<action_{index}>",
    "action_count": 10,
    "step_s": 0.5,
    "max_reasoning_tokens": 256,
}


def make_checkpoint(
    folder: Path,
    layers: int,
    blocks: int,
    config: dict[str, Any] = CONFIG,
    roles: tuple[str, ...] = ROLES,
    *,
    lightning: bool = False,
) -> None:
    """Random weights of the real dimensions (or those of `config`), and assets that fit them.

    As `save_pretrained` writes them, in two shards, or with `lightning` as AutoVLA's training does, in one `.ckpt`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    full = [i for i in config["vision_config"]["fullatt_block_indexes"] if i < blocks]
    vision = config["vision_config"] | {"depth": blocks, "fullatt_block_indexes": full}
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers, "vision_config": vision}))
    model, tied = read_dimensions(folder)
    shapes = {name: shape for name, shape in sorted(expected_shapes(model.text, model.vision, tied).items())}
    (write_lightning if lightning else write_shards)(folder, shapes)
    write_assets(folder, roles)


def write_shards(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Safetensors with an index."""
    rng, weight_map, names = np.random.default_rng(0), {}, list(shapes)
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        mine = names[shard * len(names) // SHARDS : (shard + 1) * len(names) // SHARDS]
        tensors = {name.replace("text.", "model.", 1): random_tensor(rng, name, shapes[name]) for name in mine}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
        del tensors
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def write_lightning(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """One `.ckpt`, one tensor in memory at a time: torch writes it with holes, which are then filled."""
    import torch

    file, rng = folder / "last.ckpt", np.random.default_rng(0)
    state = {
        "autovla.vlm." + name.replace("text.", "model.", 1): torch.empty(shape, dtype=torch.bfloat16)
        for name, shape in shapes.items()
    }
    with torch.serialization.skip_data():
        torch.save({"epoch": 1, "state_dict": state, "hyper_parameters": {}}, file)
    archive = torch._C.PyTorchFileReader(str(file))
    offsets = [archive.get_record_offset(f"data/{index}") for index in range(len(shapes))]
    del archive
    with file.open("r+b") as stream:
        for offset, (name, shape) in zip(offsets, shapes.items(), strict=True):
            stream.seek(offset)
            stream.write(random_tensor(rng, name, shape).view(np.uint8).data)


def random_tensor(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Distinct random values: gains about 1, embeddings as trained ones, other weights from random bits."""
    if name == EMBEDDING:
        rows = [rng.standard_normal((len(part), shape[1]), np.float32) for part in np.array_split(range(shape[0]), 16)]
        return np.concatenate([(part * EMBEDDING_DEVIATION).astype(ml_dtypes.bfloat16) for part in rows])
    if "norm" in name:
        return (1 + 0.1 * rng.standard_normal(shape)).astype(ml_dtypes.bfloat16)
    bits = np.frombuffer(rng.bytes(2 * int(np.prod(shape))), np.uint16).copy()
    bits &= 0x81FF  # sign, two bits of the exponent, mantissa
    bits |= 116 << 7
    return bits.view(ml_dtypes.bfloat16).reshape(shape)


def write_assets(folder: Path, roles: tuple[str, ...] = ROLES) -> None:
    """Tokenizer, prompt, cameras and codebook of the right sizes; nothing in them means anything."""
    words = {SPECIAL.get(i, chr(97 + i) if i < 26 else f"w{i}"): i for i in range(BASE_WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="a"))  # noqa: S106
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer.add_tokens([tokenizers.AddedToken(token, normalized=False) for token in SPECIAL.values()])
    tokenizer.add_tokens([tokenizers.AddedToken(f"<action_{i}>", normalized=False) for i in range(ACTIONS)])
    tokenizer.save(str(folder / "tokenizer.json"))
    crop = {"left": 0, "top": 0, "right": 1, "bottom": 1}
    cameras = [{"camera": role, "width": 420, "height": 224, "crop": crop} for role in roles]
    (folder / "cameras.json").write_text(
        json.dumps({"frames_per_camera": 4, "frame_spacing_s": 0.5, "cameras": cameras})
    )
    segments: list[dict[str, str]] = [{"text": "a" * 380 + "<|start|>"}]
    for role in roles:
        segments += [{"video": role}, {"text": "<|stop|>" + "b" * 26 + "<|start|>"}]
    number = {"kind": "number", "minimum": 0.0, "maximum": 60.0, "format": ".1f"}
    prompt = {"format": 1, "video_token": "<|video|>", "fields": {"speed": number}, "segments": segments}
    segments[-1] = {"text": "<|stop|>" + "c" * 60 + "{speed}"}
    (folder / "prompt.json").write_text(json.dumps(prompt | {"answer": ANSWER}))
    poses = np.zeros((ACTIONS, 5, 3))
    poses[..., 0] = np.arange(ACTIONS)[:, None] * np.arange(1, 6) * LARGEST_MOTION_M / (5 * ACTIONS)
    Codebook(box_contours(poses, 4.8, 2.0).astype(np.float32)).save(folder / "codebook.npz")


def prepare_scenes(folder: Path, calibrate: int, golden: int) -> None:
    """Ranges beside the weights, or a file of scenes to observe them on; and golden scenes."""
    for name in ("calibration_ranges.npz", CALIBRATION.file, GOLDEN.file):
        (folder / name).unlink(missing_ok=True)
    source, rng = Source.open(folder), np.random.default_rng(1)
    if golden:
        save_scenes(folder / GOLDEN.file, random_scenes(source.assets, golden, np.random.default_rng(2)))
    if not calibrate:
        names = frozenset[str]().union(*source.layers().values())
        largest = {name: rng.uniform(1, 8, source.weights.shape(name)[0]).astype(np.float32) for name in names}
        save_ranges(folder, ActivationRanges(largest, 1, "random numbers"))
        return
    scenes = random_scenes(source.assets, calibrate, rng)
    told = [replace(scene, expert_tokens=rng.integers(0, ACTIONS, 10)) for scene in scenes]
    save_scenes(folder / CALIBRATION.file, told)
