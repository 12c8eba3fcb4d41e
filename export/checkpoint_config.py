"""Reads `config.json`, `generation_config.json` and `preprocessor_config.json` of a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onboard_vla.core.bundle_manifest import Generation, ModelDimensions, TextDimensions, VisionDimensions
from onboard_vla.core.errors import CheckpointError

ARCHITECTURE = "qwen2_5_vl"
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
"""Per-channel pixel statistics of Qwen2.5-VL's image processor (those of CLIP), used when the folder names none."""
RESAMPLE = "pil_bicubic"
"""Filter of qwen_vl_utils and the image processor."""
SECOND_PER_GRID = 1.0
"""Seconds between frame pairs as the language model's positions count them: transformers' default of
second_per_grid_ts in Qwen2.5-VL's get_rope_index, and what ucla-mobility/AutoVLA's models/autovla.py runs with."""
MAX_NEW_TOKENS = 256
"""Token budget of an answer when the generation configuration names none; AutoVLA's slow answers stay below it."""


def read_json(file: Path) -> dict[str, Any]:
    """One JSON object from a file.

    Raises:
        CheckpointError: the file is missing, not JSON or not an object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing: expected a checkpoint folder as save_pretrained writes it") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content


class Section:
    """One table of a configuration file; every access names the field if it is missing or of the wrong type."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self._values, self._where = values, where

    def optional(self, *names: str) -> Any:  # noqa: ANN401
        """The first of `names` that is present and not null, else None."""
        return next((self._values[name] for name in names if self._values.get(name) is not None), None)

    def integer(self, *names: str) -> int:
        """A positive integer."""
        value = self.optional(*names)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise CheckpointError(f"{self._where}: {names[0]} must be a positive integer, found {value!r}")
        return value

    def number(self, *names: str) -> float:
        """A finite number."""
        value = self.optional(*names)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CheckpointError(f"{self._where}: {names[0]} must be a number, found {value!r}")
        return float(value)

    def integers(self, *names: str) -> tuple[int, ...]:
        """A list of integers."""
        value = self.optional(*names)
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise CheckpointError(f"{self._where}: {names[0]} must be a list of integers, found {value!r}")
        return tuple(value)

    def table(self, *names: str) -> Section:
        """A nested table; an absent one is empty."""
        value = self.optional(*names)
        if not isinstance(value, dict) and value is not None:
            raise CheckpointError(f"{self._where}: {names[0]} must be a table, found {value!r}")
        return Section(value or {}, f"{self._where}: {names[0]}")

    def expect(self, name: str, *allowed: object) -> None:
        """Refuse a present field whose value the graph writers do not implement."""
        value = self._values.get(name)
        if value is not None and value not in allowed:
            raise CheckpointError(f"{self._where}: {name} is {value!r}, supported: {', '.join(map(repr, allowed))}")


def read_dimensions(folder: Path) -> tuple[ModelDimensions, bool]:
    """Model dimensions and whether the head is tied to the embedding.

    Raises:
        CheckpointError: another architecture, a missing field, or a variant that the graphs do not implement.
    """
    values = read_json(folder / "config.json")
    where = str(folder / "config.json")
    root = Section(values, where)
    if values.get("model_type") != ARCHITECTURE:
        raise CheckpointError(f"{where}: model_type is {values.get('model_type')!r}, supported: {ARCHITECTURE!r}")
    nested = root.optional("text_config")
    text_section = Section(nested, f"{where}: text_config") if isinstance(nested, dict) else root
    tied = bool(root.optional("tie_word_embeddings") or text_section.optional("tie_word_embeddings"))
    text = _text_dimensions(text_section, root)
    vision = _vision_dimensions(root.table("vision_config"), folder, text)
    return ModelDimensions(ARCHITECTURE, text, vision), tied


