"""What brings a part of this project that is missing: no package index has it, a clone does, or a wheel made of one."""

from __future__ import annotations


def installation(extra: str = "") -> str:
    """The command for the project with one of the extras of `pyproject.toml`, as a part of a sentence."""
    wanted = f"'.[{extra}]'" if extra else "."
    return f"pip install {wanted} in a clone of Onboard VLA"
