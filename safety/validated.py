"""Configuration values that carry their unit, range and source, and are checked when a configuration is made."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from onboard_vla.core.errors import ConfigurationError


def limit(default: float, unit: str, source: str, low: float, high: float) -> Any:  # noqa: ANN401 - a dataclass field
    """A number with its unit, where it comes from, and the closed range it may take."""
    return dataclasses.field(default=default, metadata={"unit": unit, "source": source, "low": low, "high": high})


class Validated:
    """Base of the frozen configuration dataclasses: every field made by `limit` must be finite and in its range."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if "unit" not in field.metadata:
                continue
            value, low, high = getattr(self, field.name), field.metadata["low"], field.metadata["high"]
            where = f"{type(self).__name__}.{field.name}"
            expected = type(field.default)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or (expected is int and type(value) is not int)
            ):
                raise ConfigurationError(f"{where}: expected {expected.__name__}, found {value!r}")
            if not math.isfinite(value) or not low <= value <= high:
                unit = field.metadata["unit"]
                raise ConfigurationError(
                    f"{where}: expected {low:g} to {high:g} {unit}, found {value!r}; correct the configuration"
                )
