"""`onboard-vla config`: what a configuration file amounts to, and whether it is acceptable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_file import config_hash, read_config, write_config


def register(app: typer.Typer) -> None:
    """Add the commands to the program's command line."""
    commands = typer.Typer(no_args_is_help=True, help="Show or check the configuration of supervisor and camera guard.")
    commands.command("show", epilog="Example: `onboard-vla config show > vehicle.yaml`")(show)
    commands.command("check", epilog="Example: `onboard-vla config check vehicle.yaml`")(check)
    app.add_typer(commands, name="config")


def show(
    file: Annotated[Path | None, typer.Argument(help="Configuration file (YAML); without it the defaults.")] = None,
) -> None:
    """Print every setting in effect as YAML, with what it accepts, its default, its source, and the hash of all."""
    config = SupervisorConfig() if file is None else read_config(file, yaml.compose)
    thresholds = config.thresholds
    typer.echo(f"# config_hash: {config_hash(config)}")
    if thresholds is not None:
        typer.echo(f"# thresholds of bundle core {thresholds.core_hash}; their path is left out below")
    typer.echo(write_config(config), nl=False)


def check(file: Annotated[Path, typer.Argument(help="Configuration file (YAML).")]) -> None:
    """Read a file as the processes do: its hash, or one line with place, key, what was expected and what was found."""
    config = read_config(file, yaml.compose)
    thresholds = "none: L2 at best"
    if config.thresholds is not None:
        kind = "provisional" if config.thresholds.provisional else config.thresholds.method
        thresholds = f"{kind}, for bundle core {config.thresholds.core_hash[:12]}"
    typer.echo(f"{file}: good; profile {config.profile}; thresholds {thresholds}; config_hash {config_hash(config)}")
