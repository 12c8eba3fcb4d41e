"""The reference checkpoint's prompt and camera assets, written beside the weights as prompt.json and cameras.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VIDEO_PAD, VISION_START, VISION_END = "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, MESSAGE_START, MESSAGE_END, END_OF_TEXT = "<|image_pad|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"
SPECIAL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD)

PROMPT_CAMERAS = ("front", "front_left", "front_right", "back", "back_left", "back_right")
_WHOLE = {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
_ROAD_AHEAD = {"left": 0.125, "top": 0.25, "right": 0.875, "bottom": 0.97}
"""Front camera: from a little above the horizon to the vehicle's nose, +-28 degrees; sky and far sides tell little."""

CAMERAS: dict[str, Any] = {
    "frames_per_camera": 4,
    "frame_spacing_s": 0.5,
    "frames_per_temporal_patch": 2,
    "resample": "pil_bicubic",
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "cameras": [
        {"camera": camera, "width": 168, "height": 112, "crop": _ROAD_AHEAD}
        if camera == "front"
        else {"camera": camera, "width": 56, "height": 56, "crop": _WHOLE}
        for camera in PROMPT_CAMERAS
    ],
}
"""Crop boxes are fractions of the source picture, cut before resizing. Mean and std: CLIP's, as in
Qwen2.5-VL's image processor (transformers, OPENAI_CLIP_MEAN and OPENAI_CLIP_STD)."""


def _segments() -> list[dict[str, str]]:
    segments = [{"text": f"{MESSAGE_START}system\nYou drive. Plan five seconds.{MESSAGE_END}\n{MESSAGE_START}user\n"}]
    for camera in PROMPT_CAMERAS:
        segments.append({"text": f"{camera.replace('_', ' ')}:{VISION_START}"})
        segments.append({"video": camera})
        segments.append({"text": f"{VISION_END}\n"})
    segments.append({"text": "past: {history}\n", "when": "history"})
    segments.append({"text": f"speed: {{speed}} m/s, task: {{command}}{MESSAGE_END}\n{MESSAGE_START}assistant\n"})
    return segments


PROMPT: dict[str, Any] = {
    "format": 1,
    "video_token": VIDEO_PAD,
    "fields": {
        "speed": {"kind": "number", "minimum": 0.0, "maximum": 99.9, "format": "04.1f"},
        "command": {
            "kind": "choice",
            "values": {"keep forward": "keep forward", "turn left": "turn left", "turn right": "turn right"},
        },
        "history": {"kind": "actions", "optional": True},
    },
    "segments": _segments(),
    "answer": {
        "fork_prefix": "<think>\nThis road is",
        "fast_fork": " easy",
        "fast_rest": ", I act now.\n</think>\n<answer>\nMy actions:",
        "slow_fork": " hard",
        "slow_rest": ", I look closer.\n",
        "reasoning_suffix": "\n</think>\n<answer>\nMy actions:",
        "answer_suffix": "\n</answer>" + MESSAGE_END,
        "action_token": "<action_{index}>",
        "action_count": 10,
        "step_s": 0.5,
        "max_reasoning_tokens": 48,
    },
}


def write_assets(folder: Path) -> None:
    """Write prompt.json and cameras.json into `folder`."""
    for name, data in (("prompt.json", PROMPT), ("cameras.json", CAMERAS)):
        (folder / name).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
