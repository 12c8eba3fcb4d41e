"""`onboard-vla measure`: arguments in, exit status out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

DEFAULT_OUT = Path("out")
FIRST_SEED = 800_000


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("measure", epilog="Example: `onboard-vla measure sight --worlds 32 --blind BLIND_CHECKPOINT`")(measure)


def measure(
    whats: Annotated[
        list[str], typer.Argument(metavar="WHAT...", help="sight, probes, signals, doubt, pictures, depth.")
    ],
    worlds: Annotated[int, typer.Option(help="Number of seeds, from --first-seed on.", min=1, max=1000)] = 32,
    first_seed: Annotated[int, typer.Option(help="The first seed; no training has used it.", min=0)] = FIRST_SEED,
    seconds: Annotated[float, typer.Option(help="Length of each world's drive, s.", min=2, max=120)] = 20.0,
    profile: Annotated[str, typer.Option(help="Road profile.")] = "quiet_road",
    precision: Annotated[str, typer.Option(help="fp32 or int8.")] = "int8",
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; the reference one.")] = None,
    blind: Annotated[Path | None, typer.Option(help="Checkpoint of the control that was trained on grey.")] = None,
    photos: Annotated[Path | None, typer.Option(help="Photographs, one per camera: front.jpg and so on.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for bundles.")] = DEFAULT_OUT,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core.", min=1)] = None,
) -> None:
    """Ask about a checkpoint: does it look (sight), what can be read from its features (probes, signals).

    Or: does its spread point at the worst plans (doubt), what black and noise do (pictures), does slow help (depth).
    """
    from onboard_vla.app.measure import MeasureRequest, run_measure

    request = MeasureRequest(
        whats=tuple(dict.fromkeys(whats)),
        seeds=tuple(range(first_seed, first_seed + worlds)),
        seconds=seconds,
        profile=profile,
        precision=precision,
        checkpoint=checkpoint,
        blind=blind,
        photos=photos,
        out=out,
        json_path=json_path,
        workers=workers,
    )
    raise typer.Exit(run_measure(request, Console()))
