"""The command `onboard-vla`. Each command loads its rooms when it runs: `doctor` works where little is installed."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from typing import Annotated

import typer

from onboard_vla import __version__
from onboard_vla.app import (
    compare_commands,
    config_commands,
    demo_commands,
    distil_commands,
    engine_commands,
    export_commands,
    faults_commands,
    measure_commands,
    observe_commands,
    ros_commands,
    verify_commands,
)
from onboard_vla.app.missing_packages import what_is_missing
from onboard_vla.app.recording import commands as recording_commands
from onboard_vla.app.roofline import commands as roofline_commands
from onboard_vla.core.errors import ArgumentError, OnboardVlaError

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
    from onboard_vla.app.doctor import Machine, as_document, examine, is_fit, print_findings, verdict

    findings = examine(Machine())
    if as_json:
        typer.echo(json.dumps(as_document(findings), indent=2))
    else:
        from rich.console import Console

        print_findings(Console(), verdict(findings), findings)
    raise typer.Exit(0 if is_fit(findings) else EXIT_ERROR)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: `onboard-vla train --help`",
)
def train(context: typer.Context) -> None:
    """Train the reference checkpoint (extra `train`); options are those of `onboard_vla.world.train`."""
    training = importlib.import_module("onboard_vla.world.train")
    training.keep_big_tensors()
    try:
        raise typer.Exit(training.main(context.args))
    except SystemExit as stop:
        raise typer.Exit(EXIT_USAGE if stop.code else 0) from None  # argparse leaves with 2


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
    except ArgumentError as error:
        return _fail(error, str(error), EXIT_USAGE, debug)
    except (OnboardVlaError, OSError) as error:
        return _fail(error, str(error), EXIT_ERROR, debug)
    except ModuleNotFoundError as error:
        missing = what_is_missing(error)
        return _fail_internally(error, debug) if missing is None else _fail(error, missing, EXIT_ERROR, debug)
    except Exception as error:  # the last resort of the command line: one line instead of a traceback
        return _fail_internally(error, debug)


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


export_commands.register(app)
observe_commands.register(app)
verify_commands.register(app)
compare_commands.register(app)
distil_commands.register(app)
engine_commands.register(app)
demo_commands.register(app)
config_commands.register(app)
faults_commands.register(app)
recording_commands.register(app)
measure_commands.register(app)
roofline_commands.register(app)
ros_commands.register(app)


if __name__ == "__main__":
    main()
