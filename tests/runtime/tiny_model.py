"""A tiny Qwen2.5-VL that has learnt one fast and one slow answer by heart, its checkpoint folder, and fp32 bundles.

Learning takes a second or two: random weights would never produce an answer, so only a trained model can show that
forced prefixes give the tokens of plain greedy decoding. "keep forward" is answered fast, "turn left" slowly.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from onboard_vla.core.bundle_manifest import (
    FORMAT_VERSION,
    ActionTokens,
    BundleManifest,
    CameraInput,
    FileRecord,
    FrameSelection,
    SpecialTokens,
    codebook_hash,
    sha256_of,
    to_json,
    with_core_hash,
)
from onboard_vla.core.codebook import Codebook, box_contours

ACTIONS, PER_ANSWER = 64, 10
CAMERAS = {"front": (84, 56), "front_left": (56, 56)}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>")
FAST_ACTIONS = (7, 7, 7, 7, 12, 12, 7, 7, 30, 30)
SLOW_ACTIONS = (40, 41, 41, 41, 3, 3, 3, 50, 50, 50)
REASONING = "a car is ahead . so wait"
"""Holds the token that an answer's suffix begins with: it must not be taken for the answer's end."""
PROMPT = {
    "format": 1,
    "video_token": "<|video_pad|>",
    "fields": {
        "speed": {"kind": "number", "minimum": 0.0, "maximum": 60.0, "format": "04.1f"},
        "command": {"kind": "choice", "values": {"keep forward": "keep forward", "turn left": "turn left"}},
    },
    "segments": [
        {"text": "<|im_start|> drive . front <|vision_start|>"},
        {"video": "front"},
        {"text": "<|vision_end|> left <|vision_start|>"},
        {"video": "front_left"},
        {"text": "<|vision_end|> speed {speed} go {command} <|im_end|>"},
    ],
    "answer": {
        "fork_prefix": "<think> this is",
        "fast_fork": " easy",
        "fast_rest": " . </think> <answer>",
        "slow_fork": " hard",
        "slow_rest": " .",
        "reasoning_suffix": " </think> <answer>",
        "answer_suffix": " . </answer><|im_end|>",
        "action_token": "<action_{index}>",
        "action_count": PER_ANSWER,
        "step_s": 0.5,
        "max_reasoning_tokens": 12,
    },
}
WORDS = "drive front left speed go keep forward turn this is easy hard a car ahead so wait . think answer".split()  # noqa: SIM905


def tokenizer():
    """Word level, digits one by one, plus special and action tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

    tags = ["<think>", "</think>", "<answer>", "</answer>"]
    vocabulary = {text: i for i, text in enumerate([*WORDS, *"0123456789", "[unknown]"])}
    result = Tokenizer(models.WordLevel(vocabulary, unk_token="[unknown]"))
    result.pre_tokenizer = pre_tokenizers.Split(Regex(r"[a-z]+|\d|\."), "removed", invert=True)
    result.add_special_tokens([AddedToken(text, special=True) for text in (*SPECIAL, *tags)])
    result.add_tokens([AddedToken(f"<action_{i}>", normalized=False) for i in range(ACTIONS)])
    return result


def codebook() -> Codebook:
    """Arcs: eight distances times eight headings."""
    distance, turn = np.meshgrid(np.linspace(0, 7, 8), np.linspace(-0.2, 0.2, 8), indexing="ij")
    ends = np.stack([distance.ravel(), (distance * turn / 2).ravel(), turn.ravel()], -1)
    poses = ends[:, None, :] * (np.arange(1, 6) / 5)[None, :, None]
    return Codebook(box_contours(poses, 4.8, 2.0).astype(np.float32))


def prompt_ids(text_tokenizer, command: str, speed: str) -> list[int]:
    """The prompt's ids by another route than the runtime's: one text with repeated placeholders."""
    text = "".join(s.get("text") or "<|video_pad|>" * visual_tokens(s["video"]) for s in PROMPT["segments"])
    return text_tokenizer.encode(text.format(speed=speed, command=command), add_special_tokens=False).ids


