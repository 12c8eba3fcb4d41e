"""`onboard-vla distil`: a smaller model that says what the checkpoint says."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated

import typer

from onboard_vla.app.checkpoint_options import Cameras, Checkpoint, Codebook, LoraAlpha, Model, Prompt, assembled

JSON_FORMAT = 1
"""Version of the document that `--json` prints."""


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("distil", epilog="Example: `onboard-vla distil world/reference --scenes s.npz --out out/student`")(
        distil
    )


def distil(
    checkpoint: Checkpoint,
    scenes: Annotated[list[Path], typer.Option(help="Scenes to learn from (.npz); may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder of the student's checkpoint.")],
    golden_scenes: Annotated[
        Path | None, typer.Option(help="Scenes that the student will be judged on, kept beside its weights.")
    ] = None,
    model: Model = None,
    prompt: Prompt = None,
    cameras: Cameras = None,
    codebook: Codebook = None,
    lora_alpha: LoraAlpha = None,
    layers: Annotated[int, typer.Option(min=1, help="Language layers that the student keeps.")] = 2,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the training.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Scenes a step.")] = 16,
    rate: Annotated[float, typer.Option(min=0.0, help="Largest learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of the order of scenes and the share held out.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the training.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
) -> None:
    """Prune a checkpoint to fewer language layers and distil them on scenes: its logits, and the motion it expects.

    Interrupted, the same command goes on where it was. Beside the teacher: `onboard-vla compare` on their bundles.
    Needs the extra `parity`. Scenes: `python -m onboard_vla.app.scene_collection`.
    """
    from rich.console import Console

    from onboard_vla.app.export_progress import ExportProgress

    torch = importlib.import_module("torch")
    distillation = importlib.import_module("onboard_vla.export.distillation")
    making = importlib.import_module("onboard_vla.export.make_student")
    torch.set_num_threads(threads)
    recipe = distillation.Recipe(layers, steps, batch, rate, seed)
    given = assembled(checkpoint, model=model, prompt=prompt, cameras=cameras, codebook=codebook, lora_alpha=lora_alpha)
    with given as folder, ExportProgress(Console(stderr=True)) as progress:
        written: Path = making.make_student(folder, scenes, out, recipe, progress.show, golden_scenes)
    record = json.loads((written / making.RECORD_FILE).read_text(encoding="utf-8"))
    if as_json:
        typer.echo(json.dumps({"format": JSON_FORMAT, "student": str(written), **record}, indent=2))
        return
    typer.echo(f"{written}: layers {', '.join(map(str, record['kept']))} of the teacher's")
    for name in ("pruned_only", "distilled"):
        exam = record[name]
        typer.echo(
            f"  {name.replace('_', ' ')}, {exam['lessons']} scenes not learnt from: same action "
            f"{exam['token_agreement']:.1%}, same fork {exam['fork_agreement']:.1%}, divergence "
            f"{exam['divergence_nats']:.3f} nats, expected motion {exam['motion_m'] * 1e3:.1f} mm off a step"
        )
