"""Configuration values that carry their unit, range and source, and are checked when a configuration is made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from onboard_vla.core.errors import ConfigurationError


def limit(default: float, unit: str, source: str, low: float, high: float) -> Any:  # noqa: ANN401 - a dataclass field
    """A number with its unit, where it comes from, and the closed range it may take."""
    return dataclasses.field(default=default, metadata={"unit": unit, "source": source, "low": low, "high": high})


def choice(default: str, source: str, among: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - a dataclass field
    """A word, where it comes from, and the words it may be; without any, every word that is not empty."""
    return dataclasses.field(default=default, metadata={"source": source, "among": among})


def names(default: tuple[str, ...], source: str, among: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - a dataclass field
    """Distinct words, where they come from, and the words they may be; without any, every word that is not empty."""
    return dataclasses.field(default=default, metadata={"source": source, "among": among})


def expected_value(field: dataclasses.Field[Any]) -> str:
    """What a field made by one of the functions above accepts, in words."""
    about = field.metadata
    if "unit" in about:
        kind = "a whole number from " if type(field.default) is int else ""
        return f"{kind}{about['low']:.6g} to {about['high']:.6g} {about['unit']}"
    words = f"of {', '.join(about['among'])}" if about["among"] else "that is not empty"
    return f"a list of distinct words, each one {words}" if type(field.default) is tuple else f"one word {words}"


def accepts(field: dataclasses.Field[Any], value: object) -> bool:
    """Whether a value has the field's type and lies in its range. NaN never does."""
    about = field.metadata
    if "unit" in about:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        whole = type(field.default) is not int or type(value) is int
        return whole and math.isfinite(value) and bool(about["low"] <= value <= about["high"])
    if type(field.default) is tuple:
        return isinstance(value, tuple) and len(set(value)) == len(value) and all(_word(about, word) for word in value)
    return _word(about, value)


class Validated:
    """Base of the frozen configuration dataclasses: every field that names its source must accept its value.

    Whole numbers given for a float become floats, so that equal settings are equal to the letter.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if "source" not in field.metadata:
                continue
            value = getattr(self, field.name)
            if not accepts(field, value):
                where = f"{type(self).__name__}.{field.name}"
                raise ConfigurationError(f"{where}: expected {expected_value(field)}, found {value!r}")
            if type(field.default) is float:
                object.__setattr__(self, field.name, float(value))


def _word(about: Mapping[str, Any], value: object) -> bool:
    return isinstance(value, str) and bool(value) and (not about["among"] or value in about["among"])
