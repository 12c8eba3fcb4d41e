"""`onboard-vla ros`: a deployment's nodes without `ros2 launch`, and a check before they start."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from onboard_vla.app.interrupts import interrupted_by

DeploymentPath = Annotated[
    Path, typer.Option("--config", help="Deployment file (YAML), see examples/ros.", exists=True, dir_okay=False)
]
BundlePath = Annotated[Path | None, typer.Option(help="Bundle folder, over the file's.")]
OutPath = Annotated[Path, typer.Option(help="Folder of what a file with `world` has made: drive, reference bundle.")]
DEFAULT_OUT = Path("out")


def register(app: typer.Typer) -> None:
    """Add the commands to the program's command line."""
    commands = typer.Typer(no_args_is_help=True, help="Start or check a deployment's ROS 2 nodes.")
    commands.command("up", epilog="Example: `onboard-vla ros up --config examples/ros/replay.yaml`")(up)
    commands.command("check", epilog="Example: `onboard-vla ros check --config examples/ros/vehicle.yaml`")(check)
    app.add_typer(commands, name="ros")


def up(
    config: DeploymentPath,
    bundle: BundlePath = None,
    logs: Annotated[
        Path, typer.Option(help="Folder of the nodes' logs; those of the run before stay as *.log.1.")
    ] = DEFAULT_OUT / "ros",
    out: OutPath = DEFAULT_OUT,
    build_only: Annotated[
        bool, typer.Option("--build-only", help="Only make the engines that the planner is to run with, and end.")
    ] = False,
) -> None:
    """Start the nodes, start again who dies, show how they are, and end all on Ctrl-C.

    Exit status: 0 a recording was played to its end, or engines were made; 1 a node or engine could not be started,
    configured or made (on a vehicle the others go on, as long as the supervisor does); 130 interrupted.
    """
    from rich.console import Console

    from onboard_vla.app.ros.deployment_file import read_deployment
    from onboard_vla.app.ros.launcher import run_deployment
    from onboard_vla.app.ros.screen import Screen
    from onboard_vla.app.ros.world_drive import with_world
    from onboard_vla.ros_nodes.deployment import VEHICLE, planner_start
    from onboard_vla.ros_nodes.environment import require_rclpy

    if build_only:
        from onboard_vla.app.ros.build_only import make_engines

        file = with_world(read_deployment(config, bundle), out, Console(stderr=True))
        make_engines(planner_start(file.deployment), file.namespace, lambda line: typer.echo(line, err=True))
        return
    require_rclpy()
    interrupted_by(signal.SIGINT, signal.SIGTERM)
    console = Console(stderr=True)
    file = with_world(read_deployment(config, bundle), out, console)
    if file.deployment.mode == VEHICLE:
        # A terminal that is closed, or a connection that is lost, ends no drive. The nodes inherit it: the kernel sends
        # SIGHUP to all of the terminal's foreground.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not console.is_terminal:
        raise typer.Exit(run_deployment(file, logs, lambda line: typer.echo(line, err=True)))
    with Screen(console) as screen:
        raise typer.Exit(run_deployment(file, logs, screen.say, screen.show))


def check(
    config: DeploymentPath,
    bundle: BundlePath = None,
    topics_s: Annotated[
        float, typer.Option("--topics", help="Also wait so long for every input on the network, s.", min=0, max=600)
    ] = 0.0,
    out: OutPath = DEFAULT_OUT,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the rows.")] = False,
) -> None:
    """Look whether a deployment can start: bundle, parameters, settings, recording, DDS profile; on request its inputs.

    A warning is what starts, but not as it may have been meant: nobody can engage, say.

    Exit status: 0 it can, 1 it cannot, with one row that says why.
    """
    import json

    from rich.console import Console

    from onboard_vla.app.doctor import print_findings
    from onboard_vla.app.ros.check import can_start, check_deployment, check_document
    from onboard_vla.app.ros.deployment_file import read_deployment
    from onboard_vla.app.ros.world_drive import with_world

    file = with_world(read_deployment(config, bundle), out, Console(stderr=True))
    findings = check_deployment(file, topics_s)
    if as_json:
        typer.echo(json.dumps(check_document(findings, config), indent=2))
    else:
        print_findings(Console(), f"{config}: {'can start' if can_start(findings) else 'cannot start'}", findings)
    raise typer.Exit(0 if can_start(findings) else 1)
