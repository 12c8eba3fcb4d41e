"""`onboard-vla roofline`: arguments in, tables, JSON and a page out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from onboard_vla.core.errors import ArgumentError


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("roofline", epilog="Example: `onboard-vla roofline out/bundle --cameras 3,6 --html roofline.html`")(
        roofline
    )


def roofline(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    device: Annotated[
        list[str] | None,
        typer.Option(help="this, agx-orin-64, agx-orin-32, orin-nx-16, thor or h200; may be repeated; all of them."),
    ] = None,
    cameras: Annotated[str, typer.Option(help="Numbers of cameras, such as 3,6: the bundle's first so many.")] = "",
    picture: Annotated[str, typer.Option(help="Size of the cameras' pictures, pixels.")] = "1600x900",
    passes: Annotated[int, typer.Option(help="Passes of the language model in a fast plan.", min=1, max=100)] = 5,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.")] = None,
    html_path: Annotated[Path | None, typer.Option("--html", help="Write a page with pictures.")] = None,
) -> None:
    """Count what a plan costs at least, and hold it against machines and against 95 and 120 ms.

    Floors are counted from the bundle's graphs; this machine is probed and runs them. Other machines are projections
    from published rates, and so is AutoVLA-3B with three and six cameras.
    """
    from rich.console import Console

    from onboard_vla.app.roofline.devices import DEVICES, THIS
    from onboard_vla.app.roofline.report import Request, document, work_out
    from onboard_vla.app.roofline.tables import show

    devices = device or [THIS, *(known.key for known in DEVICES)]
    request = Request(bundle, tuple(dict.fromkeys(devices)), parse_cameras(cameras), parse_picture(picture), passes)
    result = work_out(request)
    show(result, Console(width=None if Console().is_terminal else 200))
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(document(result), indent=2) + "\n", encoding="utf-8")
    if html_path is not None:
        from onboard_vla.app.roofline.page import write_page

        write_page(html_path, result)


def parse_cameras(text: str) -> tuple[int, ...]:
    """Numbers of cameras from text; none for all.

    Raises:
        ArgumentError: no such list.
    """
    if not text:
        return ()
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise ArgumentError(f"--cameras {text!r}: expected numbers with commas between them, such as 3,6")
    return tuple(dict.fromkeys(int(number) for number in text.split(",")))


def parse_picture(text: str) -> tuple[int, int]:
    """Width and height from text.

    Raises:
        ArgumentError: no such size.
    """
    found = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", text)
    if found is None:
        raise ArgumentError(f"--picture {text!r}: expected width and height in pixels, such as 1600x900")
    return int(found[1]), int(found[2])
