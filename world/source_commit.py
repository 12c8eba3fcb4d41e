"""Which code a measurement was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str:
    """The repository's commit, with a plus sign if tracked files differ from it; "unknown" outside a repository."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
