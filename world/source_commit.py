"""Which code a measurement was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str:
    """The repository's commit, with a plus sign if tracked files differ from it; "unknown" outside a repository.

    An installation inside another project's repository is outside: git has to know this file.
    """
    return commit_of(Path(__file__).resolve())


def commit_of(file: Path) -> str:
    """The commit of the repository that tracks a file."""
    folder = file.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