def _text_dimensions(section: Section, root: Section) -> TextDimensions:
    section.expect("hidden_act", "silu")
    section.expect("use_sliding_window", False)
    rope = section.table("rope_parameters", "rope_scaling")
    rope.expect("rope_type", "default", "mrope")
    rope.expect("type", "default", "mrope")
    theta = rope.optional("rope_theta") or section.optional("rope_theta") or root.number("rope_theta")
    heads, width = section.integer("num_attention_heads"), section.integer("hidden_size")
    if width % heads:
        raise CheckpointError(f"text configuration: hidden_size {width} is no multiple of {heads} heads")
    return TextDimensions(
        hidden_size=width,
        layers=section.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=section.integer("num_key_value_heads", "num_attention_heads"),
        head_dim=width // heads,
        intermediate_size=section.integer("intermediate_size"),
        vocabulary_size=section.integer("vocab_size"),
        rope_theta=float(theta),
        mrope_section=rope.integers("mrope_section"),
        rms_norm_eps=section.number("rms_norm_eps"),
    )


def _vision_dimensions(section: Section, folder: Path, text: TextDimensions) -> VisionDimensions:
    section.expect("hidden_act", "silu")
    section.expect("out_hidden_size", text.hidden_size)
    rope = section.table("rope_parameters")
    rope.expect("rope_type", "axial")
    rope.expect("rope_theta", 10000.0)
    processor = Section({}, "")
    if (folder / "preprocessor_config.json").is_file():
        processor = Section(read_json(folder / "preprocessor_config.json"), str(folder / "preprocessor_config.json"))
    heads, width = section.integer("num_heads"), section.integer("hidden_size")
    if width % heads or (width // heads) % 4:
        raise CheckpointError(f"vision_config: hidden_size {width} and {heads} heads give no head size divisible by 4")
    return VisionDimensions(
        hidden_size=width,
        depth=section.integer("depth"),
        heads=heads,
        intermediate_size=section.integer("intermediate_size"),
        channels=section.integer("in_channels", "in_chans"),
        patch_size=section.integer("patch_size", "spatial_patch_size"),
        temporal_patch_size=section.integer("temporal_patch_size"),
        merge_size=section.integer("spatial_merge_size"),
        window_size=section.integer("window_size"),
        full_attention_blocks=section.integers("fullatt_block_indexes"),
        resample=RESAMPLE,
        tokens_per_second=section.number("tokens_per_second"),
        second_per_grid=SECOND_PER_GRID,
        image_mean=tuple(processor.optional("image_mean") or IMAGE_MEAN),
        image_std=tuple(processor.optional("image_std") or IMAGE_STD),
    )


def read_generation(folder: Path) -> tuple[Generation, tuple[int, ...], int | None]:
    """Generation parameters, end-of-answer ids and the padding id, from generation_config.json and config.json.

    Absent warpers mean "off", as in transformers' greedy decoding: temperature 1, top_k 0, top_p 1. So does an absent
    penalty in a generation_config.json, for `save_pretrained` leaves out what is at its default; without that file
    nobody knows.

    Raises:
        CheckpointError: no file says the repetition penalty, or what ends an answer.
    """
    values = read_json(folder / "config.json")
    nested = values.get("text_config")
    merged = dict(nested) if isinstance(nested, dict) else {}
    merged |= {key: value for key, value in values.items() if value is not None}
    if (folder / "generation_config.json").is_file():
        merged |= read_json(folder / "generation_config.json")
    elif merged.get("repetition_penalty") is None:
        raise CheckpointError(
            f"{folder}: generation_config.json is missing, and with it the repetition penalty that plans are decoded "
            "with (1.05 for Qwen2.5-VL, and so for AutoVLA, which inherits it): copy the base model's, or write one "
            'that says {"repetition_penalty": 1.0} if the model was run without'
        )
    section = Section(merged, str(folder / "generation_config.json"))
    ends = merged.get("eos_token_id")
    ends = (ends,) if isinstance(ends, int) else tuple(ends or ())
    if not ends:
        raise CheckpointError(f"{folder}: neither generation_config.json nor config.json names an eos_token_id")
    generation = Generation(
        do_sample=bool(merged.get("do_sample", False)),
        temperature=float(_default(section.optional("temperature"), 1.0)),
        top_k=int(_default(section.optional("top_k"), 0)),
        top_p=float(_default(section.optional("top_p"), 1.0)),
        repetition_penalty=float(_default(section.optional("repetition_penalty"), 1.0)),
        max_new_tokens=int(_default(section.optional("max_new_tokens"), MAX_NEW_TOKENS)),
    )
    return generation, ends, merged.get("pad_token_id")


def _default(value: Any, fallback: float) -> float:  # noqa: ANN401
    return fallback if value is None else value