def visual_tokens(camera: str, pairs: int = 2) -> int:
    """Visual tokens of one camera in the prompt."""
    width, height = CAMERAS[camera]
    return pairs * (width // 28) * (height // 28)


def configuration(tied: bool = True):
    """A very small Qwen2.5-VL for the tokenizer above."""
    from transformers import Qwen2_5_VLConfig

    text_tokenizer = tokenizer()
    token = text_tokenizer.token_to_id
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": text_tokenizer.get_vocab_size(),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
            "tie_word_embeddings": tied,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 2,
            "intermediate_size": 48,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        tie_word_embeddings=tied,
        video_token_id=token("<|video_pad|>"),
        image_token_id=token("<|endoftext|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )


LEARNT = 0.01
"""Mean loss per answer token, nats, at which both answers are known by heart."""


def train(folder: Path, steps: int = 400):
    """Train until both answers are known, save the checkpoint (float32) into `folder` and return the model."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    torch.set_num_threads(1)
    text_tokenizer = tokenizer()
    config = configuration()
    model = Qwen2_5_VLForConditionalGeneration(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=6e-3, betas=(0.9, 0.95))
    rng = np.random.default_rng(0)
    for _ in range(steps):
        optimiser.zero_grad()
        worst = 0.0
        for command in ("keep forward", "turn left"):
            prompt = prompt_ids(text_tokenizer, command, f"{rng.uniform(0, 60):04.1f}")
            target = answer(text_tokenizer, command)
            batch = model_inputs(model, [*prompt, *target], random_images(rng))
            labels = torch.tensor([[-100] * len(prompt) + target])
            loss = model(**batch, labels=labels).loss
            loss.backward()
            worst = max(worst, float(loss.detach()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if worst < LEARNT:
            break
    save(folder, model)
    return model


def save(folder: Path, model) -> None:
    """Write the checkpoint folder (float32)."""
    from transformers import GenerationConfig

    token = tokenizer().token_to_id
    ends = [token("<|im_end|>"), token("<|endoftext|>")]
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=ends, pad_token_id=ends[1])
    model.eval().save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "prompt.json").write_text(json.dumps(PROMPT))
    codebook().save(folder / "codebook.npz")


def answer(text_tokenizer, command: str) -> list[int]:
    """What the model learns to say."""
    form = PROMPT["answer"]
    slow = command == "turn left"
    actions = "".join(f"<action_{i}>" for i in (SLOW_ACTIONS if slow else FAST_ACTIONS))
    text = form["fork_prefix"] + (form["slow_fork"] + form["slow_rest"] if slow else form["fast_fork"])
    text += f" {REASONING}{form['reasoning_suffix']}" if slow else form["fast_rest"]
    return text_tokenizer.encode(text + actions + form["answer_suffix"], add_special_tokens=False).ids


def random_images(rng) -> dict[str, np.ndarray]:
    """Noise at the model's size: camera -> (4, H, W, 3) uint8."""
    return {c: rng.integers(0, 256, (4, height, width, 3), np.uint8) for c, (width, height) in CAMERAS.items()}


def model_inputs(model, ids, images):
    """transformers' inputs for ids and pictures (camera -> 4 pictures at the model's size)."""
    import torch
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    pixels, grids = [], []
    for camera, (width, height) in CAMERAS.items():
        area = width * height
        processor = Qwen2VLImageProcessorPil(size={"shortest_edge": area, "longest_edge": area})
        single = processor(list(images[camera]), return_tensors="np")["pixel_values"]
        # A picture alone is its own pair: (frames, patches, 3, 2, 196) with both halves equal.
        single = single.reshape(len(images[camera]), -1, 3, 2, 196)[:, :, :, 0]
        pairs = np.stack([single[0::2], single[1::2]], axis=3)
        pixels.append(pairs.reshape(-1, 1176))
        grids.append([len(pairs), height // 14, width // 14])
    ids = torch.tensor([list(ids)])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values_videos": torch.from_numpy(np.concatenate(pixels)),
        "video_grid_thw": torch.tensor(grids),
        "mm_token_type_ids": (ids == model.config.video_token_id).int() * 2,
    }


def write_bundle(checkpoint: Path, out: Path, repetition_penalty: float = 1.0, *, action_head: bool = False) -> Path:
    """An fp32 bundle of the tiny checkpoint."""
    from onboard_vla.export.checkpoint import Checkpoint
    from onboard_vla.export.checkpoint_config import read_generation
    from onboard_vla.export.language_graph import language_graph
    from onboard_vla.export.linear_layers import FloatLinears
    from onboard_vla.export.vision_graph import vision_graph
    from onboard_vla.export.vision_grid import vision_grid
    from onboard_vla.export.weights import CheckpointWeights, WithActionHead

    out.mkdir(parents=True)
    source = Checkpoint(checkpoint)
    model, token = source.model, tokenizer().token_to_id
    codebook = codebook_hash(Codebook.load(checkpoint / "codebook.npz").contours)
    actions = ActionTokens(token("<action_0>"), ACTIONS, PER_ANSWER, 0.5, codebook)
    weights = WithActionHead(CheckpointWeights(source), actions)
    linears = FloatLinears(weights)
    language = language_graph(model.text, weights, linears, action_head=action_head)
    (out / "language.onnx").write_bytes(language.SerializeToString())
    cameras = []
    for role, (width, height) in CAMERAS.items():
        grid = vision_grid(height // 14, width // 14, model.vision)
        (out / grid.name).write_bytes(vision_graph(model, grid, weights, linears).SerializeToString())
        cameras.append(
            CameraInput(
                role, width, height, (0.0, 0.0, 1.0, 1.0), *(height // 14, width // 14), grid.name, None, True, None
            )
        )
    for name in ("tokenizer.json", "prompt.json", "codebook.npz"):
        (out / name).write_bytes((checkpoint / name).read_bytes())
    np.save(out / "embeddings.npy", source.embedding.astype(np.float32))
    generation, ends, pad = read_generation(checkpoint)
    manifest = BundleManifest(
        format_version=FORMAT_VERSION,
        producer="tests",
        core_hash="",
        weights_sha256="0" * 64,
        unjudged=(),
        files={f.name: FileRecord(sha256_of(f), f.stat().st_size) for f in sorted(out.iterdir())},
        precision={"vision": "fp32", "language": "fp32", "head": "fp32", "embeddings": "float32"},
        model=model,
        cameras=tuple(cameras),
        frames=FrameSelection(4, 0.5, 2),
        prompt="prompt.json",
        tokenizer="tokenizer.json",
        codebook="codebook.npz",
        embeddings="embeddings.npy",
        language_graph="language.onnx",
        action_head=action_head,
        vision_reference=None,
        drift_reference=None,
        tokens=SpecialTokens(
            token("<|video_pad|>"), token("<|vision_start|>"), token("<|vision_end|>"), pad, tuple(ends)
        ),
        actions=actions,
        generation=dataclasses.replace(generation, repetition_penalty=repetition_penalty),
        calibration={},
        parity={},
        golden=(),
    )
    (out / "manifest.json").write_text(to_json(with_core_hash(manifest)))
    return out
