"""Options of the commands that read a checkpoint whose files lie in different places."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[Path, typer.Argument(help="Folder of a checkpoint, or a Lightning .ckpt file.")]
Model = Annotated[Path | None, typer.Option(help="Folder of the base model (config.json, tokenizer.json) of a .ckpt.")]
Prompt = Annotated[Path | None, typer.Option(help="Prompt template, instead of the folder's prompt.json.")]
Cameras = Annotated[Path | None, typer.Option(help="Cameras, instead of the folder's cameras.json.")]
Codebook = Annotated[Path | None, typer.Option(help="Codebook, .npz or .pkl, instead of codebook.npz.")]
LoraAlpha = Annotated[float | None, typer.Option(help="LoRA's alpha, for adapters that are not merged.")]


@contextmanager
def assembled(
    checkpoint: Path,
    *,
    model: Path | None,
    prompt: Path | None,
    cameras: Path | None,
    codebook: Path | None,
    lora_alpha: float | None,
) -> Iterator[Path]:
    """A folder that holds the checkpoint with all that was given (see `assemble`), for as long as it is needed."""
    assembling = importlib.import_module("onboard_vla.export.assemble")
    with tempfile.TemporaryDirectory() as links:
        yield assembling.assemble(
            Path(links),
            checkpoint,
            model=model,
            prompt=prompt,
            cameras=cameras,
            codebook=codebook,
            lora_alpha=lora_alpha,
        )
