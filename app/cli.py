"""The command `onboard-vla`. Each command loads its rooms when it runs: `doctor` works where little is installed."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onboard_vla import __version__
from onboard_vla.app import config_commands, demo_commands, faults_commands, measure_commands, ros_commands
from onboard_vla.app.recording import commands as recording_commands
from onboard_vla.core.errors import OnboardVlaError

if TYPE_CHECKING:
    from rich.table import Table

EXIT_ERROR = 1
"""Exit status of an error that this project raises on purpose; `demo` documents its own beside it."""
EXIT_USAGE = 64
"""Exit status of a command line that cannot be (EX_USAGE of sysexits.h): 2 is `demo`'s and `faults`' inconclusive."""
EXIT_INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
EXIT_INTERNAL = 70
"""Exit status of a fault of ours (EX_SOFTWARE of sysexits.h)."""
DEBUG = "--debug"
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""Base class of what is wrong with a command line; typer does not name it."""
BYTES_PER_MIB = 1024 * 1024
EXTRAS = {
    "export": ("onnx", "safetensors", "ml_dtypes"),
    "world": ("numba", "matplotlib", "psutil"),
    "train": ("torch", "transformers"),
    "bags": ("rosbags",),
    "ros": ("rclpy",),
}
"""Packages that commands import and that an extra brings; any other is one that every installation needs."""

app = typer.Typer(
    name="onboard-vla",
    help="From a trained driving vision-language-action checkpoint to a trajectory that a vehicle may follow.",
    epilog="Start with `onboard-vla doctor`, then `onboard-vla demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Precision(str, Enum):
    """Number format of the exported graphs' large matrices."""

    INT8 = "int8"
    FP32 = "fp32"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"onboard-vla {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """From a trained driving vision-language-action checkpoint to a trajectory that a vehicle may follow."""


@app.command(epilog="Example: `onboard-vla doctor --json > machine.json`")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
    free_shared_memory: Annotated[
        bool, typer.Option("--free-shared-memory", help="First free what killed ROS 2 processes left in /dev/shm.")
    ] = False,
) -> None:
    """List what this machine has and lacks, and what follows. Exit 1 if the default configuration cannot run."""
    if free_shared_memory:
        from onboard_vla.ros_nodes.shared_memory import free_stale_segments

        typer.echo(f"freed {free_stale_segments() / BYTES_PER_MIB:.0f} MiB of shared memory", err=True)
    from onboard_vla.app.doctor import Machine, as_document, as_table, examine, is_fit

    findings = examine(Machine())
    if as_json:
        typer.echo(json.dumps(as_document(findings), indent=2))
    else:
        from rich.console import Console

        Console().print(as_table(findings))
    raise typer.Exit(0 if is_fit(findings) else EXIT_ERROR)


@app.command(epilog="Example: `onboard-vla export world/reference_checkpoint --out out/bundle --precision int8`")
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with config.json, model.safetensors and the assets.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle; a bundle that stands there is replaced.")],
    precision: Annotated[Precision, typer.Option(help="int8 for speed, fp32 as the reference.")] = Precision.INT8,
    golden_scenes: Annotated[Path | None, typer.Option(help="Scenes to keep and to be judged on.")] = None,
    calibration_scenes: Annotated[Path | None, typer.Option(help="Scenes that INT8 is calibrated on.")] = None,
) -> None:
    """Export a checkpoint to a bundle: graphs, codebook, prompt, tokenizer, golden scenes, each with its hash.

    One that differs too much from the float32 model is refused. The checkpoint's own scenes are used if none are given.
    """
    writer = importlib.import_module("onboard_vla.export.bundle_writer")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    console = Console(stderr=True)
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("export", total=1.0)
        written: Path = writer.export_bundle(
            checkpoint,
            out,
            precision=precision.value,
            golden_scenes=golden_scenes,
            calibration_scenes=calibration_scenes,
            progress=lambda stage, share: bar.update(task, description=stage, completed=share),
        )
    Console().print(_bundle_table(written))


def _bundle_table(path: Path) -> Table:
    """What a bundle holds, after every hash in it was checked: precision, sizes, parity with float32."""
    from rich.table import Table

    from onboard_vla.app.demo_bundle_view import parity_rows
    from onboard_vla.runtime.bundle import Bundle

    manifest = Bundle.open(path).manifest
    table = Table(title=f"{path}: bundle {manifest.core_hash[:12]}", title_justify="left", show_header=False)
    for part, kind in manifest.precision.items():
        table.add_row(f"precision, {part}", kind)
    table.add_section()
    for name, record in manifest.files.items():
        table.add_row(name, f"{record.bytes / BYTES_PER_MIB:.2f} MiB")
    table.add_row("all", f"{sum(record.bytes for record in manifest.files.values()) / BYTES_PER_MIB:.2f} MiB")
    table.add_section()
    for name, text in parity_rows(manifest.parity):
        table.add_row(f"parity, {name}", text)
    return table


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: `onboard-vla train --help`",
)
def train(context: typer.Context) -> None:
    """Train the reference checkpoint (extra `train`); options are those of `onboard_vla.world.train`."""
    status = importlib.import_module("onboard_vla.world.train").main(context.args)
    raise typer.Exit(status or 0)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status; errors become one line on standard error."""
    debug = DEBUG in arguments
    try:
        status = app(args=[a for a in arguments if a != DEBUG], prog_name="onboard-vla", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except USAGE_ERROR as error:
        return _fail_usage(error, debug)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_ERROR if stop.code else 0
    except (OnboardVlaError, OSError) as error:
        return _fail(error, str(error), EXIT_ERROR, debug)
    except ModuleNotFoundError as error:
        package = (error.name or "a package").split(".")[0]
        if package == "onboard_vla":
            return _fail_internally(error, debug)
        message = f"this command needs {package}, which is not installed: {_installation(package)}"
        return _fail(error, message, EXIT_ERROR, debug)
    except Exception as error:  # the last resort of the command line: one line instead of a traceback
        return _fail_internally(error, debug)


def _installation(package: str) -> str:
    """What brings a package."""
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    return f"pip install 'onboard-vla[{extra}]'" if extra else "`onboard-vla doctor` says what is missing"


def _fail_usage(error: Exception, debug: bool) -> int:
    """The help itself where a command was called with nothing, else one line."""
    path = getattr(getattr(error, "ctx", None), "command_path", "onboard-vla")
    message = str(getattr(error, "format_message", lambda: error)())
    if not message or "Usage:" in message:
        typer.echo(message, err=True)
        return EXIT_USAGE
    return _fail(error, f"{message.rstrip('.')}; see `{path} --help`", EXIT_USAGE, debug)


def _fail_internally(error: Exception, debug: bool) -> int:
    message = f"internal error, {type(error).__name__}: {error}; run again with {DEBUG} and report it"
    return _fail(error, message, EXIT_INTERNAL, debug)


def _fail(error: BaseException, message: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    else:
        typer.echo("onboard-vla: " + " ".join(message.split()), err=True)
    return status


def main() -> None:
    """Entry point of the command `onboard-vla`."""
    sys.exit(run(sys.argv[1:]))


demo_commands.register(app)
config_commands.register(app)
faults_commands.register(app)
recording_commands.register(app)
measure_commands.register(app)
ros_commands.register(app)


if __name__ == "__main__":
    main()
