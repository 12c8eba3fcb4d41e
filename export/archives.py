"""What an `.npz` that cannot be read says about itself."""

from __future__ import annotations

FOREIGN = ("pickle", "No data left", "context manager", "__enter__")
"""In numpy's words about a file of something else, an empty one, or a single array (`.npy`)."""


def why_unread(error: Exception) -> str:
    """Why, in words: numpy's own about files of another kind advise to load pickles, which run what they hold."""
    said = f"{error!r}"
    return "it is no .npz of plain arrays" if any(mark in said for mark in FOREIGN) else said
