"""Options of the commands that read a checkpoint whose files lie in different places."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from onboard_vla.core.errors import OnboardVlaError

CODEBOOK_FILE = "codebook.npz"
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
    ranges: Path | None = None,
) -> Iterator[Path]:
    """A folder that holds the checkpoint with all that was given (see `assemble`), for as long as it is needed.

    Errors name what the user named: nobody finds that folder afterwards.
    """
    assembling = importlib.import_module("onboard_vla.export.assemble")
    with tempfile.TemporaryDirectory() as links:
        try:
            yield assembling.assemble(
                Path(links),
                checkpoint,
                model=model,
                prompt=prompt,
                cameras=cameras,
                codebook=codebook,
                lora_alpha=lora_alpha,
                ranges=ranges,
            )
        except OnboardVlaError as error:
            said = _in_the_users_paths(str(error), Path(links), checkpoint, codebook)
            raise error if said == str(error) else type(error)(said) from None


def _in_the_users_paths(words: str, links: Path, checkpoint: Path, codebook: Path | None) -> str:
    """Words about a folder of links, as words about what they lead to."""
    places = {link: link.readlink() for link in links.iterdir() if link.is_symlink()}
    if codebook is not None:
        places[links / CODEBOOK_FILE] = codebook
    for link, path in places.items():
        words = words.replace(str(link), str(path))
    return words.replace(str(links), str(checkpoint))
