"""`onboard-vla record`, `replay` and `snapshot`: arguments in, exit status out."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from onboard_vla.app.interrupts import handle_even_in_background, interrupted_by

DEFAULT_OUT = Path("out")
WORLD_S = 10.0
"""Length of a simulated drive where none was given."""
LISTEN_S = 0.1
"""How often a live recording looks whether it should end."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program's command line."""
    example = "Examples: `onboard-vla record drive --seconds 30`, `onboard-vla record out/world --world 7 --seconds 10`"
    app.command("record", epilog=example)(record)
    app.command("replay", epilog="Example: `onboard-vla replay out/world`")(replay)
    app.command("snapshot", epilog="Example: `onboard-vla snapshot drive --at 12.5 --out moment.png`")(snapshot)


def record(
    path: Annotated[Path, typer.Argument(help="Folder of the new recording (rosbag2, MCAP).")],
    seconds: Annotated[
        float,
        typer.Option(help=f"Length, s; if not given {WORLD_S:g} s of a --world, live until Ctrl-C.", min=0, max=86400),
    ] = 0.0,
    world: Annotated[int | None, typer.Option(help="Record a simulated drive of this seed instead.", min=0)] = None,
    profile: Annotated[str, typer.Option(help="The world's road profile.")] = "quiet_road",
    planner: Annotated[str, typer.Option(help="The world's planner: model, constant_velocity or expert.")] = "model",
    pictures: Annotated[str, typer.Option(help="The world's pictures: compressed or raw.")] = "compressed",
    bundle: Annotated[Path | None, typer.Option(help="Bundle that plans in the world; the reference one.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Live: deployment file; its `remaps` are recorded under our names.", exists=True, dir_okay=False
        ),
    ] = None,
    also: Annotated[list[str] | None, typer.Option(help="Live: a further topic, by absolute name.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the reference bundle.")] = DEFAULT_OUT,
) -> None:
    """Record the running ROS 2 graph (pictures, inputs, plans, trajectories, diagnostics), or a simulated drive.

    A simulated drive needs no running node and is made in virtual time: `replay` repeats it to the bit.
    """
    from onboard_vla.core.errors import ArgumentError

    if world is None:
        _record_live(path, seconds, tuple(also or ()), config)
    elif config is not None:
        raise ArgumentError("--config names the topics of a running graph: expected none beside --world")
    else:
        _record_world(path, seconds or WORLD_S, world, profile, planner, pictures, bundle, out)


def replay(
    path: Annotated[Path, typer.Argument(help="Recording made by `record --world`.")],
    planner: Annotated[str, typer.Option(help="What planned when it was made.")] = "model",
    bundle: Annotated[Path | None, typer.Option(help="Bundle; the reference one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the reference bundle.")] = DEFAULT_OUT,
) -> None:
    """Feed a simulated drive's recording to planner, guard and supervisor in virtual time, and compare what they say.

    Exit status: 0 all plans, verdicts and trajectories came again to the bit; 1 some differ. For playing a recording
    into running nodes see the node camera_replay.
    """
    from rich.console import Console
    from rich.progress import Progress

    from onboard_vla.app.closed_loop import Scene
    from onboard_vla.app.lockstep_parts import MODEL
    from onboard_vla.app.recording.planning import planning_of
    from onboard_vla.app.recording.replay import replay_in_lockstep
    from onboard_vla.core.errors import ArgumentError

    if planner not in (MODEL, "constant_velocity"):
        raise ArgumentError(f"--planner {planner}: only model and constant_velocity plan from what was recorded")
    console = Console()
    make, thresholds = planning_of(planner, bundle, out, console)
    scene = Scene.build(0, "quiet_road", "perfect")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("replaying in virtual time", total=1.0)
        comparison = replay_in_lockstep(
            path, lambda: make(scene), thresholds, lambda share: bar.update(task, completed=share)
        )
    for kind in sorted({*comparison.equal, *comparison.differs}):
        console.print(f"{kind}: {comparison.equal[kind]} equal, {comparison.differs[kind]} differ")
    for line in comparison.first_differences:
        console.print(line, soft_wrap=True)
    console.print("the recording was repeated to the bit" if comparison.same else "the recording was NOT repeated")
    raise typer.Exit(0 if comparison.same else 1)


