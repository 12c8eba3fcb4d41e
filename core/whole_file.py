"""A text file that readers find whole: the older one or the newer, never half of it."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write beside the file, then put in its place in one step; its folder is made.

    A link stays, and the file that it names is replaced; devices and pipes stay, too, and are written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    place = Path(os.path.realpath(path))
    fresh = place.with_name(f".{place.name}.partial")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(place)
