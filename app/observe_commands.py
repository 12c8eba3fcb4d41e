"""`onboard-vla observe`: activation ranges of a checkpoint on real scenes, kept beside it for INT8 exports."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from onboard_vla.app.checkpoint_options import Cameras, Checkpoint, Codebook, LoraAlpha, Model, Prompt, assembled


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("observe", epilog="Example: `onboard-vla observe world/reference --scenes calibration.npz`")(observe)


def observe(
    checkpoint: Checkpoint,
    scenes: Annotated[Path, typer.Option(help="File of calibration scenes, .npz.")],
    out: Annotated[
        Path | None, typer.Option(help="File of ranges elsewhere, for `export --ranges`: where nothing can be written.")
    ] = None,
    model: Model = None,
    prompt: Prompt = None,
    cameras: Cameras = None,
    codebook: Codebook = None,
    lora_alpha: LoraAlpha = None,
) -> None:
    """Observe a checkpoint's activations on scenes and keep their ranges beside it (`calibration_ranges.npz`).

    Those of NAME.ckpt are called `NAME.calibration_ranges.npz`.
    INT8 exports with the same options take them instead of scenes, so that a long calibration is done once.
    Killed or interrupted, a large one goes on where it was when the same command is given again.
    """
    from rich.console import Console

    from onboard_vla.app.export_progress import ExportProgress

    observing = importlib.import_module("onboard_vla.calibration.observe")
    place = out or importlib.import_module("onboard_vla.export.assemble").ranges_file(checkpoint)
    given = assembled(checkpoint, model=model, prompt=prompt, cameras=cameras, codebook=codebook, lora_alpha=lora_alpha)
    with given as folder, ExportProgress(Console(stderr=True)) as progress:
        path, ranges = observing.observe_checkpoint(folder, scenes, place, progress.show)
    typer.echo(f"{path}: {len(ranges.largest)} layers on {ranges.scenes} scenes of {ranges.scenes_from}")
