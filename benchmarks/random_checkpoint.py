"""A Qwen2.5-VL of 42 million random weights with the reference checkpoint's prompt, tokenizer, codebook and answers.

For timing: what a plan costs depends on shapes alone. Pictures are larger than the reference checkpoint's, so that the
prompt has about 600 tokens.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

REFERENCE = Path(__file__).parents[1] / "world" / "reference"
COPIED = ("prompt.json", "codebook.npz", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
TEXT = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 10, "num_attention_heads": 8}
HEAD_SECTION = (8, 12, 12)
VISION = {"depth": 6, "hidden_size": 320, "intermediate_size": 1024, "num_heads": 5, "out_hidden_size": 512}
PICTURE = (224, 168)
"""Width and height at which the model sees each of the six cameras: 48 tokens a frame pair."""


def write(
    folder: Path,
    seed: int = 0,
    cameras: int = 6,
    frames: int = 4,
    picture: tuple[int, int] = PICTURE,
    vocabulary: int | None = None,
) -> Path:
    """Write the checkpoint folder, with the first `cameras` cameras and `frames` frames of each; returns it.

    `vocabulary`: so many rows of the embedding, which is the head, too; the tokenizer's if not given.
    """
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    config = json.loads((REFERENCE / "config.json").read_text())
    config["text_config"] |= TEXT
    config["text_config"]["layer_types"] = ["full_attention"] * TEXT["num_hidden_layers"]
    config["text_config"]["rope_parameters"]["mrope_section"] = list(HEAD_SECTION)
    config["vision_config"] |= VISION
    if vocabulary is not None:
        config["text_config"]["vocab_size"] = vocabulary
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config)).half()
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    for name in COPIED:
        shutil.copyfile(REFERENCE / name, folder / name)
    seen = json.loads((REFERENCE / "cameras.json").read_text())
    seen["frames_per_camera"] = frames
    seen["cameras"] = seen["cameras"][:cameras]
    for camera in seen["cameras"]:
        camera["width"], camera["height"] = picture
    (folder / "cameras.json").write_text(json.dumps(seen))
    names = {camera["camera"] for camera in seen["cameras"]}
    prompt = json.loads((REFERENCE / "prompt.json").read_text())
    prompt["segments"] = list(_shown(prompt["segments"], names))
    (folder / "prompt.json").write_text(json.dumps(prompt))
    return folder


def _shown(segments: list[dict[str, str]], names: set[str]) -> list[dict[str, str]]:
    """Segments without the cameras left out, each of which is an opening text, a video and a closing text."""
    kept, skip = [], False
    for number, segment in enumerate(segments):
        video = segments[number + 1].get("video") if number + 1 < len(segments) else None
        if video is not None:
            skip = video not in names
        if not skip:
            kept.append(segment)
        if "video" not in segment and number and "video" in segments[number - 1]:
            skip = False
    return kept
