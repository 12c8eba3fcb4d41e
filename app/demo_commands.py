"""`onboard-vla demo` and `onboard-vla evaluate`: arguments in, exit status out."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from onboard_vla.app.interrupts import interrupted_by

DEFAULT_SEED = 7
DEFAULT_PROFILE = "quiet_road"
DEFAULT_OUT = Path("out")
SENSOR_KINDS = ("perfect", "modelled")


def register(app: typer.Typer) -> None:
    """Add the commands to the program's command line."""
    app.command("demo")(demo)
    app.command("evaluate")(evaluate)


def demo(
    seconds: Annotated[float, typer.Option(help="Length of the drive after engagement, s.", min=1, max=600)] = 60.0,
    seed: Annotated[int, typer.Option(help="The world's seed.", min=0)] = DEFAULT_SEED,
    profile: Annotated[str, typer.Option(help="Road profile: quiet_road, urban, rural, motorway.")] = DEFAULT_PROFILE,
    sensor: Annotated[str, typer.Option(help="The supervisor's inputs: perfect or modelled.")] = "modelled",
    transport: Annotated[str, typer.Option(help="ros, zmq, or auto: ROS 2 where it is installed.")] = "auto",
    lockstep: Annotated[bool, typer.Option("--lockstep", help="One process, virtual time, repeatable.")] = False,
    planner: Annotated[str, typer.Option(help="model; in lock-step also constant_velocity or expert.")] = "model",
    latency_ms: Annotated[float, typer.Option(help="Lock-step: declared time of a plan, ms.", min=0, max=1000)] = 100.0,
    faults: Annotated[bool, typer.Option(help="Inject the two faults.")] = True,
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; the reference one.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Use this bundle as it is instead of exporting one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for bundle, logs, report.")] = DEFAULT_OUT,
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write the run as JSON.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Also write the README's picture (PNG).")] = None,
    report: Annotated[bool, typer.Option(help="Write the HTML report.")] = True,
) -> None:
    """Drive a simulated vehicle in closed loop from six cameras, with a black camera and a killed planner on the way.

    Exit status: 0 pass, 1 fail, 2 inconclusive (this machine was too busy), 3 precondition missed.
    """
    from onboard_vla.app.demo import DemoRequest, run_demo

    request = DemoRequest(
        seconds=seconds,
        seed=seed,
        profile=profile,
        sensor=sensor,
        transport=transport,
        lockstep=lockstep,
        planner=planner,
        latency_ms=latency_ms,
        faults=faults,
        checkpoint=checkpoint,
        bundle=bundle,
        out=out,
        json_path=json_path,
        picture=picture,
        report=report,
    )
    interrupted_by(signal.SIGINT)
    raise typer.Exit(run_demo(request, Console()))


def evaluate(
    worlds: Annotated[
        int, typer.Option("--worlds", "--episodes", help="Number of seeds, from --first-seed on.", min=1, max=1000)
    ] = 10,
    first_seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 100,
    seeds: Annotated[str, typer.Option(help="Seeds by name, separated by commas, instead.")] = "",
    seconds: Annotated[float, typer.Option(help="Length of an episode, s.", min=1, max=600)] = 20.0,
    sensor: Annotated[str, typer.Option(help="The supervisor's inputs: perfect, modelled or both.")] = "modelled",
    profile: Annotated[str, typer.Option(help="Road profile.")] = DEFAULT_PROFILE,
    planner: Annotated[str, typer.Option(help="model, constant_velocity or expert.")] = "model",
    unaided: Annotated[bool, typer.Option("--unaided", help="The vehicle follows the plans as they are.")] = False,
    depth: Annotated[
        str,
        typer.Option(help="fast, slow, model (by its fork) or adaptive (slow behind fast)."),
    ] = "fast",
    sees: Annotated[str, typer.Option(help="all, front, or nothing: hidden cameras are one even grey.")] = "all",
    look: Annotated[str, typer.Option(help="day, fog, rain or night: the model was trained by day alone.")] = "day",
    ablation: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare with: depth, adaptive, camera (front alone), pictures (grey), precision, sensor, supervisor, "
            "fog, rain, night."
        ),
    ] = None,
    open_loop: Annotated[bool, typer.Option(help="Also score plans along the expert's drives.")] = True,
    latency_ms: Annotated[float, typer.Option(help="Declared time of a plan, ms.", min=0, max=1000)] = 100.0,
    demo_seeds: Annotated[
        bool, typer.Option("--demo-seeds", help="The demo's drive with its faults and verdict on each seed.")
    ] = False,
    bundle: Annotated[str, typer.Option(help="A bundle's folder; default: export the checkpoint.")] = "default",
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; the reference one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for bundle and report.")] = DEFAULT_OUT,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.")] = None,
    html_path: Annotated[Path | None, typer.Option("--html", help="The report; evaluation.html in --out.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Keep each world's result here, and go on from them.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core.", min=1)] = None,
) -> None:
    """Drive worlds in lock-step: PDMS, EPDMS, collisions, progress, plans against the expert's drive, with bounds."""
    from onboard_vla.app.evaluate import EvaluateRequest, run_evaluation

    request = EvaluateRequest(
        seeds=parse_seeds(seeds) if seeds else tuple(range(first_seed, first_seed + worlds)),
        seconds=seconds,
        sensors=SENSOR_KINDS if sensor == "both" else (sensor,),
        profile=profile,
        planner=planner,
        latency_ms=latency_ms,
        demo=demo_seeds,
        supervised=not unaided,
        depth=depth,
        sees=sees,
        look=look,
        ablations=tuple(ablation or ()),
        open_loop=open_loop,
        bundle=bundle,
        checkpoint=checkpoint,
        out=out,
        json_path=json_path,
        html_path=html_path,
        resume=resume,
        workers=workers,
    )
    raise typer.Exit(run_evaluation(request, Console()))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from "1,2,5".

    Raises:
        ArgumentError: not a list of whole numbers >= 0.
    """
    from onboard_vla.core.errors import ArgumentError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ArgumentError(f"--seeds {text!r}: expected whole numbers separated by commas, such as 1,2,5")
    found = tuple(int(word) for word in words)
    if twice := [seed for index, seed in enumerate(found) if seed in found[:index]]:
        raise ArgumentError(f"--seeds {text!r}: seed {twice[0]} stands there twice; a world counts once")
    return found
