"""A file that appears whole or not at all: made in a folder beside its place, synced to disk, then renamed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.export.kept_arrays import FULL

RECIPE = "recipe"


@contextmanager
def made_aside(path: Path, recipe: str | None = None) -> Iterator[Path]:
    """A folder `.NAME.partial` beside a file's place, for the file and what it is made of; gone in the end.

    What a killed attempt left there is removed first. `put` moves the finished file to its place. With a `recipe`, all
    that shapes the file, what an attempt by the same recipe left is found there, whatever ended it.

    Raises:
        EnvironmentLacksError: the place is a folder or a device, cannot be written to, or another process is making the
            file; or the disk is full.
    """
    if path.is_dir():
        raise EnvironmentLacksError(f"{path} is a folder: expected the name of a file")
    if path.exists() and not path.is_file():
        raise EnvironmentLacksError(f"{path} is a device or a pipe, which no file can replace: choose another place")
    with alone(path) as folder:
        leave = recipe is not None
        try:
            _begin(folder, recipe)
            yield folder
            leave = False
        except OSError as error:
            if error.errno not in FULL:
                raise
            left = f"what there is of it is kept in {folder}" if leave else "nothing is left of this attempt"
            raise EnvironmentLacksError(
                f"{path}: the disk is full ({error.strerror}); {left}, free some space"
            ) from None
        finally:
            if not leave:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """Keep a place, a file's or a folder's, to this process; gives `.NAME.partial` beside it, which may not exist.

    Raises:
        EnvironmentLacksError: the place cannot be written to, or another process keeps it.
    """
    folder, lock_path = (path.absolute().parent / f".{path.name}.{end}" for end in ("partial", "lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_path.open("w")
    except OSError as error:
        raise EnvironmentLacksError(f"{path} cannot be written ({error.strerror}): choose another place") from None
    with lock:
        if not locked(lock):
            raise EnvironmentLacksError(f"{path} is being written by another process: wait for it or choose another")
        try:
            yield folder
        finally:
            lock_path.unlink(missing_ok=True)


def _begin(folder: Path, recipe: str | None) -> None:
    """An empty folder, or what an attempt by the same recipe left."""
    note = folder / RECIPE
    if recipe is not None and note.is_file() and note.read_text(encoding="utf-8") == recipe:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if recipe is not None:
        note.write_text(recipe, encoding="utf-8")


def put(made: Path, path: Path) -> None:
    """Sync a finished file and move it to its place, in one step; an older one there is replaced."""
    sync(made)
    os.replace(made, path)
    sync(path.absolute().parent)


def locked(file: IO[str]) -> bool:
    """Lock a file that its holder removes in the end: a lock on a removed one is none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == os.stat(file.name).st_ino
    except OSError:
        return False


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
