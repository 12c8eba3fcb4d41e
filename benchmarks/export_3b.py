"""Export at full size: time, peak memory and sizes for a checkpoint of Qwen2.5-VL-3B's real dimensions.

    python benchmarks/export_3b.py --json                    # INT8 with given activation ranges
    python benchmarks/export_3b.py --calibrate 2 --json      # ranges observed on that many scenes, layer by layer
    python benchmarks/export_3b.py --calibrate 1 --project 2 4 --json    # few layers, time projected to all of them

Protocol: weights are random, distinct in every layer, bfloat16, in shards as `save_pretrained` writes them (equal ones
would be merged by compilers); the vocabulary has 153,713 ids, three cameras of 420x224, four frames each, as AutoVLA.
Such weights say nothing about accuracy. The export runs as a process of its own; time is from its start to its end,
processor time and peak resident memory are what the kernel accounted to it, mapped pages included. The folder holds
about 8 GB of checkpoint and 5 GB of bundle and is removed in the end unless --keep.

With --project A B the same is done with A and with B layers of the language model and as many of the vision encoder, at
real widths, vocabulary and pictures. Memory holds one layer at a time and the head is whole in both, so their peaks are
measured; the processor time of all layers is a projection: the time of the first run, and what a weight of a layer more
took in the second.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import tokenizers
from safetensors.numpy import save_file

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.codebook import Codebook, box_contours
from onboard_vla.export.activation_ranges import ActivationRanges, save_ranges
from onboard_vla.export.checkpoint_config import read_dimensions
from onboard_vla.export.scenes import random_scenes
from onboard_vla.export.source import CALIBRATION, Source
from onboard_vla.export.tensor_names import expected_shapes

FOLDER = Path(tempfile.gettempdir()) / "export3b"
ROLES = ("front", "front_left", "front_right")
BASE_WORDS, ACTIONS = 151_665, 2_048
SHARDS = 2
AIMS = {"seconds": 300.0, "peak_rss_gib": 4.0, "peak_rss_gib_calibrated": 8.0}
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


def main() -> int:
    """Make the checkpoint, export it in a process of its own, print what it took; 1 if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything goes")
    parser.add_argument("--calibrate", type=int, default=0, help="observe ranges on this many scenes")
    parser.add_argument("--layers", type=int, default=TEXT["num_hidden_layers"], help="fewer, for a quick look")
    parser.add_argument("--project", type=int, nargs=2, metavar=("A", "B"), help="measure few layers twice, project")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    checkpoint, out = options.folder / "checkpoint", options.folder / "bundle"
    try:
        if options.project:
            result = project(checkpoint, out, options.calibrate, options.project)
        else:
            if not (checkpoint / "done").is_file():
                make_checkpoint(checkpoint, options.layers, VISION["depth"])
            prepare_scenes(checkpoint, options.calibrate)
            result = measure(checkpoint, out, options.calibrate)
    finally:
        if not options.keep:
            shutil.rmtree(options.folder, ignore_errors=True)
    if options.json:
        print(json.dumps(result, indent=2))  # noqa: T201
    else:
        for name, value in result.items():
            print(f"{name:24} {value}")  # noqa: T201
    return 0 if result["within_aims"] else 1


def project(checkpoint: Path, out: Path, calibrate: int, depths: Sequence[int]) -> dict[str, Any]:
    """Measure with few layers twice; peaks as measured, processor time of all layers projected."""
    runs = []
    for depth in depths:
        make_checkpoint(checkpoint, depth, depth)
        prepare_scenes(checkpoint, calibrate)
        runs.append(
            {"layers": depth, "layer_weights": layer_weights(checkpoint), **measure(checkpoint, out, calibrate)}
        )
    (checkpoint / "config.json").write_text(json.dumps(CONFIG))
    first, second = runs
    a_weight = (second["processor_seconds"] - first["processor_seconds"]) / (
        second["layer_weights"] - first["layer_weights"]
    )
    missing = layer_weights(checkpoint) - first["layer_weights"]
    return {
        "measured": runs,
        "peak_rss_gib": max(run["peak_rss_gib"] for run in runs),
        "projected_processor_seconds_of_all_layers": round(first["processor_seconds"] + a_weight * missing),
        "within_aims": all(run["within_aims"] for run in runs),
    }