def snapshot(
    path: Annotated[Path, typer.Argument(help="Recording: a rosbag2 folder or an MCAP file.")],
    at: Annotated[float | None, typer.Option(help="Seconds into the recording; its end if not given.", min=0)] = None,
    out: Annotated[Path, typer.Option(help="The picture (PNG).")] = Path("snapshot.png"),
    rig: Annotated[Path | None, typer.Option(help="Camera poses and lenses, as world/rig.json; the world's.")] = None,
) -> None:
    """Draw one moment of a recording: cameras with the plan in them, from above, modes, doubt, reasons. No display."""
    from onboard_vla.app.recording.moment import read_moment
    from onboard_vla.app.recording.snapshot import words_of, write_snapshot

    moment = read_moment(path, at)
    write_snapshot(out, moment, rig)
    for line in words_of(moment):
        typer.echo(line)
    typer.echo(f"picture: {out}")


def _record_world(
    path: Path, seconds: float, seed: int, profile: str, planner: str, pictures: str, bundle: Path | None, out: Path
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from onboard_vla.app.closed_loop import require_known
    from onboard_vla.app.recording.planning import planning_of
    from onboard_vla.app.recording.world import WorldDrive, record_world
    from onboard_vla.core.errors import ArgumentError
    from onboard_vla.ros_nodes.topics import TRANSPORTS

    # The recording is closed on its way out.
    interrupted_by(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    require_known(profile, ())
    if pictures not in TRANSPORTS:
        raise ArgumentError(f"--pictures {pictures!r}: expected {' or '.join(TRANSPORTS)}")
    console = Console()
    make, thresholds = planning_of(planner, bundle, out, console)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("driving in virtual time", total=1.0)
        drive = WorldDrive(seed, profile, seconds, pictures=pictures)
        run, counts = record_world(path, drive, make, thresholds, lambda share: bar.update(task, completed=share))
    megabytes = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    counted = f"{sum(counts.values())} messages, {len(run.plans)} plans while engaged"
    console.print(f"{path}: {seconds:g} s, {counted}, {megabytes:.1f} MB")


def _record_live(path: Path, seconds: float, also: tuple[str, ...], config: Path | None) -> None:
    import time

    from onboard_vla.app.ros.screen import unhindered
    from onboard_vla.core.errors import ConfigurationError
    from onboard_vla.ros_nodes.environment import require_rclpy

    require_rclpy()
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from onboard_vla.app.ros.deployment_file import read_deployment
    from onboard_vla.core.process_graph import PLANNER
    from onboard_vla.ros_nodes.bag_messages import inputs_without
    from onboard_vla.ros_nodes.recorder import LiveRecorder

    say = unhindered(typer.echo)
    file = None if config is None else read_deployment(config)
    told = _told_to_end()
    rclpy.init(
        args=[],
        domain_id=None if file is None else file.domain_id,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    node = rclpy.create_node("onboard_vla_recorder", namespace="" if file is None else file.namespace)
    recorder = LiveRecorder(node, path, also, {} if file is None else file.renamed())
    begin = time.monotonic()
    say(f"recording to {path}; Ctrl-C ends it")
    try:
        while not told.is_set() and (not seconds or time.monotonic() - begin < seconds):
            rclpy.spin_once(node, timeout_sec=LISTEN_S)
    finally:
        try:
            recorder.close()
        finally:
            rclpy.try_shutdown()
            for name, count in sorted(recorder.counts.items()):
                say(f"{count:7d}  {name}")
    if not any(recorder.counts.values()):
        raise ConfigurationError(
            f"{path} holds nothing: no topic of the graph in this ROS_DOMAIN_ID, see `ros2 topic list`; it was removed"
        )
    if lacks := inputs_without(recorder.counts, PLANNER):
        hint = "" if config else "; `--config FILE` takes a deployment's own names"
        unhindered(lambda line: typer.echo(line, err=True))(
            f"no message of inputs of {PLANNER}: {', '.join(lacks)}{hint}"
        )


def _told_to_end() -> threading.Event:
    """Set by Ctrl-C, a supervisor's SIGTERM, or a terminal or connection that is lost, unless nohup has it ignored.

    A flag instead of an exception, which could come up in the middle of a write.
    """
    told = threading.Event()
    handle_even_in_background(lambda _number, _frame: told.set(), signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return told
