"""TensorRT's Python module: one import, one logger, and what differs between its versions 10.3 and 11.

Members that are used are in the published bindings of both (tests/runtime/tensorrt_members.json says which there are).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.installation import installation

OLDEST = (10, 3)
"""JetPack 6's; older ones lack what is used here."""


def import_tensorrt() -> Any:  # noqa: ANN401  (a module without stubs)
    """The module.

    Raises:
        EnvironmentLacksError: it is missing, does not load, or is too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise EnvironmentLacksError(
            f"TensorRT does not load ({error}): it is part of JetPack; on x86-64 {installation('trt')}"
        ) from None
    found = tuple(int(part) for part in str(trt.__version__).split(".")[:2])
    if found < OLDEST:
        raise EnvironmentLacksError(f"TensorRT {trt.__version__} is too old: expected {OLDEST[0]}.{OLDEST[1]} or newer")
    return trt


def new_logger(trt: Any) -> tuple[Any, Mapping[str, list[str]]]:  # noqa: ANN401  (no stubs)
    """A logger, and the errors and warnings that it was given so far."""
    said: dict[str, list[str]] = {"error": [], "warning": []}

    class Logger(trt.ILogger):
        """Keeps what TensorRT says."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            """One line."""
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                said["error"].append(message)
            elif severity == trt.ILogger.WARNING:
                said["warning"].append(message)

    return Logger(), said


def numpy_type(trt: Any, kind: Any) -> np.dtype[Any] | None:  # noqa: ANN401  (no stubs)
    """The NumPy type of a TensorRT type that our graphs have, else None."""
    known = {
        trt.DataType.FLOAT: np.float32,
        trt.DataType.HALF: np.float16,
        trt.DataType.INT64: np.int64,
        trt.DataType.INT32: np.int32,
    }
    return np.dtype(known[kind]) if kind in known else None