def layer_weights(checkpoint: Path) -> int:
    """Weights of the layers of both parts, by the configuration alone."""
    model, tied = read_dimensions(checkpoint)
    shapes = expected_shapes(model.text, model.vision, tied)
    return sum(math.prod(shape) for name, shape in shapes.items() if "layers." in name or "blocks." in name)


def measure(checkpoint: Path, out: Path, calibrate: int) -> dict[str, Any]:
    """Export in a child process; time, memory and sizes."""
    load, started = os.getloadavg(), time.monotonic()
    command = [sys.executable, "-m", "onboard_vla.app.cli", "export", str(checkpoint), "--out", str(out)]
    ended = subprocess.run([*command, "--unjudged", "--json"], check=True, stdout=subprocess.PIPE)  # noqa: S603
    seconds, document = time.monotonic() - started, json.loads(ended.stdout)
    manifest = load_manifest(out)
    peak = document["peak_rss_mib"] / 1024
    aim = AIMS["peak_rss_gib_calibrated" if calibrate else "peak_rss_gib"]
    weights = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
    graphs = manifest.parity["graph_bytes"]
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": document["processor_seconds"],
        "peak_rss_gib": round(peak, 2),
        "calibration_scenes": calibrate,
        "checkpoint_bytes": weights,
        "bundle_bytes": sum(record.bytes for record in manifest.files.values()),
        "graph_bytes": graphs,
        "graph_share_of_float32": round(graphs / (2 * weights), 3),
        "files": {name: record.bytes for name, record in manifest.files.items()},
        "aims": AIMS,
        "within_aims": peak <= aim and (calibrate > 0 or seconds <= AIMS["seconds"]),
        "load_average": [round(value, 1) for value in (*load, *os.getloadavg())],
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "onnx", "onnxruntime", "safetensors")},
    }


def make_checkpoint(
    folder: Path, layers: int, blocks: int, config: dict[str, Any] = CONFIG, roles: tuple[str, ...] = ROLES
) -> None:
    """Random weights of the real dimensions (or those of `config`), and assets that fit them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    full = [i for i in config["vision_config"]["fullatt_block_indexes"] if i < blocks]
    vision = config["vision_config"] | {"depth": blocks, "fullatt_block_indexes": full}
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers, "vision_config": vision}))
    model, tied = read_dimensions(folder)
    shapes = expected_shapes(model.text, model.vision, tied)
    rng, weight_map = np.random.default_rng(0), {}
    names = sorted(shapes)
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        mine = names[shard * len(names) // SHARDS : (shard + 1) * len(names) // SHARDS]
        tensors = {
            name.replace("text.", "model.", 1): random_bfloat16(rng, shapes[name], "norm" in name) for name in mine
        }
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
        del tensors
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    write_assets(folder, roles)
    (folder / "done").write_text("")


def random_bfloat16(rng: np.random.Generator, shape: tuple[int, ...], norm: bool) -> np.ndarray[Any, Any]:
    """Distinct random values: gains about 1, weights of random sign between 2^-11 and 2^-7."""
    count = int(np.prod(shape))
    if norm:
        return (1 + 0.1 * rng.standard_normal(shape)).astype(ml_dtypes.bfloat16)
    bits = np.frombuffer(rng.bytes(2 * count), np.uint16).copy()
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
    poses[..., 0] = np.arange(ACTIONS)[:, None] * np.arange(1, 6) * 1e-3
    Codebook(box_contours(poses, 4.8, 2.0).astype(np.float32)).save(folder / "codebook.npz")


def prepare_scenes(folder: Path, calibrate: int) -> None:
    """Ranges beside the weights, or a file of scenes to observe them on."""
    for name in ("calibration_ranges.npz", CALIBRATION.file):
        (folder / name).unlink(missing_ok=True)
    source, rng = Source.open(folder), np.random.default_rng(1)
    if not calibrate:
        names = frozenset[str]().union(*source.layers().values())
        largest = {name: rng.uniform(1, 8, source.weights.shape(name)[0]).astype(np.float32) for name in names}
        save_ranges(folder, ActivationRanges(largest, 1, "random numbers"))
        return
    scenes = random_scenes(source.assets, calibrate, rng)
    arrays = {f"images_{role}": np.stack([scene.images[role] for scene in scenes]) for role in scenes[0].images}
    arrays["prompt_ids"] = np.stack([scene.prompt_ids for scene in scenes])
    arrays["action_tokens"] = rng.integers(0, ACTIONS, (calibrate, 10))
    np.savez(folder / CALIBRATION.file, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
