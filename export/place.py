"""A folder that is put in its place when it is finished: what stands against that is known before the work."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from onboard_vla.export.aside import sync

MOUNTS = Path("/proc/self/mountinfo")
POINT = 4
"""Field of a line of `MOUNTS` that names where something is mounted."""
INSIDE = "give a folder inside it"


def obstacle(place: Path) -> str | None:
    """Why no folder can be renamed to `place`, in words; None if nothing is known to stand against it."""
    if place.name in ("", ".."):  # "." has no name
        return f"{place} names no folder of its own: {INSIDE}"
    try:
        return _in_the_way(place)
    except OSError as error:
        return f"{place} cannot be a place ({error.strerror}): choose another place"


def _in_the_way(place: Path) -> str | None:
    """As `obstacle`, of a place with a name.

    Raises:
        OSError: nothing may be there, by the system's own words.
    """
    folder = next(folder for folder in place.absolute().parents if os.path.lexists(folder))
    with suppress(FileNotFoundError, NotADirectoryError):
        (folder / f".{place.name}.partial").lstat()  # where it is made: a longer name, which may be too long
    if place.is_symlink():
        return f"{place} is a link: give the folder that it names, or another place"
    if not place.is_dir():
        return None
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if place.samefile(Path.cwd()):
        return f"{place} is the folder that this runs in: {INSIDE}"
    if place.stat().st_dev != place.absolute().parent.stat().st_dev or place.resolve() in mount_points():
        return f"{place} is a mount point, which no folder can be moved to: {INSIDE}"
    return None


def put_folder(made: Path, place: Path, replaced: Path) -> None:
    """Move a finished folder to its place; an older one there is at `replaced` then, and back if that fails."""
    try:
        if place.exists():
            os.rename(place, replaced)
        os.rename(made, place)
    except BaseException:
        put_back(replaced, place)
        raise
    sync(place.absolute().parent)


def put_back(replaced: Path, place: Path) -> None:
    """Move an older folder back if nothing took its place: after an error, or a kill between two renames."""
    if replaced.exists() and not place.exists():
        os.rename(replaced, place)


def mount_points(table: Path = MOUNTS) -> frozenset[Path]:
    """Where something is mounted, as Linux says it; nothing where it does not."""
    if not table.is_file():
        return frozenset()
    rows = [line.split(" ") for line in table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    return frozenset(Path(_plain(row[POINT])) for row in rows if len(row) > POINT)


def _plain(text: str) -> str:
    """Blanks and backslashes come as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
