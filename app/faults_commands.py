"""`onboard-vla faults`: arguments in, exit status out."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from onboard_vla.app.interrupts import interrupted_by

DEFAULT_JSON = Path("out/faults.json")


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("faults", epilog="Example: `onboard-vla faults --quick --json report.json`")(faults)


def faults(
    quick: Annotated[
        bool, typer.Option("--quick", help="Every variant of every fault once or more (default).")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="At least 100 injections of every fault; hours.")] = False,
    fault: Annotated[list[str] | None, typer.Option(help="Only this fault, such as F3; may be repeated.")] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Print the table of faults and stop; with --json write it.")
    ] = False,
    shard: Annotated[str, typer.Option(help="I/N: the I-th of N parts of the campaign.")] = "1/1",
    resume: Annotated[Path | None, typer.Option(help="Folder of results: kept there, and not run again.")] = None,
    json_path: Annotated[
        Path, typer.Option("--json", help="The report; the HTML report stands beside it.")
    ] = DEFAULT_JSON,
    soak: Annotated[str, typer.Option(help="Instead: drive without faults for this long, such as 2h.")] = "",
    workers: Annotated[int | None, typer.Option(help="Worker processes; one per core.", min=1)] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="Only this part, such as real, pairs, golden or S9; may be repeated.")
    ] = None,
    transport: Annotated[str, typer.Option(help="Of the real processes: zmq or ros.")] = "zmq",
) -> None:
    """Break what can break, and judge what the vehicle was then told to do.

    Exit status: 0 pass, 1 fail, 2 inconclusive or not complete.
    """
    from onboard_vla.app.campaign.campaign import list_faults, run_campaign, run_soak
    from onboard_vla.app.campaign.request import CampaignRequest
    from onboard_vla.core.errors import ArgumentError

    if listed:
        list_faults(Console(), None if json_path == DEFAULT_JSON else json_path)
        return
    interrupted_by(signal.SIGINT)
    if soak:
        raise typer.Exit(run_soak(soak, json_path, workers, Console()))
    if quick and everything:
        raise ArgumentError("--quick and --all: expected one of them")
    if transport not in ("zmq", "ros"):
        raise ArgumentError(f"--transport {transport!r}: expected zmq or ros")
    request = CampaignRequest(
        everything=everything,
        faults=tuple(dict.fromkeys(name.upper() for name in fault or ())),
        parts=tuple(dict.fromkeys(part or ())),
        shard=parse_shard(shard),
        resume=resume,
        json_path=json_path,
        workers=workers,
        transport=transport,
    )
    raise typer.Exit(run_campaign(request, Console()))


def parse_shard(text: str) -> tuple[int, int]:
    """Part and number of parts from "2/5".

    Raises:
        ArgumentError: not two whole numbers with 1 <= I <= N.
    """
    from onboard_vla.core.errors import ArgumentError

    words = text.split("/")
    if len(words) == 2 and all(word.isdecimal() for word in words) and 1 <= int(words[0]) <= int(words[1]):
        return int(words[0]), int(words[1])
    raise ArgumentError(f"--shard {text!r}: expected I/N with 1 <= I <= N, such as 2/5")
