"""A checkpoint folder put together from files that lie in different places, as links; nothing large is copied."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.activation_ranges import RANGES_FILE
from onboard_vla.export.assets import CAMERAS_FILE, CODEBOOK_FILE, PROMPT_FILE, TOKENIZER_FILE
from onboard_vla.export.checkpoint import LORA_FILE
from onboard_vla.export.codebook_files import load_codebook
from onboard_vla.export.references import DRIFT_FILE, VISION_FILE
from onboard_vla.export.source import CALIBRATION, GOLDEN

CONFIG_FILE = "config.json"
MODEL_FILES = (
    CONFIG_FILE,
    "generation_config.json",
    "preprocessor_config.json",
    TOKENIZER_FILE,
    "tokenizer_config.json",
)
"""What the folder of a base model says about a `.ckpt` that was trained from it; its weights are left alone."""
OWN_FILES = (
    PROMPT_FILE,
    CAMERAS_FILE,
    CODEBOOK_FILE,
    LORA_FILE,
    VISION_FILE,
    DRIFT_FILE,
    GOLDEN.file,
    CALIBRATION.file,
)
"""What may lie beside the weights for this exporter; and activation ranges, see `ranges_file`."""


def ranges_file(checkpoint: Path) -> Path:
    """Where the activation ranges of a checkpoint lie: in its folder, or beside a `.ckpt` under its name.

    A training leaves several `.ckpt` in one folder, and the ranges of one are not those of another.
    """
    return checkpoint / RANGES_FILE if checkpoint.is_dir() else checkpoint.parent / f"{checkpoint.stem}.{RANGES_FILE}"


def assemble(
    into: Path,
    checkpoint: Path,
    *,
    model: Path | None = None,
    prompt: Path | None = None,
    cameras: Path | None = None,
    codebook: Path | None = None,
    lora_alpha: float | None = None,
    ranges: Path | None = None,
) -> Path:
    """Put a checkpoint folder together in the empty folder `into`; `checkpoint` itself where nothing is to be added.

    Args:
        into: where the links go.
        checkpoint: folder of weights, or one `.ckpt` file.
        model: folder of the base model, for configuration and tokenizer; by default where the weights are.
        prompt: prompt template.
        cameras: camera description.
        codebook: `.npz`, or a pickle as AutoVLA's tools write it.
        lora_alpha: LoRA's alpha, for adapters that were not merged.
        ranges: activation ranges, instead of those beside the weights.

    Raises:
        CheckpointError: a given file does not exist, or is a folder; or there is no configuration of the model.
        CodebookError: the codebook is not valid.
    """
    given = {PROMPT_FILE: prompt, CAMERAS_FILE: cameras, RANGES_FILE: ranges}
    for path in (model, codebook, *given.values()):
        if path is not None and not path.exists():
            raise CheckpointError(f"{path} does not exist")
    for path in (codebook, *given.values()):
        if path is not None and not path.is_file():
            raise CheckpointError(f"{path} is a folder: expected the name of a file")
    if model is not None and not model.is_dir():
        raise CheckpointError(f"{model} is a file: expected the folder of the base model")
    if not checkpoint.is_file() and all(part is None for part in (model, codebook, lora_alpha, *given.values())):
        return checkpoint
    home = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if model is not None and not (model / CONFIG_FILE).is_file():
        raise CheckpointError(f"{model} has no {CONFIG_FILE}: expected the folder of the base model")
    if model is None and checkpoint.is_file() and not (home / CONFIG_FILE).is_file():
        raise CheckpointError(
            f"{CONFIG_FILE} is not beside {checkpoint}: give the folder of the base model with --model"
        )
    if checkpoint.is_dir():
        links = {file.name: file for file in checkpoint.iterdir() if file.is_file()}
    else:
        links = {name: home / name for name in OWN_FILES}
        links |= {f"{checkpoint.stem}.ckpt": checkpoint, RANGES_FILE: ranges_file(checkpoint)}
    links |= {name: (model or home) / name for name in MODEL_FILES}
    links |= {name: path for name, path in given.items() if path is not None}
    for name, path in links.items():
        if path.is_file():
            (into / name).symlink_to(path.resolve())
    if codebook is not None:
        (into / CODEBOOK_FILE).unlink(missing_ok=True)
        if codebook.suffix == ".npz":
            shutil.copyfile(codebook, into / CODEBOOK_FILE)
        else:
            load_codebook(codebook).save(into / CODEBOOK_FILE)
    if lora_alpha is not None:
        (into / LORA_FILE).unlink(missing_ok=True)
        (into / LORA_FILE).write_text(json.dumps({"alpha": lora_alpha}), encoding="utf-8")
    return into
