"""OpenVINO GenAI in a process of its own, because its converter needs an older `transformers` than ours.

    PYTHON openvino_worker.py CHECKPOINT FOLDER

Converts the checkpoint with optimum-intel into FOLDER, then answers requests: one JSON line in ({"videos": an .npz file
with video_0, video_1, ... (frames, H, W, 3), "prompt": text, "tokens": n}), one out. Imports nothing from this
repository.
Tried with openvino-genai 2026.4.1.0, optimum-intel 2.2.0, transformers 4.57.6, torch 2.13.0.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any


def older_form(checkpoint: Path, folder: Path) -> Path:
    """The checkpoint's folder as transformers 4.57 reads it."""
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json", "generation_config.json"):
        shutil.copyfile(checkpoint / name, folder / name)
    config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text())
    text = config["text_config"]
    rope = text.pop("rope_parameters")
    text |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
    }
    text.pop("layer_types", None)
    config["vision_config"].pop("rope_parameters", None)
    config["torch_dtype"] = config.pop("dtype", "float32")
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    more = ("rms_norm_eps", "rope_theta", "rope_scaling", "hidden_act", "max_position_embeddings", "vocab_size")
    config |= {name: text[name] for name in (*names, *more)}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((checkpoint / "tokenizer_config.json").read_text())
    if special := tokenizer.pop("extra_special_tokens", None):
        tokenizer["additional_special_tokens"] = special
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    pictures = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": 3136,
        "max_pixels": 200704,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        (folder / name).write_text(json.dumps(pictures))
    return folder


def convert(checkpoint: Path, folder: Path) -> Path:
    """OpenVINO's graphs of the checkpoint."""
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel.openvino import OVModelForVisualCausalLM
    from transformers import AutoTokenizer

    source, out = older_form(checkpoint, folder / "checkpoint"), folder / "openvino"
    model = OVModelForVisualCausalLM.from_pretrained(source, export=True, compile=False)
    model.save_pretrained(out)
    for graph, name in zip(
        convert_tokenizer(AutoTokenizer.from_pretrained(source), with_detokenizer=True),
        ("openvino_tokenizer.xml", "openvino_detokenizer.xml"),
        strict=True,
    ):
        openvino.save_model(graph, out / name)
    for name in ("preprocessor_config.json", "video_preprocessor_config.json", "generation_config.json"):
        shutil.copyfile(source / name, out / name)
    return out


def main() -> None:
    """Convert, then serve."""
    import numpy as np
    import openvino
    import openvino_genai

    pipeline = openvino_genai.VLMPipeline(str(convert(Path(sys.argv[1]), Path(sys.argv[2]))), "CPU")
    sys.stdout.write(json.dumps({"version": openvino_genai.__version__}) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        request = json.loads(line)
        with np.load(request["videos"]) as videos:
            tensors = [openvino.Tensor(videos[f"video_{i}"]) for i in range(len(videos.files))]
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = request["tokens"]
        config.ignore_eos, config.do_sample, config.apply_chat_template = True, False, False
        wall, cpu = time.perf_counter(), time.process_time()
        result = pipeline.generate(request["prompt"], videos=tensors, generation_config=config)
        told = {
            "wall_ms": (time.perf_counter() - wall) * 1e3,
            "cpu_ms": (time.process_time() - cpu) * 1e3,
            "prompt_tokens": result.perf_metrics.get_num_input_tokens(),
            "tokens": result.perf_metrics.get_num_generated_tokens(),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
