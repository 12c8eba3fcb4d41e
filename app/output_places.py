"""Whether what a command is to write can be written: asked before the work."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from onboard_vla.core.errors import ConfigurationError


def require_writable(option: str, path: Path | None) -> None:
    """Ask before the work, not after it; asking leaves everything as it is, and makes neither file nor folder.

    Devices, pipes and what a link names are places like others. A pipe is not opened: its reader may come later.

    Raises:
        ConfigurationError: a file cannot be written at `path`.
    """
    if path is None:
        return
    try:
        _ask(path)
    except OSError as error:
        raise ConfigurationError(f"{option} {path}: cannot be written: {error.strerror or error}") from None


def require_folder(option: str, path: Path | None) -> None:
    """Make a folder that results go to.

    Raises:
        ConfigurationError: it cannot be made, or written to.
    """
    if path is None:
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise ConfigurationError(f"{option} {path}: cannot be written: {error.strerror or error}") from None


def is_stream(path: Path) -> bool:
    """Whether a device, a pipe or a link to one is at `path`: nothing lies beside what is written there."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _ask(path: Path) -> None:
    """Raises OSError if a file cannot be written at `path`."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        _ask_for_a_new_file(path)
        return
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
        path.open("ab").close()
    elif stat.S_ISSOCK(kind):
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    elif not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _ask_for_a_new_file(path: Path) -> None:
    """By a file without a name, which no other process meets, in the nearest folder that there is."""
    if path.is_symlink():  # whose folder nobody makes
        folder = Path(os.path.realpath(path)).parent
    else:
        folder = next(folder for folder in path.parents if os.path.lexists(folder))
        for name in path.relative_to(folder).parts:
            with suppress(FileNotFoundError):
                (folder / name).lstat()  # the file system refuses names that are too long for it
    tempfile.TemporaryFile(dir=folder).close()
