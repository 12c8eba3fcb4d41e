"""Whether what a command is to write can be written: asked before the work."""

from __future__ import annotations

from pathlib import Path

from onboard_vla.core.errors import ConfigurationError


def require_writable(option: str, path: Path | None) -> None:
    """Ask before the work, not after it: the folder is made, the file is left as it is.

    Raises:
        ConfigurationError: a file cannot be written at `path`.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            empty = file.tell() == 0
        if empty:
            path.unlink()
    except OSError as error:
        raise ConfigurationError(f"{option} {path}: cannot be written: {error.strerror}") from None


def require_folder(option: str, path: Path | None) -> None:
    """Make a folder that results go to.

    Raises:
        ConfigurationError: it cannot be made, or written to.
    """
    if path is not None:
        require_writable(option, path / ".writable")
