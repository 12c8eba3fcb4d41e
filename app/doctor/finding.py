"""One row of the doctor's table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """How a row came out."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """What a probe found, what follows from it, and what to do about it; the last two are empty when all is well.

    `required`: the default configuration (reference checkpoint, INT8, ONNX Runtime) cannot run while this is missing.
    """

    name: str
    state: State
    found: str
    consequence: str = ""
    remedy: str = ""
    required: bool = False


def fine(name: str, found: str, consequence: str = "") -> Finding:
    """A row in order; `consequence` may say what it enables."""
    return Finding(name, State.OK, found, consequence)


def poor(name: str, found: str, consequence: str, remedy: str) -> Finding:
    """A row that works, but not well or not as expected."""
    return Finding(name, State.WARNING, found, consequence, remedy)


def absent(name: str, found: str, consequence: str, remedy: str) -> Finding:
    """A row that is not there or does not work."""
    return Finding(name, State.MISSING, found, consequence, remedy)
